//! Other people's tools against every model. Needs `redis-cli` and `redis-benchmark` (Debian:
//! redis-tools).

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::process::{Command, Stdio};

use server::{Server, models};

/// Runs a tool with `input` and answers what it printed; fails with the remedy where it is missing.
fn tool(name: &str, server: &Server, arguments: &[&str], input: &str) -> String {
    let port = server.address.port().to_string();
    let mut child = Command::new("timeout")
        .args(["20", name, "-h", "127.0.0.1", "-p", &port])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cannot run timeout (Debian: coreutils)");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("cannot write");
    drop(stdin);
    let output = child.wait_with_output().expect("cannot wait");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_ne!(
        output.status.code(),
        Some(127),
        "{name} is missing; install redis-tools"
    );
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {:?} {text}{error}",
        output.status
    );
    text
}

#[test]
fn a_redis_cli_session() {
    for model in models() {
        let server = Server::start(&model, &[]);
        let input = "set greeting \"hello world\"\nget greeting\nincr n\nincr n\ndel greeting n\n\
                     get greeting\nincr\nwait 1\ntouch 10000\nnonsense\nping\n";
        let text = tool("redis-cli", &server, &[], input);
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        let expected = [
            "OK",
            "hello world",
            "1",
            "2",
            "2",
            "ERR wrong number of arguments for 'incr' command",
            "OK",
            "OK",
            "ERR unknown command 'nonsense'",
            "PONG",
        ];
        assert_eq!(lines, expected, "{model}");
        let info = tool("redis-cli", &server, &["info"], "");
        assert!(info.contains(&format!("model:{model}")), "{info}");
        let save = tool("redis-cli", &server, &["config", "get", "save"], "");
        assert_eq!(save, "save\n\n", "{model}");
    }
}

const ALL: &str = "ping,get,set,incr";
/// From one client to a thousand, with so many requests of these kinds: it takes the tool a second to
/// connect a thousand, for each kind anew.
const CLIENTS: [(&str, u32, &str); 3] = [
    ("1", 1_000, ALL),
    ("50", 5_000, ALL),
    ("1000", 5_000, "incr"),
];

fn benchmark(pipeline: u32) {
    for (model, (clients, requests, kinds)) in models()
        .iter()
        .flat_map(|model| CLIENTS.map(|clients| (model, clients)))
    {
        let server = Server::start(model, &[]);
        let requests = (requests * pipeline).to_string();
        let arguments = [
            "-t",
            kinds,
            "-c",
            clients,
            "-n",
            &requests,
            "-P",
            &pipeline.to_string(),
            "--csv",
        ];
        let text = tool("redis-benchmark", &server, &arguments, "");
        let mut rates = Vec::new();
        for line in text.lines().skip(1) {
            let mut fields = line.split(',').map(|field| field.trim_matches('"'));
            let (name, rate) = (
                fields.next().expect("a name"),
                fields.next().expect("a rate"),
            );
            rates.push((name.to_owned(), rate.parse::<f64>().expect("a number")));
        }
        let names: Vec<_> = rates.iter().map(|(name, _)| name.as_str()).collect();
        let all = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"];
        let expected = if kinds == ALL { &all[..] } else { &all[4..] };
        assert_eq!(names, expected, "{model}, {clients} clients: {text}");
        assert!(
            rates.iter().all(|&(_, rate)| rate > 1000.0),
            "{model}, {clients} clients: {rates:?}"
        );
        let counter = tool("redis-cli", &server, &["get", "counter:__rand_int__"], "");
        assert_eq!(
            counter.trim(),
            requests,
            "{model}, {clients} clients: every INCR counts"
        );
    }
}

#[test]
fn redis_benchmark_one_by_one() {
    benchmark(1);
}

#[test]
fn redis_benchmark_pipelined() {
    benchmark(16);
}
