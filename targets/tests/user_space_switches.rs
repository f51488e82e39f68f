//! The counters of schedulers in user space, read from their file as anyone would.

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::path::{Path, PathBuf};

use disturbance::Disturbance;
use server::{Server, eventually};

const MODELS: [&str; 2] = ["async-tasks", "green-threads"];

/// What the file says, summed over threads.
#[derive(Debug)]
struct Counted {
    threads: u32,
    alive: u64,
    switches: u64,
    sampled: u64,
    sampled_ns: u64,
}

/// A file for counters, removed when dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir();
        Self(folder.join(format!("connscope-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }

    fn read(&self, model: &str, pid: i32) -> Counted {
        let bytes = std::fs::read(&self.0).expect("the file");
        assert_eq!(&bytes[..8], b"cnscpcnt");
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8"));
        assert_eq!((u32_at(8), u32_at(12)), (1, pid as u32));
        let name = std::str::from_utf8(&bytes[40..72]).expect("text");
        assert_eq!(name.trim_end_matches('\0'), model);
        let (first, distance, threads) = (u32_at(16), u32_at(20), u32_at(24));
        let sum = |counter: usize| -> u64 {
            let places = (0..threads).map(|thread| (first + thread * distance) as usize);
            places.map(|place| u64_at(place + counter)).sum()
        };
        Counted {
            threads,
            alive: sum(0) - sum(8),
            switches: sum(16),
            sampled: sum(24),
            sampled_ns: sum(32),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn tasks_alive_and_switches_are_counted() {
    for model in MODELS {
        let file = File::new(model);
        let options = ["--workers", "2", "--counters", file.path()];
        let server = Server::start(model, &options);
        let counted = || file.read(model, server.pid());
        assert_eq!((counted().threads, counted().alive), (2, 0), "{model}");
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.exchange(b"PING\r\n", b"+PONG\r\n");
        }
        eventually("all wait again", || counted().alive == 20);
        let before = counted().switches;
        for _ in 0..50 {
            for client in &mut clients {
                client.exchange(b"PING\r\n", b"+PONG\r\n");
            }
        }
        // Each exchange is one switch to its task; a few may find the request not there yet.
        let more = counted().switches - before;
        assert!((999..1100).contains(&more), "{model}: {more} for 1000");
        clients.truncate(5);
        eventually("those that left are gone", || counted().alive == 5);
        drop(clients);
        eventually("all are gone", || counted().alive == 0);
    }
}

/// Under a load that keeps it busy a switch is some tens of nanoseconds to some microseconds.
#[test]
fn the_time_of_switches_is_sampled() {
    for model in MODELS {
        let file = File::new(&format!("{model}-busy"));
        let server = Server::start(model, &["--workers", "1", "--counters", file.path()]);
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        let disturbance = Disturbance::watch();
        let counted = || file.read(model, server.pid());
        eventually("enough switches were timed", || {
            for client in &mut clients {
                client.send(b"WORK 20\r\n");
            }
            for client in &mut clients {
                client.expect(b"+OK\r\n");
            }
            counted().sampled >= 20
        });
        let Counted {
            switches,
            sampled,
            sampled_ns,
            ..
        } = counted();
        println!("{model}: {switches} switches, {sampled} timed, {sampled_ns} ns");
        // While the CPU was away a switch took as long.
        let away = (disturbance.seconds() * 1e9) as u64;
        let mean = sampled_ns / sampled;
        let most = 1_000_000 + away / sampled;
        assert!((5..most).contains(&mean), "{model}: {mean} ns of {most}");
        assert!(sampled * 200 < switches, "{model}: {sampled} of {switches}");
    }
}

/// A file without a name that the server was started with is used as it is.
#[test]
fn counters_may_be_behind_a_descriptor() {
    for model in MODELS {
        let memory = rustix::fs::memfd_create("counters", rustix::fs::MemfdFlags::empty());
        let memory = std::fs::File::from(memory.expect("a file in memory"));
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&memory);
        let theirs = format!("/proc/self/fd/{descriptor}");
        let server = Server::start(model, &["--workers", "2", "--counters", &theirs]);
        // Ours of the same number is the same file.
        let file = std::mem::ManuallyDrop::new(File(PathBuf::from(theirs)));
        let _client = server.connect();
        eventually("it is counted", || {
            let counted = file.read(model, server.pid());
            (counted.threads, counted.alive) == (2, 1)
        });
    }
}

/// What programs are told of the models: those that count are those that take the option.
#[test]
fn the_list_says_who_counts() {
    let output = std::process::Command::new(server::TARGET)
        .args(["models", "--format", "json"])
        .output()
        .expect("cannot run the program");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let named = |holds: &dyn Fn(&serde_json::Value) -> bool| -> Vec<String> {
        let models = list.iter().filter(|model| holds(model));
        let names = models.filter_map(|model| model["name"].as_str());
        names.map(str::to_owned).collect()
    };
    assert_eq!(named(&|_| true), server::models());
    let takes = |model: &serde_json::Value, option: &str| {
        let options = model["options"].as_array().expect("options");
        options.iter().any(|taken| taken == option)
    };
    assert_eq!(named(&|model| takes(model, "--counters")), MODELS);
    assert_eq!(named(&|model| takes(model, "--backend")), ["pooler"]);
    // Of other languages' runtimes, where they were built.
    let hidden = named(&|model| !model["uncounted_switches"].is_null());
    let runtimes = ["goroutines", "virtual-threads"];
    let built = server::models();
    let built: Vec<_> = built
        .iter()
        .filter(|name| runtimes.contains(&name.as_str()))
        .collect();
    assert_eq!(hidden.iter().collect::<Vec<_>>(), built);
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let file = "/nowhere/at/all";
    let output = std::process::Command::new(server::TARGET)
        .args(["serve", "--model", "green-threads", "--counters", file])
        .args(["--listen", "127.0.0.1:0"])
        .output()
        .expect("cannot run the program");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(file) && said.contains("--counters"), "{said}");
    assert!(!Path::new(file).exists());
}
