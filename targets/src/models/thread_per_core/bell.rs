//! The bell of a core: those who have sent something ring it if the core sleeps, and only then, since a
//! ring is a system call and wakes a thread, which takes longer than what it is rung for.
//!
//! Each side says first what it does, and looks afterwards at what the other has said: the sender
//! sends and looks for sleep, the core says that it sleeps and looks for messages. With a fence between
//! the two on both sides at least one of them sees the other, so no message is slept through.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes a core. On cache lines of its own: others look at it whenever they have sent something.
#[repr(align(128))]
pub(super) struct Bell {
    asleep: AtomicBool,
    eventfd: OwnedFd,
}

impl Bell {
    /// The bell of a core that is awake.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            asleep: AtomicBool::new(false),
            eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Whether what the caller has just sent needs a ring: the core sleeps, and nobody else has seen
    /// that before.
    pub(super) fn is_to_be_rung(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }

    /// Wakes the core.
    pub(super) fn ring(&self) {
        // Cannot fail: it would take 2^64 of these.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    /// Tells the others to ring from now on. To be followed by a look for messages.
    pub(super) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Tells them to ring no more.
    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What becomes readable when the bell is rung.
    pub(super) fn descriptor(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::Bell;

    const ROUNDS: u32 = 1_000_000;
    /// Rounds take this long at most, on a host that is busy with other things.
    const TIME: Duration = Duration::from_secs(5);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// On cache lines of its own, so that looking at it does not bring others along.
    #[repr(align(128))]
    struct Apart<T>(T);

    /// Both sides at once, again and again, with a letter box that orders nothing by itself: without
    /// the ring the core is asleep with a message at once, and without either fence sooner or later,
    /// if two CPUs are free for it.
    #[test]
    fn no_message_is_slept_through() {
        let bell = Bell::new().expect("an eventfd");
        let Apart(sent) = &Apart(AtomicU32::new(0));
        let Apart(read) = &Apart(AtomicU32::new(0));
        let rung = AtomicBool::new(false);
        let over = AtomicBool::new(false);
        let is_over = || over.load(Ordering::Relaxed);
        let sleeps = thread::scope(|scope| {
            let core = scope.spawn(|| {
                let (mut known, mut sleeps) = (0, 0_u32);
                while !is_over() {
                    bell.fall_asleep();
                    if sent.load(Ordering::Relaxed) == known {
                        sleeps += 1;
                        while !spin_until(|| rung.swap(false, Ordering::Relaxed) || is_over()) {}
                    }
                    bell.wake_up();
                    known = sent.load(Ordering::Relaxed);
                    read.store(known, Ordering::Relaxed);
                    // The sender knows of it only some time later.
                    delay(known % 97, || _ = std::hint::black_box(known));
                }
                sleeps
            });
            let begun = Instant::now();
            for round in 1..=ROUNDS {
                // As other senders do: the core's word for its sleep takes time to come through.
                delay(round % 89, || _ = bell.asleep.load(Ordering::Relaxed));
                sent.store(round, Ordering::Relaxed);
                if bell.is_to_be_rung() {
                    rung.store(true, Ordering::Relaxed);
                }
                let was_read = spin_until(|| read.load(Ordering::Relaxed) == round);
                if !was_read || begun.elapsed() > TIME {
                    over.store(true, Ordering::Relaxed);
                    assert!(was_read, "message {round} was slept through");
                    break;
                }
            }
            over.store(true, Ordering::Relaxed);
            core.join().expect("it does not panic")
        });
        assert!(sleeps > 0, "it never slept");
    }

    /// Lets so many steps go by, so that the two sides meet in every way.
    fn delay(steps: u32, step: impl Fn()) {
        for _ in 0..4 * steps {
            step();
        }
    }

    /// Whether it held within the time; lets others run now and then.
    fn spin_until(condition: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        for turn in 1_u32.. {
            if condition() {
                return true;
            }
            if turn % 1024 == 0 {
                if begun.elapsed() > PATIENCE {
                    return false;
                }
                thread::yield_now();
            }
        }
        false
    }
}
