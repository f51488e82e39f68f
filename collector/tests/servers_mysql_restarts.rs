//! MySQL and MariaDB that are restarted while they are watched, in order and by SIGKILL: the watch goes on with the new
//! process.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use libc::{SIGKILL, SIGTERM};
use program::number;
use serde_json::Value;
use servers::mysql::{Kind, Mysql};
use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

const CLIENTS: usize = 5;

/// The threads of the connections that are named.
fn named(target: &Value) -> BTreeSet<u64> {
    let detail = target["connections_detail"].as_array().expect("a list");
    let named = detail.iter().filter(|it| it["peer"].is_string());
    named.filter_map(|it| it["tid"].as_u64()).collect()
}

#[test]
fn a_server_that_is_restarted_or_killed_is_found_again() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let mut server = Mysql::start(kind, &[]);
        let first = server.pid();
        let words = format!("--mysql {} --busy-connections", server.port());
        let attached = Attached::to(&words);
        let begun = Instant::now();
        let mut pids = Vec::new();
        for signal in [SIGTERM, SIGKILL] {
            server.restart(signal);
            pids.push(server.pid());
            // It is looked for every second.
            sleep(Duration::from_secs(3));
        }
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|it| drop(it.query("select 1")));
        sleep(Duration::from_millis(300));
        let at_work = clients[1..].iter_mut();
        at_work.for_each(|it| it.send("select sleep(600)"));
        sleep(Duration::from_secs(2));
        let report = attached.report();
        let watched = begun.elapsed().as_secs_f64();
        let target = &report["targets"][0];
        let restarts = target["restarts"].as_array().expect("restarts");
        let seen: Vec<_> = restarts.iter().map(|it| it["pid"].as_u64()).collect();
        let expected: Vec<_> = pids.iter().map(|pid| Some(u64::from(*pid))).collect();
        assert_eq!(seen, expected, "{kind:?}, after {first}");
        let after = restarts.iter().map(|it| number(&it["after_seconds"]));
        let after: Vec<_> = after.collect();
        assert!(
            after.is_sorted() && after[0] > 0.0 && after[1] < watched - 3.0,
            "{kind:?}: {after:?} of {watched}"
        );
        // What is watched in the end is the last one, and all that it serves, at work too.
        let connected = ["open", "unnamed"].map(|it| target["connected"][it].as_u64());
        assert_eq!(connected, [Some(CLIENTS as u64), Some(0)], "{target:#}");
        let of_last = std::fs::read_dir(format!("/proc/{}/task", server.pid()));
        let of_last = of_last.expect("it runs").flatten();
        let of_last: BTreeSet<u64> = of_last
            .filter_map(|it| it.file_name().to_str()?.parse().ok())
            .collect();
        let named = named(target);
        assert!(
            named.len() == CLIENTS && named.is_subset(&of_last),
            "{kind:?}: {named:?}"
        );
        let tasks = number(&target["tasks"]);
        assert_eq!(tasks, of_last.len() as f64, "{kind:?}");
    }
}
