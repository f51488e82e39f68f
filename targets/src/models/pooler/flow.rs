//! Requests on their way to the backend, and replies on their way back.

use super::backend::{Read, State};
use super::client::{Next, Stage};
use super::{MODEL, Party, PoolMode, Pooler};
use crate::errors::in_words;
use crate::event_loop::wait::Event;
use crate::protocol::reply;
use crate::session::READ_BYTES;

/// What a client may send before others get their turn, in bytes.
const BYTES_PER_TURN: usize = 4 * READ_BYTES;
/// How often replies are read before others get their turn.
const READS_PER_TURN: u32 = 4;

/// What those are told whose backend connection has ended.
pub(crate) const LOST: &str = "ERR the connection to the backend was lost";

impl Pooler {
    /// Takes note of an event and of who has a turn for it.
    pub(crate) fn note(&mut self, party: Party, event: Event) {
        match party {
            Party::Client(slot) => {
                let Some(client) = self.clients.get(slot) else {
                    return;
                };
                client.note(event);
                let (in_flight, ended) = (client.stage == Stage::InFlight, client.read_closed);
                if let (true, true, Some(backend)) = (in_flight, ended, client.backend) {
                    self.look_later(backend);
                }
            }
            Party::Backend(slot) => {
                let Some(backend) = self.backends.get(slot) else {
                    return;
                };
                backend.note(event);
            }
        }
        self.enqueue(party);
    }

    /// Lets one party do what it can without blocking.
    pub(crate) fn turn(&mut self, party: Party) {
        match party {
            Party::Client(slot) => {
                let Some(client) = self.clients.get(slot) else {
                    return;
                };
                client.queued = false;
                client.borrow_input(&mut self.input);
                let over = self.client_turn(slot);
                if let Some(client) = self.clients.get(slot) {
                    client.return_input(&mut self.input);
                }
                if over {
                    self.end_client(slot);
                }
            }
            Party::Backend(slot) => {
                let Some(backend) = self.backends.get(slot) else {
                    return;
                };
                backend.queued = false;
                self.backend_turn(slot);
            }
        }
    }

    /// Whether it is the client's last one.
    fn client_turn(&mut self, slot: usize) -> bool {
        let mut budget = BYTES_PER_TURN;
        loop {
            let Some(client) = self.clients.get(slot) else {
                return false;
            };
            if client.failed {
                return true;
            }
            match client.write() {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => return true,
            }
            if client.closing {
                return true;
            }
            match client.stage {
                Stage::Free => {}
                Stage::Waiting => return false,
                Stage::InFlight => {
                    // It may have held up its backend connection until now.
                    if let Some(backend) = client.backend {
                        self.enqueue(Party::Backend(backend));
                    }
                    return false;
                }
            }
            match client.next() {
                Next::Forward => self.forward(slot),
                Next::Info => self.reply_info(slot),
                Next::Quit => {
                    reply::simple(client.output(), "OK");
                    client.closing = true;
                }
                Next::Refuse(error) => {
                    reply::error(client.output(), &format!("ERR Protocol error: {error}"));
                    client.closing = true;
                }
                Next::NeedInput if self.end_at.is_some() => return true,
                Next::NeedInput if !client.readable => return false,
                Next::NeedInput if budget == 0 => {
                    self.enqueue(Party::Client(slot));
                    return false;
                }
                Next::NeedInput => match client.read(budget) {
                    Some(read) => budget -= read,
                    None => return true,
                },
            }
        }
    }

    fn reply_info(&mut self, slot: usize) {
        let pool = &self.pool;
        let text = format!(
            "# Server\r\nserver:connscope-target\r\nversion:{}\r\nmodel:{}\r\nprocess_id:{}\r\n\
             \r\n# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\n\
             \r\n# Pool\r\nbackend:{}\r\npool_mode:{}\r\npool_size:{}\r\n\
             backend_connections:{}\r\nidle_backend_connections:{}\r\nwaiting_clients:{}\r\n",
            env!("CARGO_PKG_VERSION"),
            MODEL.name,
            std::process::id(),
            self.clients.count(),
            // As the other models count: none is more than fits.
            u32::try_from(self.max_clients).unwrap_or(u32::MAX),
            pool.backend,
            match pool.mode {
                PoolMode::Session => "session",
                PoolMode::Transaction => "transaction",
            },
            pool.size,
            self.backends.count(),
            self.idle.len(),
            self.waiting,
        );
        if let Some(client) = self.clients.get(slot) {
            reply::bulk(client.output(), text.as_bytes());
        }
    }

