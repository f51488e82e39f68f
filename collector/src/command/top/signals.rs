//! Signals that only who owns a terminal has to care for: each gives it back first.

use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGPROF, SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::{flag, low_level};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What ends a program that knows nothing of it; SIGINT, SIGTERM and SIGHUP are the interrupt's.
const QUITS: [i32; 7] = [
    SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU,
];

/// Those that have come.
#[derive(Debug, Default)]
pub(super) struct Signals {
    quit: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
}

impl Signals {
    /// From now on they are noted, and do nothing by themselves.
    pub(super) fn install() -> io::Result<Self> {
        let noted = Self::default();
        for signal in QUITS {
            flag::register(signal, noted.quit.clone())?;
        }
        flag::register(SIGTSTP, noted.stop.clone())?;
        flag::register(SIGCONT, noted.continued.clone())?;
        Ok(noted)
    }

    pub(super) fn is_quit_asked(&self) -> bool {
        self.quit.load(Ordering::Relaxed)
    }

    /// Whether we are to stop since this was asked last.
    pub(super) fn is_stop_asked(&self) -> bool {
        self.stop.swap(false, Ordering::Relaxed)
    }

    /// Whether we were stopped and continued by somebody else.
    pub(super) fn was_continued(&self) -> bool {
        self.continued.swap(false, Ordering::Relaxed)
    }

    /// Stops; returns when somebody lets us go on.
    pub(super) fn stop(&self) -> io::Result<()> {
        low_level::emulate_default_handler(SIGTSTP)?;
        self.continued.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// As the terminal does by itself for who leaves Ctrl-Z to it: the whole job stops.
pub(super) fn ask_to_stop() -> rustix::io::Result<()> {
    use rustix::process::{Signal, kill_current_process_group};
    kill_current_process_group(Signal::TSTP)
}
