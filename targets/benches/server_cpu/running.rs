//! A server that runs, ours or Redis, and what it has spent.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::ops::Sub;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Server, children_of, cpu_ticks_by_kind};

/// The server that all are compared with.
pub(crate) const REDIS: &str = "redis-server";
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time in seconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Spent {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// A server; ended when dropped.
pub(crate) enum Running {
    Ours(Server),
    Redis(Redis),
}

impl Running {
    pub(crate) fn start(name: &str) -> Self {
        match name {
            REDIS => Self::Redis(Redis::start()),
            model => Self::Ours(Server::start(model, &[])),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Ours(server) => server.address.port(),
            Self::Redis(redis) => redis.port,
        }
    }

    fn pid(&self) -> i32 {
        match self {
            Self::Ours(server) => server.pid(),
            Self::Redis(redis) => redis.child.id() as i32,
        }
    }

    /// What its processes have spent so far, those that have ended among them.
    pub(crate) fn spent(&self) -> Spent {
        // A process that served a client is its parent's once that has taken note of its end.
        std::thread::sleep(Duration::from_millis(100));
        let pid = self.pid();
        let processes = std::iter::once(pid).chain(children_of(pid));
        let mut spent = Spent::default();
        for [user, system] in processes.map(cpu_ticks_by_kind) {
            spent.user += user as f64 / TICKS_PER_SECOND;
            spent.system += system as f64 / TICKS_PER_SECOND;
        }
        spent
    }

    /// Ends it; answers the context switches of all tasks that it ever had.
    pub(crate) fn end(mut self) -> u64 {
        let before = switches_of_children();
        match &mut self {
            Self::Ours(server) => _ = server.end(libc::SIGTERM),
            Self::Redis(redis) => redis.end(),
        }
        switches_of_children() - before
    }
}

/// Context switches of all processes that were waited for.
fn switches_of_children() -> u64 {
    // SAFETY: all zeroes are a `rusage`, which the kernel fills.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage
    };
    (usage.ru_nvcsw + usage.ru_nivcsw) as u64
}

/// A Redis of our own, without persistence; ended when dropped.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let child = Command::new(REDIS)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot run redis-server; install it");
        let redis = Self { child, port };
        let begun = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}
