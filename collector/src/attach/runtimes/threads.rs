//! What the threads of runtimes do, by their names.

use super::RunsIn;
use crate::attach::rounds::Rounds;
use crate::attach::telling::Telling;
use crate::clock::now_ns;
use crate::roles::Roles;
use probe_ebpf::{Unsettled, probes::socket_waiters::WaitersBySocket};
use rustix::time::ClockId;
use std::collections::HashSet;
use std::time::Duration;

/// Threads of one runtime.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) roles: &'static Roles,
    /// Names, and how others begin, each with the role. The kernel keeps 15 bytes of a name. All others are of the
    /// application, with the role `thread`.
    whole: &'static [(&'static str, &'static str)],
    starts: &'static [(&'static str, &'static str)],
}

/// What the kernel keeps of a name, in bytes.
const KEPT: usize = 15;
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

/// HotSpot's, as they were seen of 17 and 25 with each of their collectors; from its sources those that come and go,
/// those of Java 8, and those of ZGC without generations.
pub(super) static OF_JAVA: Names = Names {
    roles: &Roles {
        names: &[MAIN, CARRIER, GC, COMPILER, VM, THREAD, CHILD],
        main: 0,
        thread: 5,
        process: 6,
        thread_of_process: 6,
        told_later: true,
    },
    whole: &[
        ("XDirector", GC),
        ("XDriver", GC),
        ("XStat", GC),
        ("XUnmapper", GC),
        ("XUncommitter", GC),
        ("Sweeper thread", COMPILER),
        ("VM Thread", VM),
        ("VM Periodic Task Thread", VM),
        ("MasterPoller", VM),
        ("Reference Handler", VM),
        ("Finalizer", VM),
        ("Signal Dispatcher", VM),
        ("Service Thread", VM),
        ("Monitor Deflation Thread", VM),
        ("Notification Thread", VM),
        ("Common-Cleaner", VM),
        ("Attach Listener", VM),
    ],
    starts: &[
        ("ForkJoinPool-", CARRIER),
        ("GC Thread#", GC),
        ("GC task thread#", GC),
        ("Gang worker#", GC),
        ("Concurrent Mark", GC),
        ("G1 ", GC),
        ("RuntimeWorker#", GC),
        ("ZDirector", GC),
        ("ZDriver", GC),
        ("ZWorker", GC),
        ("ZStat", GC),
        ("ZUnmapper", GC),
        ("ZUncommitter", GC),
        ("XWorker#", GC),
        ("Shenandoah", GC),
        ("C1 CompilerThre", COMPILER),
        ("C2 CompilerThre", COMPILER),
        ("JVMCI", COMPILER),
        ("VirtualThread-u", VM),
        ("Read-Poller", VM),
        ("Write-Poller", VM),
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
    whole: &[],
    starts: &[("reactor-", REACTOR), ("syscall-", SYSCALL)],
};

impl Names {
    /// The role of a thread of that name.
    fn role_of(&self, comm: &str) -> &'static str {
        let whole = self.whole.iter();
        let mut whole = whole.filter(|(name, _)| comm == &name[..name.len().min(KEPT)]);
        let mut starts = self.starts.iter();
        let known = whole
            .next()
            .or_else(|| starts.find(|(start, _)| comm.starts_with(start)));
        known.map_or(THREAD, |(_, role)| role)
    }
}

/// Knows the threads of one target.
pub(super) struct Threads {
    names: &'static Names,
    runs_in: RunsIn,
    pids: HashSet<u32>,
    /// Those of them that are known to have the runtime.
    running: HashSet<u32>,
    /// Of the other processes.
    rounds: Rounds,
}

impl Threads {
    /// Those of these processes.
    pub(super) fn of(names: &'static Names, runs_in: RunsIn, pids: &[u32]) -> Self {
        Self {
            names,
            runs_in,
            pids: pids.iter().copied().collect(),
            running: HashSet::new(),
            rounds: Rounds::default(),
        }
    }

    /// The place of the role of a thread of that name and age.
    fn place_of(&mut self, pid: u32, tid: u32, comm: &str, age: Duration) -> Option<usize> {
        let roles = self.names.roles;
        if !self.pids.contains(&pid) {
            return roles.place(CHILD);
        }
        if tid == pid {
            return Some(roles.main);
        }
        // A new thread has the name of the one that made it still.
        let is_told = age >= NAMED_BY && self.has_runtime(pid);
        is_told
            .then(|| roles.place(self.names.role_of(comm)))
            .flatten()
    }

    fn has_runtime(&mut self, pid: u32) -> bool {
        let has_it = self.running.contains(&pid) || self.rounds.find(pid, || (self.runs_in)(pid));
        if has_it {
            self.running.insert(pid);
        }
        has_it
    }
}

impl Telling for Threads {
    fn begin(&mut self, _waiters: Option<&WaitersBySocket>) {
        self.rounds.begin();
    }

    fn role_of(&mut self, task: &Unsettled) -> Option<usize> {
        let age = now_ns(ClockId::Monotonic).saturating_sub(task.started_ns);
        self.place_of(task.pid, task.tid, &task.comm, Duration::from_nanos(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_of_the_list() {
        for names in [&OF_JAVA, &OF_SEASTAR] {
            let roles = names.roles;
            for (start, _) in names.starts {
                assert!(start.len() <= KEPT, "{start}");
            }
            for (_, role) in names.whole.iter().chain(names.starts) {
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
            ("Reference Handl", VM),
            ("Service Thread", VM),
            ("Service Thread-", THREAD),
            ("Finalizer", VM),
            ("FinalizerX", THREAD),
            ("GC task thread#", GC),
            ("XWorker#3", GC),
            ("XWorkers-1", THREAD),
            ("JVMCI CompilerT", COMPILER),
        ] {
            assert_eq!(OF_JAVA.role_of(comm), role, "{comm}");
        }
        assert_eq!(OF_SEASTAR.role_of("reactor-3"), REACTOR);
        assert_eq!(OF_SEASTAR.role_of("syscall-0"), SYSCALL);
    }

    const OLD: Duration = NAMED_BY;

    #[test]
    fn a_new_thread_has_no_name_of_its_own_yet() {
        let mut threads = Threads::of(&OF_JAVA, |_| true, &[10]);
        let mut place = |comm, age| threads.place_of(10, 11, comm, age);
        let young = OLD - Duration::from_nanos(1);
        assert_eq!(place("G1 Conc#0", young), None);
        assert_eq!(place("worker", young), None);
        assert_eq!(place("G1 Conc#0", OLD), OF_JAVA.roles.place(GC));
        assert_eq!(place("worker", OLD), OF_JAVA.roles.place(THREAD));
    }

    /// A script that becomes the server, and a process beside it that never does.
    #[test]
    fn threads_of_a_process_without_the_runtime_are_asked_again() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        static IS_THERE: AtomicBool = AtomicBool::new(false);
        let runs_in = |pid| pid == 10 && IS_THERE.load(Relaxed);
        let mut threads = Threads::of(&OF_JAVA, runs_in, &[10, 20]);
        let mut round = |pid| {
            threads.begin(None);
            threads.place_of(pid, pid + 1, "G1 Conc#0", OLD)
        };
        assert_eq!(round(10), None);
        IS_THERE.store(true, Relaxed);
        assert_eq!(round(10), OF_JAVA.roles.place(GC));
        assert_eq!(round(20), None);
        assert_eq!(round(30), OF_JAVA.roles.place(CHILD));
    }
}
