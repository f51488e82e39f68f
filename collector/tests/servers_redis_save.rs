//! A background save of Redis with 500 MB under writes: what its fork takes and what is copied afterwards, beside
//! what Redis says of itself.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use program::{children, kill, number, wait_for};
use serde_json::Value;
use servers::redis::Redis;

const KEYS: usize = 1_000_000;
/// With what Redis adds to each key, 500 MB.
const VALUE_BYTES: usize = 400;
const PAGE: f64 = 4096.0;

/// Writes in place to every `step`th value, so that its page is copied while a save is under way.
fn write_during_save(redis: &Redis, step: usize) -> usize {
    const AT_ONCE: usize = 500;
    let mut client = redis.connect();
    let mut written = 0;
    for keys in (0..KEYS).step_by(step).collect::<Vec<_>>().chunks(AT_ONCE) {
        for key in keys {
            let command = format!("SETRANGE key:{key} 0 written");
            client.send(&command).expect("the server is there");
        }
        for _ in keys {
            client.answer().expect("an answer");
        }
        written += keys.len();
    }
    written
}

/// How many pages of all roles were copied, of a class of faults.
fn copied(report: &Value, class: &str) -> f64 {
    let faults = &report["targets"][0]["measures"]["faults"]["by_class"];
    number(&faults[class]["estimated_total"])
}

#[test]
fn a_save_under_writes() {
    // One key in 50 delays the save a little, so that it is under way for a second at least.
    let settings = [
        ("enable-debug-command", "local"),
        ("rdb-key-save-delay", "-50"),
    ];
    let redis = Redis::start(&settings);
    let mut client = redis.connect();
    client.command(&format!("DEBUG POPULATE {KEYS} key {VALUE_BYTES}"));
    let resident = redis.info("used_memory_rss");
    assert!(resident > 500_000_000, "{resident}");

    let attached = Attached::to(&format!("--redis {} --fault-windows 100", redis.port()));
    client.command("BGSAVE");
    let child = wait_for("child", || children(redis.pid()).first().copied());
    // However busy the host: all writes are to pages that the child has still.
    kill(child, libc::SIGSTOP);
    let written = write_during_save(&redis, 25);
    assert_eq!(redis.info("rdb_bgsave_in_progress"), 1, "it was too quick");
    kill(child, libc::SIGCONT);
    wait_for("end of the save", || {
        (redis.info("rdb_bgsave_in_progress") == 0).then_some(())
    });
    let report = attached.report();

    let creations = &report["targets"][0]["measures"]["creations"];
    assert_eq!(creations["process"]["count"], 1, "{creations:#}");
    let fork = &creations["latency"]["fork"];
    assert_eq!(fork["count"], 1, "{creations:#}");
    let (seen, truth) = (
        number(&fork["sum_seconds"]),
        redis.info("latest_fork_usec") as f64 / 1e6,
    );
    assert!(
        (seen / truth - 1.0).abs() < 0.1,
        "{seen} s, by Redis {truth} s"
    );

    let seen = copied(&report, "cow_copy") * PAGE;
    let truth = redis.info("rdb_last_cow_size") as f64;
    println!(
        "copied: {seen} bytes, by Redis {truth}; {:#}",
        report["targets"][0]["measures"]["faults"]
    );
    assert!(
        (seen / truth - 1.0).abs() < 0.1,
        "{seen} bytes, by Redis {truth}"
    );
    assert!(
        seen > written as f64 * PAGE * 0.5,
        "{seen} of {written} writes"
    );
}
