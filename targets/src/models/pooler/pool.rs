//! The backend's connections: made when they are needed, given to who has waited longest, and
//! given up when in doubt.

use std::os::fd::AsRawFd;
use std::time::Duration;

use super::backend::{Backend, Read, State};
use super::client::Stage;
use super::flow::LOST;
use super::{PATIENCE, Party, PoolMode, Pooler};
use crate::errors::in_words;

/// When to try again to make a connection after that has failed.
const RETRY: Duration = Duration::from_millis(100);
/// How long a client may wait in line that has ended its side.
const GRACE: Duration = Duration::from_secs(1);
/// What a new connection is asked.
const GREETING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// Frees what a session made its backend connection hold.
const RESET: &[u8] = b"*2\r\n$5\r\nTOUCH\r\n$1\r\n0\r\n";

impl Pooler {
    /// Gives backend connections to those who wait, makes more where there may be more, and tells
    /// those who have waited too long or in vain.
    pub(crate) fn serve_line(&mut self) {
        while self.waiting > 0 {
            let Some(backend) = self.idle.pop() else {
                match self.make_one() {
                    true => continue,
                    false => break,
                }
            };
            match self.first_in_line() {
                Some(client) => self.start(client, backend),
                None => self.idle.push(backend),
            }
        }
        if self.waiting > 0 && self.backends.count() == 0 {
            let error = format!("ERR the backend is not available: {}", self.trouble);
            while let Some(client) = self.first_in_line() {
                self.fail(client, &error);
            }
        }
        while let Some(&(until, name)) = self.line.front() {
            let waits = self
                .clients
                .get_named(name)
                .is_some_and(|client| client.stage == Stage::Waiting);
            if waits && until > self.now {
                return;
            }
            self.line.pop_front();
            if waits {
                self.waiting -= 1;
                let time = self.pool.queue_timeout;
                let error = format!("ERR no backend connection was free within {time:?}");
                self.fail(name.slot, &error);
            }
        }
    }

    /// Takes the client out of the line that has waited longest.
    fn first_in_line(&mut self) -> Option<usize> {
        while let Some((until, name)) = self.line.pop_front() {
            if let Some(client) = self.clients.get_named(name)
                && client.stage == Stage::Waiting
            {
                let left = until.saturating_duration_since(self.now);
                if client.read_closed && left + GRACE < self.pool.queue_timeout {
                    self.end_client(name.slot);
                    continue;
                }
                self.waiting -= 1;
                return Some(name.slot);
            }
        }
        None
    }

    fn fail(&mut self, slot: usize, error: &str) {
        if let Some(client) = self.clients.get(slot) {
            client.fail(error, true);
            self.enqueue(Party::Client(slot));
        }
    }

    /// Begins to make a backend connection, if one more is of use and allowed; whether it did.
    fn make_one(&mut self) -> bool {
        if self.connecting >= self.waiting
            || self.backends.count() >= self.pool.size
            || self.retry_at.is_some_and(|at| at > self.now)
        {
            return false;
        }
        let backend = match Backend::connect(self.pool.backend, self.now) {
            Ok(backend) => backend,
            Err(error) => {
                self.note_trouble(&in_words(error));
                return false;
            }
        };
        let descriptor = backend.socket.as_raw_fd();
        let slot = self.backends.add(backend);
        self.connecting += 1;
        if !self.watch(descriptor, Party::Backend(slot)) {
            self.cannot_connect(slot, "it cannot be watched");
            return false;
        }
        self.look_later(slot);
        true
    }

    /// A connection was made; whether the backend serves it is to be seen.
    pub(crate) fn greet(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        backend.state = State::Greeted;
        if backend.send(GREETING) != Ok(GREETING.len()) {
            self.cannot_connect(slot, "it does not take a PING");
        } else if backend.readable {
            self.enqueue(Party::Backend(slot));
        }
    }

    /// What the backend says to the greeting.
    pub(crate) fn take_greeting(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        match backend.read(&mut self.replies, 1) {
            Read::Replies { found, .. } if self.replies[0] == b'+' => {
                if found.replies == 1 {
                    backend.state = State::Idle;
                    self.connecting -= 1;
                    self.retry_at = None;
                    self.idle.push(slot);
                }
            }
            Read::Nothing => {}
            Read::Replies { bytes, .. } => {
                let said = self.replies[..bytes.min(128)].trim_ascii();
                let said = said.strip_prefix(b"-ERR ").unwrap_or(said);
                let said = said.escape_ascii().to_string();
                self.cannot_connect(slot, &said);
            }
            Read::End => self.cannot_connect(slot, "it closes connections"),
        }
    }

