//! Process ids that are used again while a server is watched, many times over.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use program::*;
use serde_json::Value;
use servers::load::{pgbench, pgbench_tables};
use servers::postgresql::{Postgresql, Version};
use std::{collections::HashSet, env, fs, process::Command};

const PID_MAX: &str = "/proc/sys/kernel/pid_max";
/// The kernel gives none below 300 away again, so this is 120 at a time.
const HIGHEST: u32 = 420;
/// Tells this program that it runs where there are so few.
const FEW: &str = "CONNSCOPE_FEW_PIDS";
/// Connections that stay, and those that come and go.
const STAYING: usize = 10;
const COMING: usize = 600;

/// In a PID namespace that has few of them: since Linux 6.14 each has a limit of its own. Before that the one limit of
/// the host would be changed, so nothing is.
#[test]
fn pids_that_are_used_again() {
    if env::var_os(FEW).is_some() {
        return under_few_pids();
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    let mut numbers = release.split(['.', '-']).map_while(|it| it.parse().ok());
    let version: (u32, u32) = numbers.next().zip(numbers.next()).expect("two numbers");
    assert!(
        version >= (6, 14),
        "Linux 6.14 is needed, this is {release}"
    );
    let of_host = fs::read_to_string(PID_MAX).expect("a limit");
    let mut within = Command::new("unshare");
    within
        .args(["--pid", "--mount-proc", "--fork", "--kill-child"])
        .arg(env::current_exe().expect("a program"))
        .args(["--exact", "pids_that_are_used_again", "--nocapture"])
        .env(FEW, "1");
    let ended = Ended::of(within).exits(0);
    assert!(ended.stdout.contains("1 passed"), "{ended:#?}");
    let after = fs::read_to_string(PID_MAX).expect("a limit");
    assert_eq!(after, of_host);
}

fn under_few_pids() {
    fs::write(PID_MAX, HIGHEST.to_string()).expect("a limit of this namespace");
    use_up_the_low_ones();
    let settings = [("log_connections", "on"), ("autovacuum", "off")];
    let mut server = Postgresql::start(Version::Installed, &settings);
    pgbench_tables(server.port(), 1);
    let staying: Vec<_> = (0..STAYING).map(|_| server.connect()).collect();
    let attached = Attached::to(&format!("--postgres {}", server.port()));
    let begun = server.daemon().said().len();
    let coming = format!("-n -S -C -c 2 -t {}", COMING / 2);
    pgbench(server.port(), &coming).finish().exits(0);
    let said = server.daemon().said()[begun..].to_owned();
    let report = attached.report();
    let served: Vec<u32> = said.lines().filter_map(of_a_connection).collect();
    // One more, by which it looks at its tables.
    assert_eq!(served.len(), COMING + 1);
    let different = served.iter().collect::<HashSet<_>>().len();
    assert!(
        different <= (HIGHEST - 300) as usize,
        "{different} different pids"
    );

    let target = &report["targets"][0];
    let creations = &target["measures"]["creations"];
    for count in [
        &creations["process"],
        &creations["first_run"],
        &creations["latency"]["fork"],
    ] {
        assert_eq!(count["count"], COMING + 1, "{creations:#}");
    }
    let new = &target["new_connection"];
    assert_eq!(
        (&new["created"], &new["of_other_roles"]),
        (&(COMING + 1).into(), &0.into()),
        "{new:#}"
    );
    let roles = target["roles"].as_array().expect("roles");
    let tasks = |name: &str| {
        let role = roles.iter().find(|it| it["role"] == name);
        role.expect("a role")["tasks"].as_u64().expect("a number")
    };
    assert_eq!((tasks("client"), tasks("starting")), (STAYING as u64, 0));
    let connections = target["connections_detail"].as_array().expect("them");
    let named: HashSet<u64> = connections.iter().filter_map(pid_of_client).collect();
    assert_eq!(
        named,
        staying.iter().map(|it| it.pid.into()).collect(),
        "{connections:#?}"
    );
    let connected = ["open", "named", "unnamed"].map(|it| target["connected"][it].as_u64());
    assert_eq!(connected, [STAYING as u64, STAYING as u64, 0].map(Some));
}

/// The kernel begins with those, once.
fn use_up_the_low_ones() {
    let next = || {
        let mut child = Command::new("true").spawn().expect("a process");
        child.wait().expect("it ends");
        child.id()
    };
    let mut last = 0;
    loop {
        let pid = next();
        if pid < last {
            return;
        }
        last = pid;
    }
}

/// The pid in a line of the server's log that says it has let a connection in.
fn of_a_connection(line: &str) -> Option<u32> {
    let (before, _) = line.split_once("] LOG:  connection authorized:")?;
    before.rsplit_once('[')?.1.parse().ok()
}

fn pid_of_client(connection: &Value) -> Option<u64> {
    (connection["role"] == "client").then(|| connection["pid"].as_u64())?
}
