//! `connscope top` in a terminal: what it shows, what keys do, and that it leaves the terminal as it was.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "support/program.rs"]
mod program;
#[path = "support/pty.rs"]
mod pty;

use leftovers::Before;
use libc::{SIGKILL, SIGQUIT, SIGTERM, SIGTSTP};
use program::*;
use pty::Terminal;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

const SIZE: (u16, u16) = (24, 80);
const WIDE: (u16, u16) = (50, 200);

/// `top` of these processes, as soon as it shows figures.
#[track_caller]
fn top(pids: &str, options: &str, size: (u16, u16)) -> Terminal {
    let words = format!("top --pid {pids} {options}");
    let terminal = Terminal::start(connscope(&words), size);
    terminal.shows("figures of ");
    terminal
}

/// A process that waits for lines on its stdin; killed when dropped.
struct Waiting(Child);

impl Waiting {
    fn new(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        Self(command.spawn().expect("a shell"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn say(&mut self) {
        let stdin = self.0.stdin.as_mut().expect("it is piped");
        stdin.write_all(b"go\n").expect("it reads");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_and_sizes() {
    let before = Before::now();
    let served = Served::start("thread-per-connection");
    let load = served.under_load("--connections 20 --rate 500 --duration 60s");
    wait_for("connections", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", served.pid())).ok()?;
        (tasks.count() > 20).then_some(())
    });
    let mut terminal = top(&served.pid().to_string(), "--interval 300ms", SIZE);
    assert!(terminal.is_alternate());
    // With one target its roles come first.
    let roles = terminal.shows("run-queue wait");
    assert!(
        roles.contains("thread") && roles.contains("socket"),
        "{roles}"
    );
    terminal.press("1");
    terminal.shows("1 shown, by CPU%");
    terminal.press("3");
    let tasks = fs::read_dir(format!("/proc/{}/task", served.pid())).expect("it runs");
    terminal.shows(&format!("{} shown, by CPU%", tasks.count()));
    terminal.press("/");
    terminal.shows("filter: ");
    terminal.press(&format!("{}\r", served.pid()));
    terminal.shows("with “");
    terminal.press("\u{1b}");
    // A letter that comes at once would be one with Alt.
    wait_for("all rows", || {
        (!terminal.text().contains("with “")).then_some(())
    });
    terminal.press(" ");
    terminal.shows(" paused ");
    terminal.press(" ?");
    terminal.shows("any key goes back");
    terminal.press("x2");
    terminal.resize(50, 200);
    terminal.shows("new/s");
    terminal.resize(8, 40);
    terminal.shows("needs 60 columns and 10");
    terminal.resize(24, 80);
    terminal.shows("run-queue wait");
    terminal.press("q");
    assert_eq!(terminal.finish().code(), Some(0));
    terminal.is_as_before();
    drop(load);
    served.running.end_by(SIGTERM).exits(0);
    before.assert_nothing_left();
}

/// A key that comes as the terminal changes its size, at any moment of that.
#[test]
fn no_key_is_lost_as_the_size_changes() {
    let waiting = Waiting::new("read x");
    let mut terminal = top(&waiting.pid().to_string(), "--interval 100ms", SIZE);
    for turn in 0..100_u16 {
        terminal.resize(24 + turn % 2, 80);
        std::thread::sleep(Duration::from_micros(20 * u64::from(turn)));
        terminal.press(" ");
        let is_paused = turn % 2 == 0;
        wait_for("change", || {
            (terminal.text().contains(" paused ") == is_paused).then_some(())
        });
    }
    terminal.press("q");
    assert_eq!(terminal.finish().code(), Some(0));
}

#[test]
fn every_way_out_leaves_the_terminal_as_it_was() {
    let before = Before::now();
    let waiting = Waiting::new("read x");
    let pid = waiting.pid().to_string();
    for end in ["q", "\u{3}", "/typed\u{3}", "?\u{3}"] {
        let mut terminal = top(&pid, "--interval 100ms", SIZE);
        terminal.press(end);
        assert_eq!(terminal.finish().code(), Some(0), "{end:?}");
        terminal.is_as_before();
    }
    for signal in [SIGTERM, SIGQUIT, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let mut terminal = top(&pid, "--interval 100ms", SIZE);
        kill(terminal.pid(), signal);
        assert_eq!(terminal.finish().code(), Some(0), "signal {signal}");
        terminal.is_as_before();
    }
    before.assert_nothing_left();
}

#[test]
fn without_its_terminal_it_ends() {
    let before = Before::now();
    let waiting = Waiting::new("read x");
    // Whether or not it is told by a signal.
    for deaf in ["", "trap '' HUP; "] {
        let script = format!("{deaf}exec $CONNSCOPE top --pid {}", waiting.pid());
        let mut terminal = Terminal::start(shell(&script), SIZE);
        terminal.shows("figures of ");
        terminal.hang_up();
        let ended = terminal.finish().code();
        assert_eq!(ended, Some(if deaf.is_empty() { 0 } else { 1 }));
    }
    before.assert_nothing_left();
}

#[test]
fn a_stopped_one_gives_the_terminal_back_meanwhile() {
    let before = Before::now();
    let waiting = Waiting::new("read x");
    let mut terminal = top(&waiting.pid().to_string(), "--interval 100ms", SIZE);
    let pid = terminal.pid();
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.contains(") T ").then_some(())
    };
    kill(pid, SIGTSTP);
    wait_for("stop", is_stopped);
    terminal.is_as_before();
    kill(pid, libc::SIGCONT);
    terminal.shows("figures of ");
    wait_for("its screen", || terminal.is_alternate().then_some(()));
    terminal.press("q");
    assert_eq!(terminal.finish().code(), Some(0));
    terminal.is_as_before();
    before.assert_nothing_left();
}

#[test]
fn a_target_that_is_killed_is_said_to_have_ended() {
    let before = Before::now();
    let (killed, staying) = (Waiting::new("read x"), Waiting::new("read x"));
    let pids = format!("{},{}", killed.pid(), staying.pid());
    let mut terminal = top(&pids, "--interval 100ms", SIZE);
    terminal.press("3");
    terminal.shows("2 shown");
    kill(killed.pid(), SIGKILL);
    let shown = terminal.shows("sh: ended after ");
    assert!(shown.contains("its last figures are shown"), "{shown}");
    // They are.
    assert!(shown.contains(&killed.pid().to_string()), "{shown}");
    terminal.press("q");
    assert_eq!(terminal.finish().code(), Some(0));
    terminal.is_as_before();
    before.assert_nothing_left();
}

/// Figures by the title of their column, of the row with this name.
fn row(screen: &str, name: &str) -> Option<BTreeMap<String, f64>> {
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let titles = words(screen.lines().find(|line| line.starts_with("name "))?);
    let cells = words(
        screen
            .lines()
            .find(|line| line.split(' ').next() == Some(name))?,
    );
    let figures = titles.into_iter().zip(cells);
    Some(
        figures
            .filter_map(|(title, cell)| Some((title, number(&cell)?)))
            .collect(),
    )
}

/// `12.4k`
fn number(cell: &str) -> Option<f64> {
    let scales = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)];
    let scaled = |(suffix, scale): (&str, f64)| {
        let digits = cell.strip_suffix(suffix)?;
        Some(digits.parse::<f64>().ok()? * scale)
    };
    scales.into_iter().find_map(scaled)
}

/// Seconds on a CPU, and voluntary switches, of the first thread.
fn proc_of(pid: u32) -> (f64, f64) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let on_cpu = read("schedstat");
    let on_cpu: f64 = on_cpu
        .split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .expect("ns");
    let status = read("status");
    let switches = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let switches = switches.and_then(|count| count.trim().parse().ok());
    (on_cpu / 1e9, switches.expect("a count"))
}

