//! Servers in containers: with PIDs, ports and files of their own.

#[path = "support/program.rs"]
mod program;

use program::*;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Redis in namespaces of its own; ended when dropped.
struct Contained {
    unshare: Child,
    directory: PathBuf,
}

impl Contained {
    #[track_caller]
    fn start(port: u16, number: u32) -> Self {
        let directory = std::env::temp_dir().join(format!("connscope-contained-{port}-{number}"));
        fs::create_dir(&directory).expect("a folder");
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
            .args(["redis-server", "--bind", "127.0.0.1", "--save", ""])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(&directory)
            .stdout(Stdio::null());
        let unshare = unshare.spawn().expect("unshare");
        Self { unshare, directory }
    }

    /// As we see it: within, it is process 1.
    #[track_caller]
    fn pid(&self) -> u32 {
        wait_for("redis-server", || {
            let mut started = children(self.unshare.id()).into_iter();
            started.find(|pid| listens(*pid))
        })
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Whether anybody listens in the network namespace of that process, which is its own.
fn listens(pid: u32) -> bool {
    const LISTEN: &str = " 0A ";
    let table = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/tcp"));
    let is_redis = fs::read_to_string(format!("/proc/{pid}/comm"));
    is_redis.is_ok_and(|name| name.starts_with("redis-server"))
        && table.is_ok_and(|table| table.contains(LISTEN))
}

#[test]
fn two_servers_with_one_port_in_containers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let servers = [0, 1].map(|number| Contained::start(port, number));
    let pids = servers.each_ref().map(Contained::pid);
    let by_port = Ended::of(connscope(&format!("attach --redis {port} --duration 1s"))).exits(1);
    let said = format!("connscope: --redis {port}: these are 2; say which with --pid\n");
    assert!(by_port.stderr.starts_with(&said), "{}", by_port.stderr);
    for pid in pids {
        let line = format!("--redis {pid}");
        assert!(by_port.stderr.contains(&line), "{}", by_port.stderr);
    }
    let words = format!(
        "attach --redis {},{} --duration 300ms --format json",
        pids[0], pids[1]
    );
    let report = Ended::of(connscope(&words)).exits(0).report();
    for (target, pid) in report["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .zip(pids)
    {
        assert_eq!(target["name"], format!("Redis:{port}"));
        assert_eq!(target["pids"], serde_json::json!([pid]));
        let main = &target["roles"][0];
        assert_eq!((&main["role"], &main["tasks"]), (&"main".into(), &1.into()));
    }
}
