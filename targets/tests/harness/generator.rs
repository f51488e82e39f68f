//! The load generator under test, and servers made to misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program under test.
pub(crate) const TARGET: &str = env!("CARGO_BIN_EXE_connscope-target");

/// A load to offer, with its result as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    address: SocketAddr,
    arguments: Vec<String>,
}

impl Load {
    /// Of so many connections and requests a second over so much time, without a warm-up.
    pub(crate) fn new(address: SocketAddr, connections: u32, rate: u32, duration: &str) -> Self {
        Self::with_defaults(address)
            .option("--connections", connections)
            .option("--rate", rate)
            .option("--duration", duration)
            .option("--warm-up", "0")
    }

    /// Of so many connections in closed loops over so much time, without a warm-up.
    pub(crate) fn closed(address: SocketAddr, connections: u32, duration: &str) -> Self {
        Self::with_defaults(address)
            .flag("--closed")
            .option("--connections", connections)
            .option("--duration", duration)
            .option("--warm-up", "0")
    }

    /// As the program does it without options.
    pub(crate) fn with_defaults(address: SocketAddr) -> Self {
        let load = Self {
            address,
            arguments: Vec::new(),
        };
        load.option("--format", "json")
    }

    /// With `name value`, whatever it had before.
    pub(crate) fn option(mut self, name: &str, value: impl ToString) -> Self {
        match self.arguments.iter().position(|argument| argument == name) {
            Some(at) => self.arguments[at + 1] = value.to_string(),
            None => self.arguments.extend([name.to_owned(), value.to_string()]),
        }
        self
    }

    /// Of that workload.
    pub(crate) fn workload(self, name: &str) -> Self {
        self.option("--workload", name)
    }

    /// Also with `name`.
    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.arguments.push(name.to_owned());
        self
    }

    /// Begins it; its result comes on standard output.
    pub(crate) fn spawn(&self) -> Child {
        Command::new(TARGET)
            .args(["load", "--connect", &self.address.to_string()])
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the load")
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Outcome {
        let started = Instant::now();
        Outcome::of(self.spawn(), started)
    }
}

/// What became of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) result: Value,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Waits for a load begun at that time.
    pub(crate) fn of(child: Child, started: Instant) -> Self {
        let output = child.wait_with_output().expect("cannot wait");
        let text = String::from_utf8_lossy(&output.stdout);
        Self {
            status: output.status.code().expect("a status"),
            result: serde_json::from_str(&text).unwrap_or_else(|_| panic!("no result: {text}")),
            took: started.elapsed(),
        }
    }
}

/// A number of a result, by its path: `latency/max_seconds`.
#[track_caller]
pub(crate) fn number(result: &Value, path: &str) -> f64 {
    let value = result.pointer(&format!("/{path}"));
    value
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {path} in {result}"))
}

/// What a misbehaving server does with the request of that number on its connection (from 0).
pub(crate) type Behaviour = dyn Fn(u64, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// Serves every connection on a thread of its own with `behave` for each request; every PING, SET or
/// INCR counts as one. Lives as long as the test.
pub(crate) fn misbehaving_server(
    behave: impl Fn(u64, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
    let address = listener.local_addr().expect("its address");
    let behave: Arc<Behaviour> = Arc::new(behave);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behave = behave.clone();
            std::thread::spawn(move || serve(stream, &*behave));
        }
    });
    address
}

fn serve(mut stream: TcpStream, behave: &Behaviour) {
    let mut bytes = [0; 4096];
    let mut number = 0;
    while let Ok(1..) = stream.read(&mut bytes) {
        if behave(number, &mut stream).is_err() {
            return;
        }
        number += 1;
    }
}

/// Answers each connection 100 times a second, but its first PING at once.
pub(crate) fn slow_server() -> SocketAddr {
    misbehaving_server(|number, stream| {
        if number > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        pong(stream)
    })
}

/// Answers PINGs; stalls everything from 1 s to 2 s after the first.
pub(crate) fn stalling_server() -> SocketAddr {
    const SECOND: Duration = Duration::from_secs(1);
    let first = OnceLock::new();
    misbehaving_server(move |_, stream| {
        let stall = *first.get_or_init(Instant::now) + SECOND;
        let now = Instant::now();
        if (stall..stall + SECOND).contains(&now) {
            std::thread::sleep(stall + SECOND - now);
        }
        pong(stream)
    })
}

/// Answers a PING.
pub(crate) fn pong(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"+PONG\r\n")
}

/// A paced load; killed when dropped.
pub(crate) struct Paced {
    pub(crate) child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Paced {
    pub(crate) fn start(address: SocketAddr, options: &[&str]) -> Self {
        let mut child = Command::new(TARGET)
            .args(["load", "--paced", "--connect", &address.to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the load");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// The next event.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Value {
        let mut line = String::new();
        self.output
            .read_line(&mut line)
            .expect("cannot read an event");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no event: {line:?}"))
    }

    /// Lets the load go on.
    pub(crate) fn go_on(&mut self) {
        self.input
            .as_mut()
            .expect("still open")
            .write_all(b"\n")
            .expect("cannot write");
    }

    /// Ends its standard input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn status(&mut self) -> i32 {
        self.child
            .wait()
            .expect("cannot wait")
            .code()
            .expect("a status")
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
