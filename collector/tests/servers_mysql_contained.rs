//! MySQL and MariaDB in containers: with PIDs and mounts of their own, where threads have other ids than here.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::*;
use serde_json::Value;
use servers::daemon::free_port;
use servers::mysql::{Kind, arguments, initialised, ports_by_thread};
use servers::mysql_client::Client;
use servers::site::Site;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::{thread, time::Duration};

const CLIENTS: usize = 6;
/// Long enough for a thread that has answered to wait for what comes next.
const REST: Duration = Duration::from_millis(300);

/// What is done in the namespaces before the server is process 1 of them: `$1` is its root directory, `$2` its folder.
const ENTER: &str = r#"
set -e
root=${1%/}
folder=$2
shift 2
mount -t proc proc "$root/proc"
if [ -n "$root" ]; then
    mount --bind /dev "$root/dev"
    mount --bind "$folder" "$root/srv"
fi
exec chroot --userspec=mysql:mysql "$root/" "$@"
"#;

/// A server in namespaces of its own; ended when dropped.
struct Contained {
    unshare: Child,
    port: u16,
    _site: Site,
}

impl Contained {
    #[track_caller]
    fn start(kind: Kind) -> Self {
        let site = initialised(kind);
        let port = free_port();
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--ipc", "--pid", "--mount", "--fork", "--kill-child"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(site.root())
            .arg(site.path(""))
            .arg(kind.program())
            .args(arguments(&site, kind, port, &[]))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(site.path("log")).expect("a folder of ours"));
        let mut contained = Self {
            unshare: unshare.spawn().expect("unshare"),
            port,
            _site: site,
        };
        wait_for("an answer", || {
            let ended = contained.unshare.try_wait().expect("a child of ours");
            let said = || fs::read_to_string(contained._site.path("log"));
            assert_eq!(ended, None, "{:?}", said());
            Client::try_connect(port, "mysql").ok()
        });
        contained
    }

    /// As we see it: within, it is process 1.
    #[track_caller]
    fn pid(&self) -> u32 {
        let started = children(self.unshare.id());
        *started.first().expect("the server")
    }
}

impl Drop for Contained {
    /// The server by itself: it has changed its user, so that the end of its parent is nothing to it.
    fn drop(&mut self) {
        for server in children(self.unshare.id()) {
            kill(server, libc::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The ids of a thread in all namespaces from ours on, the innermost last.
#[track_caller]
fn ids(pid: u32, tid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).expect("it runs");
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids = ids.expect("ids").split_whitespace();
    ids.map(|id| id.parse().expect("a number")).collect()
}

#[test]
fn connections_of_a_server_in_a_container_are_named_by_our_ids() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let server = Contained::start(kind);
        let pid = server.pid();
        assert_eq!(ids(pid, pid), [pid, 1]);
        let connect = || Client::connect(server.port, "mysql");
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
        let mut asks = connect();
        // Within the watch: the threads are noted by what they wait at, then they are at work.
        let words = format!(
            "attach --mysql {} --busy-connections --format json",
            server.port
        );
        let mut command = connscope(&words);
        command.args(["--mysql-dsn", "user=root"]);
        let mut attached = Running::start(command);
        wait_for("the watch", || {
            attached
                .said()
                .contains("watching until Ctrl-C")
                .then_some(())
        });
        clients.iter_mut().for_each(|it| drop(it.query("select 1")));
        thread::sleep(REST);
        clients
            .iter_mut()
            .for_each(|it| it.send("select sleep(600)"));
        asks.query("select 1");
        let report = attached.end_by(libc::SIGINT).exits(0).report();
        let target = &report["targets"][0];
        assert_eq!(target["pids"], serde_json::json!([pid]), "{kind:?}");
        // Those, and connscope.
        let connected = ["open", "unnamed"].map(|it| target["connected"][it].as_u64());
        let all = CLIENTS as u64 + 2;
        assert_eq!(connected, [Some(all), Some(0)], "{kind:?}: {target:#}");
        let truth = ports_by_thread(kind, &mut asks);
        let detail = target["connections_detail"].as_array().expect("a list");
        let mut seen = 0;
        for one in detail {
            let tid = one["tid"].as_u64().expect("an id") as u32;
            // That of connscope has ended.
            let Ok(status) = fs::metadata(format!("/proc/{pid}/task/{tid}")) else {
                continue;
            };
            assert!(status.is_dir());
            let ids = ids(pid, tid);
            assert_eq!((ids.len(), ids[0]), (2, tid));
            let Some(port) = truth.get(&ids[1]) else {
                continue;
            };
            let peer = one["peer"].as_str().expect("an address");
            assert!(peer.ends_with(&format!(":{port}")), "{one:#}, not {port}");
            assert_eq!(one["user"], "root", "{one:#}");
            seen += 1;
        }
        assert_eq!(seen, CLIENTS + 1, "{kind:?}: {detail:#?}");
        let at_work = |it: &&Value| it["state"].as_str().is_some_and(|it| it.contains("sleep"));
        assert_eq!(
            detail.iter().filter(at_work).count(),
            CLIENTS,
            "{detail:#?}"
        );
    }
}
