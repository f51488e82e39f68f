//! Messages between cores: each has a letter box that the others put messages in without a lock, and a
//! bell for when it sleeps.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};

use super::batch::Part;
use super::connection::Connection;
use crate::slots::Name;

/// What one core tells another.
pub(super) enum Message {
    /// Execute these requests for a connection of core `from`, and send them back.
    Execute {
        from: u16,
        connection: Name,
        part: Box<Part>,
    },
    /// They were executed by that core, for a connection of the receiver.
    Executed {
        by: u16,
        connection: Name,
        part: Box<Part>,
    },
    /// Serve this connection from now on.
    Serve(Box<Connection>),
    /// The server was asked to end.
    End,
}

/// Where a core finds its messages.
pub(super) struct LetterBox {
    messages: Receiver<Message>,
    bell: Arc<Bell>,
}

/// Where others put messages for a core.
#[derive(Clone)]
pub(super) struct Address {
    messages: Sender<Message>,
    bell: Arc<Bell>,
}

/// Wakes a core. On cache lines of its own: others look at it whenever they send something.
#[repr(align(128))]
struct Bell {
    asleep: AtomicBool,
    eventfd: OwnedFd,
}

/// A new letter box, and its address.
///
/// # Errors
/// When there is no descriptor for the bell.
pub(super) fn letter_box() -> io::Result<(LetterBox, Address)> {
    let bell = Arc::new(Bell {
        asleep: AtomicBool::new(false),
        eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
    });
    let (sender, messages) = channel();
    let address = Address {
        messages: sender,
        bell: bell.clone(),
    };
    Ok((LetterBox { messages, bell }, address))
}

impl Address {
    /// Sends a message, waking the core if it sleeps.
    pub(super) fn send(&self, message: Message) {
        // Fails when the core has ended, and then nobody waits for an answer.
        let _ = self.messages.send(message);
        // Either this sees that the core sleeps, or the core sees the message before it does.
        fence(Ordering::SeqCst);
        let asleep = &self.bell.asleep;
        if asleep.load(Ordering::Relaxed) && asleep.swap(false, Ordering::Relaxed) {
            // Cannot fail: it would take 2^64 of these.
            let _ = rustix::io::write(&self.bell.eventfd, &1_u64.to_ne_bytes());
        }
    }
}

impl LetterBox {
    /// The next message.
    pub(super) fn take(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// Tells the others to ring from now on. To be followed by a look for messages.
    pub(super) fn fall_asleep(&self) {
        self.bell.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Tells them to ring no more.
    pub(super) fn wake_up(&self) {
        self.bell.asleep.store(false, Ordering::Relaxed);
    }

    /// What is written to when the bell rings.
    pub(super) fn bell(&self) -> RawFd {
        self.bell.eventfd.as_raw_fd()
    }
}