    /// A connection was not made. Those who wait for it may have another; if there is none at all
    /// they are told, and others too until it is tried again.
    pub(crate) fn cannot_connect(&mut self, slot: usize, why: &str) {
        self.connecting -= 1;
        self.backends.end(slot);
        self.note_trouble(why);
    }

    fn note_trouble(&mut self, why: &str) {
        self.trouble = why.to_owned();
        self.retry_at = Some(self.now + RETRY);
    }

    /// A connection has no replies to come: the next client may have it, unless a session goes on.
    pub(crate) fn release(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        if let State::Held(client) = backend.state
            && let Some(client) = self.clients.get(client)
        {
            if self.pool.mode == PoolMode::Session {
                return;
            }
            client.backend = None;
        }
        backend.state = State::Idle;
        self.idle.push(slot);
        if backend.readable {
            // Something came behind the last reply, if only the end.
            self.enqueue(Party::Backend(slot));
        }
    }

    /// Its client has gone, and so many replies are still to come.
    pub(crate) fn abandon(&mut self, slot: usize, missing: usize, reset: bool) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        let missing = missing + usize::from(reset);
        if reset && backend.send(RESET) != Ok(RESET.len()) {
            return self.discard(slot);
        }
        backend.state = State::Draining(missing);
        backend.progress = self.now;
        if missing == 0 {
            return self.release(slot);
        }
        if backend.readable {
            self.enqueue(Party::Backend(slot));
        }
        self.look_later(slot);
    }

    /// Gives a connection up that no client has to be told about.
    pub(crate) fn discard(&mut self, slot: usize) {
        if let Some(backend) = self.backends.end(slot) {
            match backend.state {
                State::Idle => self.idle.retain(|&idle| idle != slot),
                State::Connecting | State::Greeted => self.connecting -= 1,
                State::Held(_) | State::Draining(_) => {}
            }
        }
    }

    /// A connection has ended, or makes no sense: who waits for its replies gets errors.
    pub(crate) fn lose(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        let between_replies = backend.is_between_replies();
        if let State::Held(client_slot) = backend.state
            && let Some(client) = self.clients.get(client_slot)
        {
            client.backend = None;
            if client.stage == Stage::InFlight {
                client.fail(LOST, between_replies);
                self.enqueue(Party::Client(client_slot));
            } else {
                // The next request of this session is told.
                client.lost = self.pool.mode == PoolMode::Session;
            }
        }
        self.discard(slot);
    }

    /// Sees to it that this connection is looked at when it has had its time.
    pub(crate) fn look_later(&mut self, slot: usize) {
        let name = self.backends.name(slot);
        if let Some(backend) = self.backends.get(slot)
            && !std::mem::replace(&mut backend.timed, true)
        {
            // One that is stuck already has had it, but nobody was waiting.
            let at = (backend.progress + PATIENCE).max(self.now + PATIENCE / 8);
            self.deadlines.push(at, name);
        }
    }

    /// Gives up on connections that get nowhere.
    pub(crate) fn look_at_deadlines(&mut self) {
        while let Some(name) = self.deadlines.take_due(self.now) {
            if let Some(backend) = self.backends.get_named(name) {
                backend.timed = false;
                self.look_at(name.slot);
            }
        }
    }

    fn look_at(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        let stuck = self.now.saturating_duration_since(backend.progress) >= PATIENCE;
        match backend.state {
            State::Connecting | State::Greeted if stuck => {
                self.cannot_connect(slot, "it does not answer");
            }
            State::Draining(_) if stuck => self.discard(slot),
            State::Held(client_slot) => {
                let Some(client) = self.clients.get(client_slot) else {
                    return;
                };
                if client.stage != Stage::InFlight || !(client.read_closed || client.is_held_up()) {
                    return;
                }
                if stuck && (client.read_closed || self.waiting > 0) {
                    client.backend = None;
                    self.discard(slot);
                    self.end_client(client_slot);
                } else {
                    self.look_later(slot);
                }
            }
            State::Connecting | State::Greeted | State::Draining(_) => self.look_later(slot),
            State::Idle => {}
        }
    }
}
