//! A byte that goes to and fro through pipes between two tasks pinned to one CPU: nothing but
//! switches and what they take, the worst case for whatever runs at a switch.
#![allow(dead_code, unreachable_pub)]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    os::fd::{AsFd, OwnedFd},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Instant,
};

/// Told to this program, it is a player. So a player is a process of its own, which can be watched.
const PLAY: &str = "--play";
const RETURN: &str = "--return";
/// Switches timed at once: short against a slice of the scheduler, so that many go by without
/// another task, an interrupt or the hypervisor in between.
const CHUNK: u32 = 100;
/// The share of chunks that are faster than the one that is reported: on a busy host, half of them
/// may have been held up.
const QUANTILE: f64 = 0.2;

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Players {
    Threads,
    Processes,
}

impl Players {
    pub const ALL: [Self; 2] = [Self::Threads, Self::Processes];

    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
        }
    }
}

/// Two players at rest until told to play.
pub struct PingPong {
    first: Child,
    orders: ChildStdin,
    times: BufReader<ChildStdout>,
}

impl PingPong {
    pub fn start(players: Players) -> Self {
        let mut first = ourselves(&[PLAY, players.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a player starts");
        let orders = first.stdin.take().expect("a pipe");
        let times = BufReader::new(first.stdout.take().expect("a pipe"));
        let mut game = Self {
            first,
            orders,
            times,
        };
        // Both are there, and have touched what they need.
        game.time(10 * CHUNK);
        game
    }

    /// The process that watches should attach to; the other player is in it or below it.
    pub fn pid(&self) -> u32 {
        self.first.id()
    }

    /// Plays so many switches; nanoseconds of one where nothing else held it up.
    pub fn time(&mut self, switches: u32) -> f64 {
        writeln!(self.orders, "{switches}").expect("the player is there");
        let mut line = String::new();
        self.times
            .read_line(&mut line)
            .expect("the player is there");
        line.trim().parse().expect("a time")
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// Plays if this process was started to; call it first thing in `main`.
pub fn play_if_told() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        PLAY => play(&arguments.next()?),
        RETURN => give_back(&mut file(stdin().as_fd()), &mut file(stdout().as_fd())),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn play(players: &str) {
    pin_to_last_cpu();
    // Whatever else runs on that CPU is to be seldom in between.
    let _ = rustix::process::setpriority_process(None, -20);
    let (mut far_reads, mut near_writes) = std::io::pipe().expect("a pipe");
    let (mut near_reads, mut far_writes) = std::io::pipe().expect("a pipe");
    let mut other = None;
    if players == Players::Threads.name() {
        std::thread::spawn(move || give_back(&mut far_reads, &mut far_writes));
    } else {
        let mut command = ourselves(&[RETURN]);
        command.stdin(far_reads).stdout(far_writes);
        other = Some(command.spawn().expect("the other player starts"));
    }
    for order in stdin().lines() {
        let switches: u32 = order.expect("an order").parse().expect("a number");
        let time = rally(&mut near_reads, &mut near_writes, switches);
        println!("{time}");
    }
    drop(near_writes);
    if let Some(mut other) = other {
        let _ = other.wait();
    }
}

/// The time of one switch, ns: a low quantile over chunks.
fn rally(from: &mut impl Read, to: &mut impl Write, switches: u32) -> f64 {
    let mut byte = [1];
    let mut chunks: Vec<u128> = (0..switches / CHUNK)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..CHUNK / 2 {
                to.write_all(&byte).expect("the other player is there");
                from.read_exact(&mut byte)
                    .expect("the other player is there");
            }
            begun.elapsed().as_nanos()
        })
        .collect();
    chunks.sort_unstable();
    chunks[(chunks.len() as f64 * QUANTILE) as usize] as f64 / f64::from(CHUNK)
}

fn give_back(from: &mut impl Read, to: &mut impl Write) {
    let mut byte = [0];
    while from.read(&mut byte).unwrap_or(0) == 1 {
        if to.write_all(&byte).is_err() {
            return;
        }
    }
}

fn ourselves(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we are a program"));
    command.args(arguments);
    command
}

/// Unbuffered: each byte is to be one system call.
fn file(descriptor: impl AsFd) -> File {
    let copy: OwnedFd = descriptor
        .as_fd()
        .try_clone_to_owned()
        .expect("a descriptor");
    copy.into()
}

fn pin_to_last_cpu() {
    let allowed = rustix::thread::sched_getaffinity(None).expect("affinity can be read");
    let last = (0..rustix::thread::CpuSet::MAX_CPU).rfind(|&cpu| allowed.is_set(cpu));
    let mut set = rustix::thread::CpuSet::new();
    set.set(last.expect("we run on a CPU"));
    rustix::thread::sched_setaffinity(None, &set).expect("the CPU is there");
}