    /// Sends a client's batch to the backend, or has it wait for its turn.
    fn forward(&mut self, slot: usize) {
        let name = self.clients.name(slot);
        let Some(client) = self.clients.get(slot) else {
            return;
        };
        if std::mem::take(&mut client.lost) {
            client.fail(LOST, true);
        } else if let Some(backend) = client.backend {
            self.start(slot, backend);
        } else if self.waiting == 0
            && let Some(backend) = self.idle.pop()
        {
            self.start(slot, backend);
        } else if self.waiting >= self.pool.queue_limit {
            let limit = self.pool.queue_limit;
            let error = format!("ERR {limit} clients wait for a backend connection already");
            client.fail(&error, true);
        } else {
            client.stage = Stage::Waiting;
            let until = self.now + self.pool.queue_timeout;
            self.line.push_back((until, name));
            self.waiting += 1;
        }
    }

    /// Gives a backend connection, which nobody else holds, to a client with a batch.
    pub(crate) fn start(&mut self, slot: usize, backend_slot: usize) {
        let (Some(client), Some(backend)) =
            (self.clients.get(slot), self.backends.get(backend_slot))
        else {
            return;
        };
        client.stage = Stage::InFlight;
        client.backend = Some(backend_slot);
        backend.state = State::Held(slot);
        backend.progress = self.now;
        let ended = client.read_closed;
        if ended {
            self.look_later(backend_slot);
        }
        self.send_batch(slot, backend_slot);
    }

    fn send_batch(&mut self, slot: usize, backend_slot: usize) {
        let (Some(client), Some(backend)) =
            (self.clients.get(slot), self.backends.get(backend_slot))
        else {
            return;
        };
        while client.batch.unsent > 0 {
            match backend.send(client.unsent()) {
                // The rest follows when there is room.
                Ok(0) => return,
                Ok(sent) => client.sent(sent),
                Err(_) => return self.lose(backend_slot),
            }
        }
    }

    fn backend_turn(&mut self, slot: usize) {
        let Some(backend) = self.backends.get(slot) else {
            return;
        };
        match backend.state {
            State::Connecting => match backend.connected() {
                Ok(()) => self.greet(slot),
                Err(error) => self.cannot_connect(slot, &in_words(error)),
            },
            State::Greeted if backend.readable => self.take_greeting(slot),
            State::Idle if backend.readable => {
                if backend.read(&mut self.replies, 0) != Read::Nothing {
                    // It was not asked for anything: the end, or what must not become a reply.
                    self.lose(slot);
                }
            }
            State::Greeted | State::Idle => {}
            State::Held(client) => {
                self.send_batch(client, slot);
                self.read_replies(slot);
            }
            State::Draining(_) => self.read_replies(slot),
        }
    }

    fn read_replies(&mut self, slot: usize) {
        for _ in 0..READS_PER_TURN {
            let Some(backend) = self.backends.get(slot) else {
                return;
            };
            if !backend.readable {
                return;
            }
            let (client_slot, missing) = match backend.state {
                State::Held(client_slot) => {
                    let Some(client) = self.clients.get(client_slot) else {
                        return self.lose(slot);
                    };
                    if client.is_held_up() {
                        return self.look_later(slot);
                    }
                    (Some(client_slot), client.batch.replies)
                }
                State::Draining(missing) => (None, missing),
                State::Connecting | State::Greeted | State::Idle => return,
            };
            let (bytes, found) = match backend.read(&mut self.replies, missing) {
                Read::Nothing => continue,
                Read::End => return self.lose(slot),
                Read::Replies { bytes, found } => (bytes, found),
            };
            backend.progress = self.now;
            let missing = missing - found.replies;
            let mut sense = found.bytes == bytes;
            match client_slot {
                Some(client_slot) => sense &= self.pass_on(client_slot, found.bytes, missing),
                None => backend.state = State::Draining(missing),
            }
            if !sense {
                // More than was asked for: whose would it be? Or replies before the requests.
                return self.lose(slot);
            }
            if missing == 0 {
                return self.release(slot);
            }
        }
        self.enqueue(Party::Backend(slot));
    }

    /// Gives a client the first `bytes` of the replies read, of which `missing` are to follow. Whether
    /// that makes sense.
    fn pass_on(&mut self, slot: usize, bytes: usize, missing: usize) -> bool {
        let Some(client) = self.clients.get(slot) else {
            return false;
        };
        if client.pass_on(&self.replies[..bytes]).is_err() {
            client.failed = true;
        }
        client.batch.replies = missing;
        let sense = missing > 0 || client.batch.unsent == 0;
        if missing == 0 {
            client.end_batch();
        }
        if missing == 0 || client.failed {
            self.enqueue(Party::Client(slot));
        }
        sense
    }

    /// Ends a client's connection, and sees to the backend connection that it holds.
    pub(crate) fn end_client(&mut self, slot: usize) {
        let Some(client) = self.clients.end(slot) else {
            return;
        };
        if client.stage == Stage::Waiting {
            self.waiting -= 1;
        }
        if let Some(backend) = client.backend {
            let reset = client.touched && self.pool.mode == PoolMode::Session;
            match client.batch.unsent {
                0 => self.abandon(backend, client.batch.replies, reset),
                _ => self.discard(backend),
            }
        }
        client.close();
    }
}
