//! Workers that accept at one listener: who gets how many connections, and what becomes of those of
//! a dead one.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::collections::BTreeMap;

use server::{Connection, Server, eventually, signal_process};

/// So many connections, made one after another, by the worker of each.
fn connect(server: &Server, count: usize) -> BTreeMap<i32, Vec<Connection>> {
    let mut workers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for _ in 0..count {
        let mut connection = server.connect();
        let worker = connection.process();
        workers.entry(worker).or_default().push(connection);
    }
    workers
}

#[test]
fn every_worker_gets_its_share_of_connections() {
    let server = Server::start("process-pool", &["--workers", "4"]);
    let workers = connect(&server, 200);
    let shares: Vec<_> = workers.values().map(Vec::len).collect();
    assert_eq!(shares.len(), 4, "{shares:?}");
    assert!(shares.iter().all(|&share| share >= 40), "{shares:?}");
}

#[test]
fn a_dead_worker_is_replaced_and_its_clients_are_counted_down() {
    let server = Server::start("process-pool", &["--workers", "2"]);
    let mut workers = connect(&server, 40);
    let before = server.children();
    assert_eq!(workers.len(), 2);
    let (dead, lost) = workers.pop_first().expect("a worker");
    let (_, mut left) = workers.pop_first().expect("another");
    assert_eq!(left[0].info("connected_clients"), 40);
    signal_process(dead, libc::SIGKILL);
    for mut connection in lost {
        assert_eq!(connection.rest(), b"");
    }
    eventually("another worker is there", || {
        let now = server.children();
        now.len() == 2 && now != before
    });
    assert_eq!(left[0].info("connected_clients"), left.len() as i32);
    let old = before;
    eventually("the new worker accepts", || {
        let worker = server.connect().process();
        assert_ne!(worker, dead);
        !old.contains(&worker)
    });
    eventually("those who asked have left", || {
        server.connect().info("connected_clients") == left.len() as i32 + 1
    });
}
