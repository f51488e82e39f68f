//! How an event loop shares its listener with others, if it does.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::event::epoll::{self, EventData, EventFlags};

use super::LISTENER;
use crate::listen::Listener;

/// Who accepts at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// This loop alone: it is told of new clients once, and accepts all there are.
    Own,
    /// Other loops too: the kernel wakes the one that has waited longest (`EPOLLEXCLUSIVE`, since
    /// 4.5), which accepts one client and goes to the end of the queue. Else the first in it would
    /// get most connections, for as long as they last.
    Shared,
}

impl Entrance {
    /// Asks to be told of clients.
    pub(super) fn watch(self, registry: &Registry, listener: &Listener) -> io::Result<()> {
        match self {
            Self::Own => {
                let descriptor = listener.as_fd().as_raw_fd();
                let mut source = SourceFd(&descriptor);
                registry.register(&mut source, LISTENER, Interest::READABLE)
            }
            Self::Shared => {
                let data = EventData::new_u64(LISTENER.0 as u64);
                let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
                Ok(epoll::add(registry, listener, data, flags)?)
            }
        }
    }

    /// After a client was accepted: whether to accept another at once.
    pub(super) fn takes_more(self, registry: &Registry, listener: &Listener) -> io::Result<bool> {
        if self == Self::Own {
            return Ok(true);
        }
        epoll::delete(registry, listener)?;
        self.watch(registry, listener)?;
        Ok(false)
    }

    /// Until `resume`, or for good: a shared listener is reported again and again while clients
    /// wait, also when this process has closed it and another has not.
    pub(super) fn pause(self, registry: &Registry, listener: &Listener) {
        if self == Self::Shared {
            // Not watched now is as good.
            let _ = epoll::delete(registry, listener);
        }
    }

    /// Ends a pause.
    pub(super) fn resume(self, registry: &Registry, listener: &Listener) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Shared => self.watch(registry, listener),
        }
    }
}
