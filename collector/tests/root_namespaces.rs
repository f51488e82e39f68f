//! Servers in containers: with PIDs, ports and files of their own.

#[path = "support/program.rs"]
mod program;

use program::*;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
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
        let unshare = spawn(port, &directory);
        Self { unshare, directory }
    }

    /// Ends it as a crash would.
    fn kill(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }

    /// Starts it again with its files, in new namespaces.
    fn start_again(&mut self, port: u16) {
        self.unshare = spawn(port, &self.directory);
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

fn spawn(port: u16, directory: &Path) -> Child {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .args(["redis-server", "--bind", "127.0.0.1", "--save", ""])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .stdout(Stdio::null());
    unshare.spawn().expect("unshare")
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.kill();
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

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn two_servers_with_one_port_in_containers() {
    let port = free_port();
    let servers = [0, 1].map(|number| Contained::start(port, number));
    let pids = servers.each_ref().map(Contained::pid);
    let by_port = Ended::of(connscope(&format!("attach --redis {port} --duration 1s"))).exits(1);
    let said = format!("connscope: --redis {port}: these are 2; say which with --redis PID\n");
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

#[test]
fn one_that_was_started_again_is_not_taken_for_the_other() {
    let port = free_port();
    let [mut first, second] = [0, 1].map(|number| Contained::start(port, number));
    let (before, other) = (first.pid(), second.pid());
    let watch = format!("attach --redis {before} --duration 9s --format json");
    let mut watch = Running::start(connscope(&watch));
    wait_for("the watch", || {
        watch.said().contains("expected cost").then_some(())
    });
    first.kill();
    wait_for("its end", || {
        watch.said().contains("has ended").then_some(())
    });
    // The other one listens at that port all the time: it is looked for twice.
    thread::sleep(Duration::from_millis(2_500));
    assert!(!watch.said().contains("there again"), "{}", watch.said());
    first.start_again(port);
    let after = first.pid();
    let ended = watch.finish().exits(0);
    let said = format!("Redis:{port} is there again, as process {after}\n");
    assert!(ended.stderr.ends_with(&said), "{}", ended.stderr);
    let target = &ended.report()["targets"][0];
    assert_eq!(target["pids"], serde_json::json!([before, after]));
    assert_ne!(after, other);
}
