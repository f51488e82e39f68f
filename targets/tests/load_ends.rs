//! What ends a load before its time: servers that refuse, die or hang, and signals.

#[path = "harness/generator.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod generator;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use generator::{Load, Outcome, misbehaving_server, number, pong};
use server::{Server, models, signal_process};

#[test]
fn a_server_that_dies_ends_the_run_at_once() {
    for model in models() {
        let mut server = Server::start(&model, &[]);
        let address = server.address;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(700));
            server.end(libc::SIGKILL);
        });
        let load = Load::new(address, 20, 1000, "30s");
        let Outcome {
            status,
            result,
            took,
        } = load.run();
        killer.join().expect("the server was killed");
        assert_eq!(status, 1, "{model}: {result}");
        assert!(took < Duration::from_secs(2), "{model}: {took:?}");
        assert_eq!(result["complete"], false, "{model}: {result}");
        assert_eq!(
            result["reason"], "the server closed all connections",
            "{model}"
        );
        assert_eq!(number(&result, "errors/reset"), 20.0, "{model}");
        let requests = number(&result, "requests");
        assert!((200.0..900.0).contains(&requests), "{model}: {result}");
        assert!(
            (0.2..0.9).contains(&number(&result, "duration_seconds")),
            "{model}: {result}"
        );
    }
}

#[test]
fn a_refused_connection_is_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = closed.local_addr().expect("its address");
    drop(closed);
    let load = Load::with_defaults(address).option("--connections", 5);
    let Outcome {
        status,
        result,
        took,
    } = load.run();
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false);
    let reason = result["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        format!("cannot make connection 0 to {address}: connection refused")
    );
    assert_eq!(number(&result, "errors/refused"), 1.0);
    assert!(took < Duration::from_secs(1));
}

#[test]
fn a_server_with_too_few_places_refuses_the_run() {
    for model in models() {
        let server = Server::start(&model, &["--max-connections", "10"]);
        let load = Load::with_defaults(server.address).workload("idle");
        let Outcome { status, result, .. } = load.option("--connections", 11).run();
        assert_eq!(status, 1, "{model}: {result}");
        let reason = result["reason"].as_str().expect("a reason");
        assert!(
            reason.ends_with(": ERR max number of clients reached"),
            "{model}: {reason}"
        );
        assert_eq!(number(&result, "errors/refused"), 1.0, "{model}");
    }
}

#[test]
fn a_server_that_hangs_ends_the_run() {
    // Both take 5 s: at the same time.
    let ramp = std::thread::spawn(a_silent_server_ends_the_ramp);
    a_server_that_falls_silent_ends_the_run();
    ramp.join().expect("the ramp ended as expected");
}

fn a_server_that_falls_silent_ends_the_run() {
    let address = misbehaving_server(|number, stream| {
        if number > 20 {
            std::thread::sleep(Duration::from_secs(60));
        }
        pong(stream)
    });
    let load = Load::new(address, 5, 1000, "30s").workload("ping");
    let Outcome {
        status,
        result,
        took,
    } = load.run();
    assert_eq!(status, 1, "{result}");
    assert_eq!(result["complete"], false);
    let reason = result["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        "the server answered nothing for 5s with 5 requests outstanding"
    );
    assert_eq!(number(&result, "requests"), 100.0);
    assert!(number(&result, "unanswered") > 4000.0, "{result}");
    assert!((5.0..7.0).contains(&took.as_secs_f64()), "{took:?}");
}

fn a_silent_server_ends_the_ramp() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = silent.local_addr().expect("its address");
    let load = Load::with_defaults(address).option("--connections", 5);
    let Outcome {
        status,
        result,
        took,
    } = load.run();
    assert_eq!(status, 1, "{result}");
    assert_eq!(number(&result, "errors/timeouts"), 5.0, "{result}");
    assert!((5.0..7.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn sigint_and_sigterm_end_the_run_early() {
    let server = Server::start("event-loop", &[]);
    for (signal, reason) in [
        (libc::SIGINT, "interrupted by SIGINT"),
        (libc::SIGTERM, "ended by SIGTERM"),
    ] {
        let started = Instant::now();
        let child = Load::new(server.address, 10, 1000, "30s").spawn();
        std::thread::sleep(Duration::from_millis(600));
        signal_process(child.id() as i32, signal);
        let Outcome { status, result, .. } = Outcome::of(child, started);
        assert_eq!(status, 1, "{result}");
        assert_eq!(result["complete"], false);
        assert_eq!(result["reason"], reason);
        assert!(number(&result, "requests") > 100.0, "{result}");
    }
}
