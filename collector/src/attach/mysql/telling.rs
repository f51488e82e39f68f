//! The roles of MySQL's threads by their names, and of MariaDB's, which have none, by what they wait at.

use super::connections::connections;
use super::threads::{CONNECTION, MAIN, OTHER, ROLES, role_of_thread};
use crate::attach::rounds::Rounds;
use crate::attach::telling::Telling;
use crate::roles::Roles;
use crate::snapshot::TargetKind;
use probe_ebpf::{Unsettled, probes::socket_waiters::WaitersBySocket};
use std::collections::HashSet;

/// What a thread of MySQL or MariaDB is; its processes, if it has any, are nothing of these.
pub static OF_MYSQL: Roles = Roles {
    names: ROLES,
    main: 0,
    thread: ROLES.len() - 1,
    process: ROLES.len() - 1,
    thread_of_process: ROLES.len() - 1,
    told_later: true,
};

/// Knows the threads of one server.
pub struct Threads {
    pid: u32,
    kind: TargetKind,
    /// Those that serve connections, as far as they were looked for in this round.
    serving: Option<HashSet<u32>>,
    /// Where it was asked for.
    waiters: Option<WaitersBySocket>,
    /// Of threads: to look which wait at clients' sockets takes milliseconds where there are many.
    rounds: Rounds,
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
            rounds: Rounds::default(),
        })
    }

    /// Whether a thread waits at a client's socket; not looked at if it is not due.
    fn serves(&mut self, tid: u32) -> bool {
        let (pid, kind) = (self.pid, self.kind);
        let (serving, waiters) = (&mut self.serving, self.waiters.as_ref());
        self.rounds.find(tid, || {
            let serving = serving.get_or_insert_with(|| {
                let connections = connections(kind, pid, waiters).unwrap_or_default();
                connections.named.iter().map(|it| it.tid).collect()
            });
            serving.contains(&tid)
        })
    }
}

impl Telling for Threads {
    fn begin(&mut self, waiters: Option<&WaitersBySocket>) {
        self.serving = None;
        self.waiters = waiters.cloned();
        self.rounds.begin();
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
}