/// What a row shows in each interval from now on, times its length, until one shows nothing again.
struct Sums<'a> {
    terminal: &'a Terminal,
    last: String,
}

impl Sums<'_> {
    /// The words that change with each interval.
    fn watched(screen: &str) -> String {
        screen.lines().next().unwrap_or_default().to_owned()
    }

    /// CPU time and switches of the names, until an interval without.
    #[track_caller]
    fn until_idle(&mut self, names: [&str; 2]) -> (f64, f64) {
        let (mut cpu, mut switches) = (0.0, 0.0);
        loop {
            wait_for("interval", || {
                (Self::watched(&self.terminal.text()) != self.last).then_some(())
            });
            // The rest of the same interval is drawn by now.
            std::thread::sleep(std::time::Duration::from_millis(200));
            let screen = self.terminal.text();
            self.last = Self::watched(&screen);
            let length = self.last.split("figures of ").nth(1).expect("a length");
            let length: f64 = length
                .split(' ')
                .next()
                .and_then(|it| it.parse().ok())
                .expect("s");
            let busy = row(&screen, names[0])
                .unwrap_or_else(|| panic!("no {}:\n{screen}", names[0]))["CPU%"]
                / 100.0
                * length;
            let served = row(&screen, names[1])
                .unwrap_or_else(|| panic!("no {}:\n{screen}", names[1]))["vol/s"]
                * length;
            if cpu > 0.0 && switches > 0.0 && busy == 0.0 && served == 0.0 {
                return (cpu, switches);
            }
            (cpu, switches) = (cpu + busy, switches + served);
        }
    }
}

