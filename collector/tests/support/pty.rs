//! A terminal that a program runs in, and what it shows.
#![allow(dead_code, unreachable_pub)]

use super::program::wait_for;
use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What stands on the screen before the program begins.
pub const BEFORE: &str = "what was here before";
/// Nothing that is tested takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A program in a terminal; killed if the test ends before it.
pub struct Terminal {
    child: Child,
    /// Both ends; none once it was hung up.
    ends: Option<(File, OwnedFd)>,
    screen: Arc<Mutex<vt100::Parser>>,
    is_closed: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    before: Settings,
}

impl Terminal {
    /// A terminal of so many lines and columns, and the program on it as the only job of a session.
    #[track_caller]
    pub fn start(mut command: Command, (lines, columns): (u16, u16)) -> Self {
        let (master, mut slave) = open(lines, columns);
        let copy = || Stdio::from(slave.try_clone().expect("a descriptor"));
        command
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR");
        // SAFETY: between fork and exec, only system calls that allocate nothing.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        writeln!(slave, "{BEFORE}").expect("a terminal of ours");
        let before = settings(slave.as_raw_fd());
        let screen = Arc::new(Mutex::new(parser(lines, columns)));
        let is_closed = Arc::new(AtomicBool::new(false));
        let reading = master.try_clone().expect("a descriptor");
        let (shown, closed) = (screen.clone(), is_closed.clone());
        let reader = thread::spawn(move || show(reading, &shown, &closed));
        let child = command.spawn().expect("it can be run");
        Self {
            child,
            ends: Some((master, OwnedFd::from(slave))),
            screen,
            is_closed,
            reader: Some(reader),
            before,
        }
    }

    /// Takes the terminal away from the program.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let reader = self.reader.take().expect("it was not hung up");
        reader.join().expect("no panic");
        drop(self.ends.take());
    }

    fn slave(&self) -> i32 {
        let (_, slave) = self.ends.as_ref().expect("it was not hung up");
        slave.as_raw_fd()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn text(&self) -> String {
        self.screen.lock().expect("no panic").screen().contents()
    }

    /// The screen, as soon as it holds these words.
    #[track_caller]
    pub fn shows(&self, words: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let text = self.text();
            if text.contains(words) {
                return text;
            }
            assert!(Instant::now() < end, "no {words:?} came:\n{text}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn press(&mut self, keys: &str) {
        let (master, _) = self.ends.as_mut().expect("it was not hung up");
        master.write_all(keys.as_bytes()).expect("it is open");
    }

    pub fn resize(&self, lines: u16, columns: u16) {
        let mut parser = self.screen.lock().expect("no panic");
        let (rows, across) = at_least_one(lines, columns);
        parser.screen_mut().set_size(rows, across);
        let size = size(lines, columns);
        // SAFETY: reads a size that lives longer than the call.
        unsafe { libc::ioctl(self.slave(), libc::TIOCSWINSZ, &raw const size) };
    }

    pub fn is_alternate(&self) -> bool {
        let parser = self.screen.lock().expect("no panic");
        parser.screen().alternate_screen()
    }

    /// Whether it has ended; how, if it has.
    #[track_caller]
    pub fn finish(&mut self) -> ExitStatus {
        wait_for("end", || self.child.try_wait().expect("a child of ours"))
    }

    /// Fails unless the terminal is as it was before.
    #[track_caller]
    pub fn is_as_before(&self) {
        assert_eq!(settings(self.slave()), self.before);
        wait_for("former screen", || (!self.is_alternate()).then_some(()));
        let parser = self.screen.lock().expect("no panic");
        let screen = parser.screen();
        assert!(!screen.hide_cursor());
        assert!(
            screen.contents().starts_with(BEFORE),
            "{}",
            screen.contents()
        );
        let colour = vt100::Color::Default;
        assert_eq!((screen.fgcolor(), screen.bgcolor()), (colour, colour));
        assert!(!screen.inverse() && !screen.bold() && !screen.underline());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its two ends.
fn open(lines: u16, columns: u16) -> (File, File) {
    let (mut master, mut slave) = (-1, -1);
    let size = size(lines, columns);
    // SAFETY: writes two numbers and reads a size, all of which live longer than the call.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            ptr::null_mut(),
            ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(opened, 0, "no terminal");
    [master, slave]
        .map(|end| {
            // The program is not to hold them beyond what it is given.
            // SAFETY: a descriptor that was just opened, and is nobody else's.
            unsafe {
                libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
                File::from_raw_fd(end)
            }
        })
        .into()
}

fn parser(lines: u16, columns: u16) -> vt100::Parser {
    let (lines, columns) = at_least_one(lines, columns);
    vt100::Parser::new(lines, columns, 0)
}

fn at_least_one(lines: u16, columns: u16) -> (NonZero<u16>, NonZero<u16>) {
    [lines, columns]
        .map(|count| NonZero::new(count).expect("a screen has lines"))
        .into()
}

fn size(lines: u16, columns: u16) -> libc::winsize {
    libc::winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// All that can be set of a terminal: its flags, and its special letters.
type Settings = ([libc::tcflag_t; 4], [libc::cc_t; libc::NCCS]);

fn settings(terminal: i32) -> Settings {
    // SAFETY: fills a structure of its own, of which every bit pattern is one.
    let termios = unsafe {
        let mut termios = std::mem::zeroed::<libc::termios>();
        assert_eq!(libc::tcgetattr(terminal, &raw mut termios), 0);
        termios
    };
    let flags = [
        termios.c_iflag,
        termios.c_oflag,
        termios.c_cflag,
        termios.c_lflag,
    ];
    (flags, termios.c_cc)
}

/// Takes what the program writes to the screen, until the terminal is closed.
fn show(mut master: File, screen: &Mutex<vt100::Parser>, is_closed: &AtomicBool) {
    let mut bytes = [0; 65_536];
    while !is_closed.load(Ordering::Relaxed) {
        let mut wanted = libc::pollfd {
            fd: master.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure of its own.
        if unsafe { libc::poll(&raw mut wanted, 1, 20) } < 1 {
            continue;
        }
        match master.read(&mut bytes) {
            Ok(count @ 1..) => screen.lock().expect("no panic").process(&bytes[..count]),
            _ => return,
        }
    }
}
