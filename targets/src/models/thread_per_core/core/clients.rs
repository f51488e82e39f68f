//! How a core takes clients in.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use rustix::net::SocketFlags;

use super::Core;
use crate::listen::{Accepted, PAUSE, refuse};
use crate::models::thread_per_core::connection::Connection;
use crate::models::thread_per_core::ring::Answer;

impl Core<'_> {
    pub(super) fn accept(&mut self) {
        if let Some(listener) = &self.listener {
            self.accepting = true;
            self.ring.accept(listener.as_fd().as_raw_fd());
        }
    }

    pub(super) fn take_client(&mut self, answer: Answer) {
        if answer.result >= 0 {
            // SAFETY: the kernel has just made the descriptor for this answer.
            self.begin(unsafe { OwnedFd::from_raw_fd(answer.result) });
        }
        if answer.more {
            return;
        }
        self.accepting = false;
        // The kernel has stopped accepting, mostly for lack of descriptors.
        while answer.result < 0
            && let Some(listener) = &mut self.listener
        {
            match listener.accept(SocketFlags::empty()) {
                Accepted::Connection(socket) => self.begin(socket),
                Accepted::Gone => {}
                Accepted::Nobody => break,
                Accepted::Pause => {
                    self.accept_at = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
        self.accept();
    }

    fn begin(&mut self, socket: OwnedFd) {
        if self.end_at.is_some() {
            return;
        }
        if !self.desk.context.enter() {
            return refuse(&socket);
        }
        let slot = self.connections.add(Connection::new(socket));
        self.turn(slot);
    }
}
