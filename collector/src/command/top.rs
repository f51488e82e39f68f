//! `connscope top`: watch what already runs, live in the terminal.

mod signals;
mod watching;

use crate::{
    attach::choice::choose,
    cli::Top,
    interrupt::Interrupt,
    top::{
        screen::Screen,
        state::{Action, State},
    },
};
use anyhow::{Context, Result, bail};
use crossterm::event::{self, Event, KeyEventKind};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signals::Signals;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};
use watching::Watching;

/// For keys that are there: crossterm looks at nothing within no time.
const AT_ONCE: Duration = Duration::from_millis(5);
/// A signal that comes between a look at it and the wait is seen this late.
const LOOK: Duration = Duration::from_millis(250);

/// Shows figures until the user quits or a signal comes.
///
/// # Errors
/// If there is no terminal, a process cannot be watched, or the kernel refuses a probe.
pub fn run(args: &Top) -> Result<ExitCode> {
    check_terminal()?;
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let signals = Signals::install().context("cannot handle signals")?;
    let targets = choose(&super::targets::asked(&args.targets)?)?;
    let mut state = State::new(targets.len());
    let logins = super::targets::log_in(&args.targets, &targets)?;
    let mut watching = Watching::begin(&args.targets, targets, logins)?;
    state.frame = watching.nothing_yet();
    let mut shown = Shown {
        screen: Screen::take().context("cannot draw on this terminal")?,
        state,
    };
    match go_on(
        args.interval,
        &mut watching,
        &mut shown,
        &interrupt,
        &signals,
    ) {
        // Who takes the terminal away says so by this signal.
        Err(_) if interrupt.signal() == Some("SIGHUP") => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// Until the user quits or a signal comes.
fn go_on(
    interval: Duration,
    watching: &mut Watching,
    shown: &mut Shown,
    interrupt: &Interrupt,
    signals: &Signals,
) -> Result<()> {
    let mut due = Instant::now() + interval;
    shown.draw()?;
    while interrupt.signal().is_none() && !signals.is_quit_asked() {
        let now = Instant::now();
        if now >= due {
            shown.state.add(watching.read()?);
            shown.draw()?;
            // What took longer than an interval puts off the next one.
            due = (due + interval).max(now + interval / 2);
        }
        wait(due.saturating_duration_since(now).min(LOOK))?;
        if shown.take_keys()? == Action::Quit {
            break;
        }
        if signals.is_stop_asked() {
            shown.suspend(signals)?;
        } else if signals.was_continued() {
            // Whoever stopped us may have used the terminal meanwhile.
            shown.screen.suspend(|| Ok(())).context(GONE)?;
            shown.draw()?;
        }
    }
    Ok(())
}

const GONE: &str = "the terminal is gone";

fn check_terminal() -> Result<()> {
    let hint = "`connscope attach` writes a report to anything";
    for (name, is_terminal) in [
        ("stdout", io::stdout().is_terminal()),
        ("stdin", io::stdin().is_terminal()),
    ] {
        if !is_terminal {
            bail!("top needs a terminal, and {name} is none; {hint}");
        }
    }
    if std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        bail!("top cannot draw on a terminal of type `dumb` (TERM); {hint}");
    }
    Ok(())
}

/// Waits for a key, a signal or the end of that time.
fn wait(time: Duration) -> Result<()> {
    let stdin = io::stdin();
    let mut files = [PollFd::new(&stdin, PollFlags::IN)];
    let time = Timespec {
        tv_sec: time.as_secs() as _,
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut files, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context("cannot wait for keys"),
    }
    if files[0]
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
    {
        bail!(GONE);
    }
    Ok(())
}

/// What is shown, and where.
struct Shown {
    screen: Screen,
    state: State,
}

impl Shown {
    fn draw(&mut self) -> Result<()> {
        self.screen.draw(&mut self.state).context(GONE)
    }

    /// Does what all keys say that were pressed.
    fn take_keys(&mut self) -> Result<Action> {
        let mut is_changed = false;
        while event::poll(AT_ONCE).context(GONE)? {
            let action = match event::read().context(GONE)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => self.state.key(key),
                Event::Resize(..) => Action::Draw,
                _ => continue,
            };
            match action {
                Action::Quit => return Ok(Action::Quit),
                Action::Suspend => signals::ask_to_stop()?,
                Action::Redraw => self.screen.clear().context(GONE)?,
                Action::Draw => {}
            }
            is_changed = true;
        }
        if is_changed {
            self.draw()?;
        }
        Ok(Action::Draw)
    }

    fn suspend(&mut self, signals: &Signals) -> Result<()> {
        self.screen.suspend(|| signals.stop()).context(GONE)?;
        self.draw()
    }
}
