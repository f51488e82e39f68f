//! Real Redis servers.
#![allow(dead_code, unreachable_pub)]

use crate::program::wait_for;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A server with a data directory of its own; ended when dropped.
pub struct Redis {
    child: Child,
    pub port: u16,
    pub directory: PathBuf,
}

impl Redis {
    #[track_caller]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let directory = std::env::temp_dir().join(format!("connscope-redis-{port}"));
        fs::create_dir(&directory).expect("a folder");
        let child = spawn(port, &directory);
        let mut redis = Self {
            child,
            port,
            directory,
        };
        redis.wait();
        redis
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.child = spawn(self.port, &self.directory);
        self.wait();
    }

    #[track_caller]
    fn wait(&mut self) {
        wait_for("redis-server", || {
            assert_eq!(self.child.try_wait().expect("a child"), None, "it ended");
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(port: u16, directory: &Path) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server")
}
