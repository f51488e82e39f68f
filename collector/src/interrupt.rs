//! Ctrl-C and SIGTERM: end early, and still report.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long any wait goes on before it looks at the signal again.
pub const POLL: Duration = Duration::from_millis(50);

/// Which signal has asked us to end, if one has.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    noted: Arc<AtomicUsize>,
    reload: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on signals are noted, and no longer end the program by themselves.
    ///
    /// # Errors
    /// If the kernel refuses a handler.
    pub fn install() -> io::Result<Self> {
        let noted = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // nohup(1): we are to outlive the terminal.
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
            signal_hook::flag::register_usize(signal, noted.clone(), signal as usize)?;
        }
        Ok(Self {
            noted,
            reload: Arc::default(),
        })
    }

    /// The same for what runs for ever: SIGHUP asks it to read its configuration anew.
    ///
    /// # Errors
    /// If the kernel refuses a handler.
    pub fn install_with_reload() -> io::Result<Self> {
        let own = Self::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, own.noted.clone(), signal as usize)?;
        }
        signal_hook::flag::register(SIGHUP, own.reload.clone())?;
        Ok(own)
    }

    /// Whether SIGHUP has come since this was asked last.
    pub fn is_reload_asked(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// The signal that came, by name.
    pub fn signal(&self) -> Option<&'static str> {
        match self.noted.load(Ordering::Relaxed) as i32 {
            0 => None,
            SIGTERM => Some("SIGTERM"),
            SIGHUP => Some("SIGHUP"),
            _ => Some("SIGINT"),
        }
    }

    /// Whether it has come, without taking note of it.
    pub fn is_reload_pending(&self) -> bool {
        self.reload.load(Ordering::Relaxed)
    }

    /// Waits, until the time is over or a signal comes: true if one has that asks us to end.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.signal().is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_reload_pending() {
                return false;
            }
            thread::sleep(left.min(POLL));
        }
        true
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: only reads the disposition, into a structure of its own.
    unsafe {
        let mut now = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}
