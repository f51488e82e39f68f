//! A server that is watched again and again while clients work on it: nothing of it fails, and nothing stays.
//! `CONNSCOPE_SECONDS` says for how long; ten seconds by default, which is some dozen times.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::cgroup::Hierarchy;
use leftovers::Before;
use program::*;
use serde_json::Value;
use servers::load::{pgbench, pgbench_tables};
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::{fs, thread, time::Duration};

/// How much a backend may grow, however often it is watched: a few pages, as it takes in what others have changed.
const GROWN_MOST: u64 = 3 * 4096;

/// Bytes that a process has for itself alone, and its page tables. The kernel keeps other counts in parts for each CPU.
fn memory(pid: u32) -> u64 {
    let kilobytes = |file: &str, name: &str| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|line| line.split_whitespace().next());
        figure
            .and_then(|figure| figure.parse().ok())
            .expect("a figure")
    };
    (kilobytes("smaps_rollup", "Anonymous:") + kilobytes("status", "VmPTE:")) * 1024
}

/// What a backend that works between the watches is asked.
fn work(client: &mut Client) {
    for account in (1..=100_000).step_by(2_000) {
        client.query(&format!(
            "select abalance from pgbench_accounts where aid = {account}"
        ));
    }
}

#[test]
fn attached_to_again_and_again_under_load() {
    let seconds =
        std::env::var("CONNSCOPE_SECONDS").map_or(10, |text| text.parse().expect("a number"));
    let mut server = Postgresql::start(Version::Installed, &[]);
    let port = server.port();
    pgbench_tables(port, 1);
    let mut idle = server.connect();
    idle.query("select count(*) from pgbench_accounts");
    let mut busy = server.connect();
    busy.query("select count(*) from pgbench_accounts");
    let left = Before::now();
    let attach = || {
        let words = format!("attach --postgres {port} --duration 100ms --format json --quiet");
        let ended = Ended::of(connscope(&words)).exits(0);
        assert_eq!(ended.stderr, "");
    };
    // What the first one alone changes is no growth.
    attach();
    work(&mut busy);
    let backends = [("idle", idle.pid), ("busy", busy.pid)];
    let before = backends.map(|(_, pid)| memory(pid));
    let mut loads = ["-S -n -c 4", "-S -n -C -c 2"].map(|kind| {
        let load = pgbench(port, &format!("{kind} -T {seconds}"));
        thread::sleep(Duration::from_millis(200));
        load
    });
    let mut times = 0;
    while loads.iter_mut().any(Running::is_running) {
        attach();
        work(&mut busy);
        times += 1;
    }
    println!("attached {times} times in {seconds} s");
    assert!(times >= seconds / 3, "attached {times} times only");
    for load in loads {
        let ended = load.finish().exits(0);
        let none_failed = ended
            .stdout
            .contains("number of failed transactions: 0 (0.000%)");
        assert!(none_failed && !ended.stderr.contains("error"), "{ended:#?}");
    }
    let said = server.daemon().said();
    assert!(
        !said.contains("could not fork") && !said.contains("terminated by signal"),
        "{said}"
    );
    left.assert_nothing_left();
    for ((kind, pid), before) in backends.into_iter().zip(before) {
        let grown = memory(pid).saturating_sub(before);
        println!("the {kind} backend has grown by {grown} bytes");
        assert!(grown <= GROWN_MOST, "{grown} bytes in the {kind} backend");
    }
    assert_eq!(idle.query("select 1"), [["1"]]);
}

#[test]
fn own_memory_is_what_the_cgroup_accounts() {
    const BACKENDS: usize = 100;
    let hierarchy = Hierarchy::find().expect("a hierarchy");
    let cgroup = hierarchy.create("own").expect("a cgroup");
    let server = Postgresql::start(Version::Installed, &[("max_connections", "120")]);
    let port = server.port();
    pgbench_tables(port, 1);
    for pid in children(server.pid()).into_iter().chain([server.pid()]) {
        // One that worked for the tables may have ended.
        let moved = fs::write(cgroup.processes_file(), pid.to_string());
        assert!(moved.is_ok() || pid != server.pid(), "{moved:?}");
    }
    let at_work = || -> Vec<Client> {
        let mut clients: Vec<_> = (0..BACKENDS).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.query("select count(*) from pgbench_accounts where aid < 20000");
            client
                .query("select count(*) from pg_class c join pg_attribute a on a.attrelid = c.oid");
        }
        clients
    };
    // What all share is touched once before.
    at_work().into_iter().for_each(Client::close);
    wait_for("the last backend to end", || {
        let clients = server
            .query("select count(*) from pg_stat_activity where backend_type = 'client backend'");
        (servers::figure::<usize>(&clients) == 1).then_some(())
    });
    thread::sleep(Duration::from_millis(500));
    let before = cgroup.bytes().expect("its usage");
    let _clients = at_work();
    let grown = cgroup.bytes().expect("its usage") - before;
    let words =
        format!("attach --postgres {port} --duration 1s --own-memory-budget 100 --format json");
    let report = Ended::of(connscope(&words)).exits(0).report();
    let roles = report["targets"][0]["roles"].as_array().expect("roles");
    let client = roles.iter().find(|role| role["role"] == "client");
    let own: &Value = &client.expect("clients")["measures"]["memory"]["own_bytes"];
    assert_eq!(
        (&own["sampled"], &own["of"]),
        (&BACKENDS.into(), &BACKENDS.into()),
        "{own:#}"
    );
    let (own, accounted) = (
        own["mean"].as_f64().expect("a mean"),
        grown as f64 / BACKENDS as f64,
    );
    // What the kernel has for a process besides (task, files, mappings) is in the cgroup's alone.
    let share = own / accounted;
    assert!(
        (0.95..=1.05).contains(&share),
        "{own} of {accounted} bytes, {share}"
    );
}
