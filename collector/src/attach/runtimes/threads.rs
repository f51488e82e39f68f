//! What the threads of runtimes do, by their names.

use crate::attach::telling::Telling;
use crate::clock::now_ns;
use crate::roles::Roles;
use probe_ebpf::Unsettled;
use rustix::time::ClockId;
use std::collections::HashSet;
use std::time::Duration;

/// Threads of one runtime.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) roles: &'static Roles,
    /// How names begin, of which the kernel keeps 15 bytes, and the role; the first that fits counts. All others are
    /// of the application, with the role `thread`.
    starts: &'static [(&'static str, &'static str)],
}

/// How old a thread is that has the name that it goes by.
const NAMED_BY: Duration = Duration::from_millis(500);

const MAIN: &str = "main";
const THREAD: &str = "thread";
const CHILD: &str = "child";

/// Of a pool that carries virtual threads, or tasks of the application.
const CARRIER: &str = "carrier";
/// Collects garbage.
const GC: &str = "gc";
/// Compiles what runs often.
const COMPILER: &str = "compiler";
/// The virtual machine's other threads.
const VM: &str = "vm";

/// HotSpot's, as they were seen of 17 and 25 with each of their collectors; those that come and go, from its sources.
pub(super) static OF_JAVA: Names = Names {
    roles: &Roles {
        names: &[MAIN, CARRIER, GC, COMPILER, VM, THREAD, CHILD],
        main: 0,
        thread: 5,
        process: 6,
        thread_of_process: 6,
        told_later: true,
    },
    starts: &[
        ("ForkJoinPool-", CARRIER),
        ("GC Thread#", GC),
        ("G1 ", GC),
        ("RuntimeWorker#", GC),
        ("ZDirector", GC),
        ("ZDriver", GC),
        ("ZWorker", GC),
        ("ZStat", GC),
        ("ZUnmapper", GC),
        ("ZUncommitter", GC),
        ("Shenandoah", GC),
        ("C1 Compiler", COMPILER),
        ("C2 Compiler", COMPILER),
        ("Sweeper thread", COMPILER),
        ("VM ", VM),
        ("VirtualThread-u", VM),
        ("MasterPoller", VM),
        ("Read-Poller", VM),
        ("Write-Poller", VM),
        ("Reference Handl", VM),
        ("Finalizer", VM),
        ("Signal Dispatch", VM),
        ("Service Thread", VM),
        ("Monitor Deflati", VM),
        ("Notification Th", VM),
        ("Common-Cleaner", VM),
        ("Attach Listener", VM),
    ],
};

/// Serves the connections of one core; the main thread is the first of them.
const REACTOR: &str = "reactor";
/// Makes calls for a reactor that would block.
const SYSCALL: &str = "syscall";

/// Seastar's (`reactor.cc`, `thread_pool.cc`), which ScyllaDB has.
pub(super) static OF_SEASTAR: Names = Names {
    roles: &Roles {
        names: &[REACTOR, SYSCALL, THREAD, CHILD],
        main: 0,
        thread: 2,
        process: 3,
        thread_of_process: 3,
        told_later: true,
    },
    starts: &[("reactor-", REACTOR), ("syscall-", SYSCALL)],
};

impl Names {
    /// Tells the threads of these processes what they are.
    pub(super) fn telling(&'static self, pids: &[u32]) -> Box<dyn Telling> {
        Box::new(Threads {
            names: self,
            pids: pids.iter().copied().collect(),
        })
    }

    /// The role of a thread of that name.
    fn role_of(&self, comm: &str) -> &'static str {
        let known = self
            .starts
            .iter()
            .find(|(start, _)| comm.starts_with(start));
        known.map_or(THREAD, |(_, role)| role)
    }
}

/// Knows the threads of one target.
struct Threads {
    names: &'static Names,
    pids: HashSet<u32>,
}

impl Telling for Threads {
    fn role_of(&mut self, task: &Unsettled) -> Option<usize> {
        let roles = self.names.roles;
        if !self.pids.contains(&task.pid) {
            return roles.place(CHILD);
        }
        if task.tid == task.pid {
            return Some(roles.main);
        }
        let role = self.names.role_of(&task.comm);
        // A new thread has the name of the one that made it still.
        let age = now_ns(ClockId::Monotonic).saturating_sub(task.started_ns);
        let may_be_named = role == THREAD && age < NAMED_BY.as_nanos() as u64;
        (!may_be_named).then(|| roles.place(role)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_of_the_list() {
        for names in [&OF_JAVA, &OF_SEASTAR] {
            let roles = names.roles;
            for (start, role) in names.starts {
                assert!(start.len() <= 15, "the kernel keeps 15 bytes: {start}");
                assert!(roles.place(role).is_some(), "{role}");
            }
            assert_eq!(roles.names[roles.thread], THREAD);
            assert_eq!(roles.names[roles.process], CHILD);
        }
    }

    #[test]
    fn threads_by_name() {
        for (comm, role) in [
            ("ForkJoinPool-1-", CARRIER),
            ("ForkJoinPool.co", THREAD),
            ("G1 Conc#0", GC),
            ("C2 CompilerThre", COMPILER),
            ("VM Periodic Tas", VM),
            ("http-nio-8080-e", THREAD),
        ] {
            assert_eq!(OF_JAVA.role_of(comm), role, "{comm}");
        }
        assert_eq!(OF_SEASTAR.role_of("reactor-3"), REACTOR);
        assert_eq!(OF_SEASTAR.role_of("syscall-0"), SYSCALL);
    }
}
