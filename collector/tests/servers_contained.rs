//! PostgreSQL in containers: with PIDs, ports and mounts of their own, two at the same port.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::*;
use serde_json::Value;
use servers::daemon::free_port;
use servers::postgresql::{Version, initialised, installed};
use servers::site::Site;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A server in namespaces of its own, as process 1 of them, with a client at work; all ended when dropped.
struct Contained {
    unshare: Child,
    client: Option<Running>,
    socket: PathBuf,
    _site: Site,
}

impl Contained {
    #[track_caller]
    fn start(port: u16, name: &str) -> Self {
        let site = initialised(Version::Installed);
        let mut unshare = Command::new("unshare");
        unshare
            .args([
                "--net",
                "--ipc",
                "--pid",
                "--mount-proc",
                "--fork",
                "--kill-child",
            ])
            .args([
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
            ])
            .arg(installed("postgres"))
            .args(["-D", &site.seen("data"), "-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            // In files of its own: it is killed, and leaves what is elsewhere behind.
            .args(["-c", "dynamic_shared_memory_type=mmap"])
            .args(["-c", &format!("unix_socket_directories={}", site.seen(""))])
            .current_dir(site.path(""))
            .stdout(Stdio::null())
            .stderr(File::create(site.path("log")).expect("a folder of ours"));
        let mut contained = Self {
            unshare: unshare.spawn().expect("unshare"),
            client: None,
            socket: site.path(""),
            _site: site,
        };
        let answers = || {
            let asked = contained.psql(port, name, "select 1").finish();
            asked.status.success().then_some(())
        };
        wait_for("an answer", answers);
        contained.client = Some(contained.psql(port, name, "select pg_sleep(600)"));
        contained
    }

    fn psql(&self, port: u16, name: &str, sql: &str) -> Running {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-U", "postgres", "-p", &port.to_string(), "-c", sql])
            .arg("-h")
            .arg(&self.socket)
            .env("PGAPPNAME", name);
        Running::start(command)
    }

    /// As we see it: within, it is process 1.
    #[track_caller]
    fn pid(&self) -> u32 {
        let started = children(self.unshare.id());
        *started.first().expect("the postmaster")
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.client.take();
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The id of a process in its own namespace.
fn own_id(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let own = ids.and_then(|ids| ids.split_whitespace().last()?.parse().ok());
    own.expect("ids")
}

#[test]
fn two_servers_at_one_port_are_told_apart_and_logged_in_to() {
    let names = ["first", "second"];
    let port = free_port();
    let servers = names.map(|name| Contained::start(port, name));
    let by_port = Ended::of(connscope(&format!(
        "attach --postgres {port} --duration 1s"
    )))
    .exits(1);
    let said =
        format!("connscope: --postgres {port}: these are 2; say which with --postgres PID\n");
    assert!(by_port.stderr.starts_with(&said), "{}", by_port.stderr);

    let [first, second] = servers.each_ref().map(Contained::pid);
    let words =
        format!("attach --postgres {first} --postgres {second} --duration 1200ms --format json");
    let mut command = connscope(&words);
    command.args(["--postgres-dsn", "user=postgres"]);
    let ended = Ended::of(command).exits(0);
    let report = ended.report();
    let targets = report["targets"].as_array().expect("targets");
    for ((target, name), pid) in targets.iter().zip(names).zip([first, second]) {
        assert_eq!(target["name"], format!("PostgreSQL:{port}"));
        assert_eq!(target["pids"], serde_json::json!([pid]));
        // Its client, and connscope.
        let connected = &target["connected"];
        assert_eq!(
            (&connected["open"], &connected["unnamed"]),
            (&2.into(), &0.into()),
            "{}",
            ended.stderr
        );
        for (role, tasks) in [
            ("postmaster", 1),
            ("client", 2),
            ("checkpointer", 1),
            ("other", 0),
        ] {
            let roles = target["roles"].as_array().expect("roles");
            let role = roles
                .iter()
                .find(|it| it["role"] == role)
                .expect("the role");
            assert_eq!(role["tasks"], tasks, "{role:#}");
        }
        let detail = target["connections_detail"].as_array().expect("a list");
        let client: Vec<&Value> = detail
            .iter()
            .filter(|it| it["application"] == name)
            .collect();
        assert_eq!(client.len(), 1, "{detail:#?}");
        assert_eq!(client[0]["wait_event"], "PgSleep");
        let pid = client[0]["pid"].as_u64().expect("a pid");
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert!(
            title.starts_with("postgres: postgres postgres [local]"),
            "{title}"
        );
        assert_ne!(own_id(pid), pid);
    }
}
