//! A reference server under test, and raw connections to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const TARGET: &str = env!("CARGO_BIN_EXE_connscope-target");

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The names of all models, from the program's own list.
pub(crate) fn models() -> Vec<String> {
    let names: Vec<_> = list().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() >= 3, "{names:?}");
    names
}

/// The names of all models, and what the list says of them.
fn list() -> Vec<(String, String)> {
    let output = Command::new(TARGET)
        .arg("models")
        .output()
        .expect("cannot run the program");
    let text = String::from_utf8(output.stdout).expect("names are text");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, about)| (name.to_owned(), about.to_owned()))
        .collect()
}

/// The server that `model` forwards requests to, if it does: one with what `options` say of the
/// shared state.
pub(crate) fn backend_of(model: &str, options: &[&str]) -> Option<Box<Server>> {
    let needed = |(name, about): &(String, String)| name == model && about.contains("--backend");
    list().iter().any(needed).then(|| {
        let options: Vec<_> = pairs(options)
            .filter(|pair| pair[0] == "--shared-state")
            .flatten()
            .copied()
            .collect();
        Box::new(Server::start("event-loop", &options))
    })
}

fn pairs<'a, 'b>(options: &'a [&'b str]) -> impl Iterator<Item = &'a [&'b str]> {
    options.chunks(2)
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// The server behind it, if it forwards requests to one.
    pub(crate) backend: Option<Box<Server>>,
    /// What a connection makes the server hold is its own, not shared by turns.
    pub(crate) has_sessions: bool,
}

impl Server {
    /// Starts a server of `model` on a free port, with further `options`.
    pub(crate) fn start(model: &str, options: &[&str]) -> Self {
        let backend = backend_of(model, options);
        let mut command = Command::new(TARGET);
        command.args(["serve", "--model", model, "--listen", "127.0.0.1:0"]);
        match &backend {
            None => _ = command.args(options),
            Some(backend) => {
                let own = pairs(options).filter(|pair| pair[0] != "--shared-state");
                command.args(own.flatten());
                command.args(["--backend", &backend.address.to_string()]);
            }
        }
        let mut server = Self::start_command(&mut command);
        server.has_sessions = backend.is_none() || options.contains(&"session");
        server.backend = backend;
        server
    }

    /// Starts the server that `command` becomes.
    pub(crate) fn start_command(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the server");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("cannot read its line");
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("its line");
        let address = address.parse().expect("its address");
        Self {
            child,
            address,
            backend: None,
            has_sessions: true,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process that executes what is asked on a connection to this server.
    #[track_caller]
    pub(crate) fn executing_pid(&self, connection: &mut Connection) -> i32 {
        match &self.backend {
            Some(backend) => backend.pid(),
            None => connection.process(),
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).expect("cannot connect");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("cannot set a time-out");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("cannot set a time-out");
        stream.set_nodelay(true).expect("cannot set TCP_NODELAY");
        Connection { stream }
    }

    /// Sends `signal` and waits for the end; answers the status and how long it took.
    pub(crate) fn end(&mut self, signal: i32) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        signal_process(self.pid(), signal);
        (self.ended(), asked.elapsed())
    }

    /// Waits for the end; answers the status.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("cannot wait") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still there after {PATIENCE:?}");
    }

    /// The processes that this server has forked.
    pub(crate) fn children(&self) -> Vec<i32> {
        children_of(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal_process(pid: i32, signal: i32) {
    // SAFETY: a system call without pointers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "cannot signal {pid}");
}

/// The processes that the main thread of a process has forked.
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().expect("a pid"))
        .collect()
}

/// User and system time of a process, in ticks of 10 ms.
pub(crate) fn cpu_ticks(pid: i32) -> u64 {
    ticks(pid, 11..13)
}

/// User time of a process and of the children that it has waited for, and system time, in such ticks.
pub(crate) fn cpu_ticks_by_kind(pid: i32) -> [u64; 2] {
    [[11, 13], [12, 14]].map(|fields| {
        fields
            .map(|field| ticks(pid, field..field + 1))
            .iter()
            .sum()
    })
}

/// The sum of fields of `/proc/PID/stat`, from 0 behind the name.
fn ticks(pid: i32, fields: std::ops::Range<usize>) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, behind_name) = stat.rsplit_once(')').expect("fields");
    let ticks = behind_name.split_whitespace().map(str::parse::<u64>);
    let ticks = ticks.skip(fields.start).take(fields.len());
    ticks.map(|ticks| ticks.expect("a number")).sum()
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A raw connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("cannot send");
    }

    /// Reads as many bytes as `expected` has and compares them.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        let mut filled = 0;
        while filled < found.len() {
            match uninterrupted(|| self.stream.read(&mut found[filled..])) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
            if found[..filled] != expected[..filled] {
                break;
            }
        }
        let (found, expected) = (found[..filled].escape_ascii(), expected.escape_ascii());
        assert_eq!(found.to_string(), expected.to_string());
    }

    /// Sends a request and compares the whole reply.
    #[track_caller]
    pub(crate) fn exchange(&mut self, request: &[u8], reply: &[u8]) {
        self.send(request);
        self.expect(reply);
    }

    /// The process that serves it, as `INFO` tells.
    #[track_caller]
    pub(crate) fn process(&mut self) -> i32 {
        self.info("process_id")
    }

    /// A number that `INFO` tells.
    #[track_caller]
    pub(crate) fn info(&mut self, name: &str) -> i32 {
        self.send(b"INFO\r\nECHO over\r\n");
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n$4\r\nover\r\n") {
            let mut bytes = [0; 512];
            let read = uninterrupted(|| self.stream.read(&mut bytes)).expect("an answer");
            assert!(read > 0, "the connection ended");
            text.extend_from_slice(&bytes[..read]);
        }
        let text = String::from_utf8(text).expect("text");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.expect("that line").parse().expect("a number")
    }

    /// Reads to the end of the stream; a reset counts as the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match uninterrupted(|| self.stream.read(&mut bytes)) {
                Ok(0) => return rest,
                Ok(read) => rest.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("the connection was not closed: {error}"),
            }
        }
    }
}

/// Once more if a signal came: a read with a time-out is not begun anew by the kernel, and threads
/// that start processes can have the `SIGCHLD` of others delivered.
fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A request as clients send it.
pub(crate) fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Bytes that look random and are the same every time.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Runs `check` against a fresh server of every model, all at once; of one that can keep sessions or
/// not, both ways.
pub(crate) fn every_model(options: &[&str], check: impl Fn(&Server) + Sync) {
    let variants = list().into_iter().flat_map(|(model, about)| {
        let session = about
            .contains("--backend")
            .then(|| (model.clone(), &["--pool-mode", "session"][..]));
        std::iter::once((model, &[][..])).chain(session)
    });
    std::thread::scope(|scope| {
        for (model, more) in variants {
            let check = &check;
            let thread = std::thread::Builder::new().name(model.clone());
            thread
                .spawn_scoped(scope, move || {
                    check(&Server::start(&model, &[options, more].concat()));
                })
                .expect("cannot start a thread");
        }
    });
}
