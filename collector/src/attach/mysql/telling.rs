//! The roles of MySQL's threads by their names, and of MariaDB's, which have none, by what they wait at.

use super::connections::connections;
use super::threads::{CONNECTION, MAIN, OTHER, ROLES, role_of_thread};
use crate::attach::telling::Telling;
use crate::roles::Roles;
use crate::snapshot::TargetKind;
use probe_ebpf::{Unsettled, probes::socket_waiters::WaitersBySocket};
use std::collections::{HashMap, HashSet};

/// What a thread of MySQL or MariaDB is; its processes, if it has any, are nothing of these.
pub static OF_MYSQL: Roles = Roles {
    names: ROLES,
    main: 0,
    thread: ROLES.len() - 1,
    process: ROLES.len() - 1,
    thread_of_process: ROLES.len() - 1,
    told_later: true,
};

/// To look which threads wait at clients' sockets takes milliseconds where there are many: a thread that was not
/// seen to is looked at again after 1, 2, 4 rounds and so on, up to this many.
const ROUNDS_MAX: u32 = 64;

/// Knows the threads of one server.
pub struct Threads {
    pid: u32,
    kind: TargetKind,
    /// Those that serve connections, as far as they were looked for in this round.
    serving: Option<HashSet<u32>>,
    /// Where it was asked for.
    waiters: Option<WaitersBySocket>,
    round: u32,
    /// By thread, the round that it is looked at next, and how many were let pass before.
    due: HashMap<u32, (u32, u32)>,
}

impl Threads {
    /// Those of the MySQL server with this pid.
    #[must_use]
    pub fn of_mysql(pid: u32) -> Box<dyn Telling> {
        Self::of(pid, TargetKind::Mysql)
    }

    /// Those of the MariaDB server with this pid.
    #[must_use]
    pub fn of_mariadb(pid: u32) -> Box<dyn Telling> {
        Self::of(pid, TargetKind::Mariadb)
    }

    fn of(pid: u32, kind: TargetKind) -> Box<dyn Telling> {
        Box::new(Self {
            pid,
            kind,
            serving: None,
            waiters: None,
            round: 0,
            due: HashMap::new(),
        })
    }

    /// Whether a thread waits at a client's socket; not looked at if it is not due.
    fn serves(&mut self, tid: u32) -> bool {
        let (round, passed) = self.due.get(&tid).copied().unwrap_or((self.round, 0));
        if self.round < round {
            return false;
        }
        let (pid, waiters) = (self.pid, self.waiters.as_ref());
        let serving = self.serving.get_or_insert_with(|| {
            let connections = connections(pid, waiters).unwrap_or_default();
            connections.named.iter().map(|it| it.tid).collect()
        });
        let serves = serving.contains(&tid);
        if serves {
            self.due.remove(&tid);
        } else {
            let passed = (2 * passed).clamp(1, ROUNDS_MAX);
            self.due.insert(tid, (self.round + passed, passed));
        }
        serves
    }
}

impl Telling for Threads {
    fn begin(&mut self, waiters: Option<&WaitersBySocket>) {
        self.serving = None;
        self.waiters = waiters.cloned();
        self.round += 1;
        // One that was not asked for when it was due has ended; its id may come to be another's.
        self.due.retain(|_, (due, _)| *due >= self.round);
    }

    fn role_of(&mut self, task: &Unsettled) -> Option<usize> {
        if task.pid != self.pid {
            return OF_MYSQL.place(OTHER);
        }
        if task.tid == self.pid {
            return OF_MYSQL.place(MAIN);
        }
        let role = match role_of_thread(self.kind, &task.comm) {
            // It has the name of the thread that made it still.
            Some(MAIN) => return None,
            Some(role) => role,
            None if self.serves(task.tid) => CONNECTION,
            None => return None,
        };
        OF_MYSQL.place(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thread_is_the_main_one_and_others_begin_as_any() {
        let name = |place: usize| OF_MYSQL.names[place];
        assert_eq!((name(OF_MYSQL.main), name(OF_MYSQL.thread)), (MAIN, OTHER));
    }

    #[test]
    fn a_thread_that_serves_nobody_is_looked_at_less_and_less() {
        let mut threads = Threads {
            pid: 1,
            kind: TargetKind::Mariadb,
            serving: None,
            waiters: None,
            round: 0,
            due: HashMap::new(),
        };
        let mut looked_at = Vec::new();
        for round in 1..=200 {
            threads.begin(None);
            let before = threads.due.get(&7).copied();
            threads.serving = Some(HashSet::new());
            assert!(!threads.serves(7));
            if threads.due.get(&7).copied() != before {
                looked_at.push(round);
            }
        }
        assert_eq!(looked_at, [1, 2, 4, 8, 16, 32, 64, 128, 192]);
    }
}