#[test]
fn figures_agree_with_proc() {
    const PINGS: u32 = 3_000;
    let before = Before::now();
    let served = Served::start("event-loop");
    let mut busy =
        Waiting::new("read x; i=0; while [ $i -lt 2000000 ]; do i=$((i+1)); done; read x");
    let mut client = TcpStream::connect(served.address).expect("it listens");
    let mut ping = || {
        client.write_all(b"PING\r\n").expect("it reads");
        let mut answer = [0; 7];
        client.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"+PONG\r\n");
    };
    ping();
    let pids = format!("{},{}", busy.pid(), served.pid());
    let mut terminal = top(&pids, "--interval 3s", WIDE);
    terminal.press("1");
    terminal.shows("2 shown");
    let last = Sums::watched(&terminal.text());
    let (cpu_before, _) = proc_of(busy.pid());
    let (_, switches_before) = proc_of(served.pid());
    busy.say();
    (0..PINGS).for_each(|_| ping());
    let mut sums = Sums {
        terminal: &terminal,
        last,
    };
    let (cpu, switches) = sums.until_idle(["sh", "connscope-targe"]);
    let cpu_told = proc_of(busy.pid()).0 - cpu_before;
    let switches_told = proc_of(served.pid()).1 - switches_before;
    let screen = terminal.text();
    assert!(
        (cpu / cpu_told - 1.0).abs() < 0.05,
        "{cpu} of {cpu_told}:\n{screen}"
    );
    let off = (switches / switches_told - 1.0).abs();
    assert!(off < 0.02, "{switches} of {switches_told}:\n{screen}");
    // Where both are busy it finds the next request without sleeping.
    assert!(switches_told > 100.0, "{switches_told}");
    let figures = row(&screen, "connscope-targe").expect("a row");
    let tasks = fs::read_dir(format!("/proc/{}/task", served.pid()))
        .expect("it runs")
        .count();
    assert_eq!(figures["tasks"], tasks as f64, "{screen}");
    terminal.press("q");
    terminal.finish();
    served.running.end_by(SIGTERM).exits(0);
    before.assert_nothing_left();
}

#[test]
fn without_rights_it_says_what_attach_says() {
    let before = Before::now();
    let own = std::process::id();
    let (_copies, attach) = nobody::as_nobody("", &format!("attach --pid {own}"));
    let why = Ended::of(attach).exits(1);
    let (_copies, command) = nobody::as_nobody("", &format!("top --pid {own}"));
    let mut terminal = Terminal::start(command, WIDE);
    let says: String = why.line().chars().take(60).collect();
    terminal.shows(&says);
    assert_eq!(terminal.finish().code(), Some(1));
    terminal.is_as_before();
    before.assert_nothing_left();
}
