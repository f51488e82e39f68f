//! What one core does: its ring's answers, other cores' messages, and its own connections, in turn.

mod clients;
mod exchange;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::connection::{Connection, Turn};
use super::desk::Desk;
use super::mail::{Address, LetterBox, Message};
use super::ring::{Answer, Ring, Task};
use crate::listen::Listener;
use crate::protocol::Decoder;
use crate::serve::DRAIN;
use crate::session::Buffers;
use crate::slots::{Name, Slots};
use crate::timers::Timers;

/// How often a core looks whether all others have drained.
const LOOK: Duration = Duration::from_millis(10);

/// A core.
pub(super) struct Core<'a> {
    ring: Ring,
    desk: Desk<'a>,
    letter_box: LetterBox,
    /// Of all cores, in their order.
    addresses: Vec<Address>,
    /// `None` once asked to end.
    listener: Option<Listener>,
    /// The ring accepts clients.
    accepting: bool,
    /// When to accept again, if accepting had to pause.
    accept_at: Option<Instant>,
    connections: Slots<Connection>,
    /// When a `WAIT` ends, of which connection.
    timers: Timers<Name>,
    buffers: Buffers,
    /// Counts how often there were answers.
    round: u64,
    /// Slots whose connections go on in the next round, each once.
    queue: Vec<usize>,
    /// Connections that send, and hear of it only if something is left.
    handed_over: Vec<usize>,
    /// For what other cores send.
    decoder: Decoder,
    /// When the drain is over, once asked to end.
    end_at: Option<Instant>,
}

impl<'a> Core<'a> {
    /// A core that nobody has asked for anything yet.
    pub(super) fn new(
        ring: Ring,
        desk: Desk<'a>,
        letter_box: LetterBox,
        addresses: Vec<Address>,
        listener: Listener,
    ) -> Self {
        Self {
            ring,
            desk,
            letter_box,
            addresses,
            listener: Some(listener),
            accepting: false,
            accept_at: None,
            connections: Slots::default(),
            timers: Timers::default(),
            buffers: Buffers::default(),
            round: 0,
            queue: Vec::new(),
            handed_over: Vec::new(),
            decoder: Decoder::default(),
            end_at: None,
        }
    }

    /// Serves until told to end.
    ///
    /// # Errors
    /// When the kernel has no answers.
    pub(super) fn run(mut self) -> Result<()> {
        self.ring.watch(self.letter_box.bell());
        self.accept();
        let (mut answers, mut sending) = (Vec::new(), Vec::new());
        while !self.is_over() {
            self.round += 1;
            let handed_over = self.wait().context("cannot wait for the io_uring")?;
            self.ring.take_answers(&mut answers);
            for answer in &answers {
                if let Task::Send(slot) = answer.task {
                    // What it sends from now on was not handed over yet.
                    self.handed_over.retain(|handed_over| *handed_over != slot);
                    self.take_sent(slot, *answer);
                }
            }
            if handed_over {
                self.take_all_sent(&mut sending);
            }
            self.take_turns();
            for answer in answers.drain(..) {
                self.take(answer);
            }
            while let Some(message) = self.letter_box.take() {
                self.read(message);
            }
            self.fire_timers();
            self.connections.free_ended();
        }
        Ok(())
    }

    /// Whether it was asked to end, has let go of the listener, and no core has a connection that may
    /// need this one.
    fn is_over(&self) -> bool {
        let is_done = !self.accepting && self.desk.is_needed_no_more();
        self.end_at
            .is_some_and(|end| is_done || Instant::now() >= end)
    }

    /// Waits for an answer, a message or a timer. Whether all requests were handed over.
    fn wait(&mut self) -> std::io::Result<bool> {
        let timer = self.timers.next();
        let look = self.end_at.map(|end| end.min(Instant::now() + LOOK));
        let next = [timer, self.accept_at, look].into_iter().flatten().min();
        let mut timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        if !self.queue.is_empty() || self.has_more_to_do() {
            timeout = Some(Duration::ZERO);
        }
        self.letter_box.fall_asleep();
        if let Some(message) = self.letter_box.take() {
            self.letter_box.wake_up();
            self.read(message);
            return self.ring.wait(Some(Duration::ZERO));
        }
        let waited = self.ring.wait(timeout);
        self.letter_box.wake_up();
        waited
    }

    /// Whether a connection goes on as soon as its output is handed over, of which no answer may tell.
    fn has_more_to_do(&mut self) -> bool {
        let (connections, desk) = (&mut self.connections, &self.desk);
        self.handed_over.iter().any(|&slot| {
            let connection = connections.get(slot);
            connection.is_some_and(|connection| connection.has_more_to_do(desk))
        })
    }

    fn take(&mut self, answer: Answer) {
        match answer.task {
            Task::Accept => self.take_client(answer),
            Task::Receive(slot) => self.take_received(slot, answer),
            Task::SendPatiently(slot) => self.take_sent(slot, answer),
            Task::Ring if !answer.more => self.ring.watch(self.letter_box.bell()),
            // Those that could not send all at once were seen to first.
            Task::Ring | Task::Cancel | Task::Send(_) => {}
        }
    }

    fn take_sent(&mut self, slot: usize, answer: Answer) {
        if let Some(connection) = self.connections.get(slot) {
            let bytes = usize::try_from(answer.result).map_err(|_| -answer.result);
            if connection.has_sent(bytes, &mut self.desk) {
                self.turn(slot);
            } else {
                self.end(slot);
            }
        }
    }

    /// Goes on with those whose output was handed over before the last wait.
    fn take_all_sent(&mut self, sending: &mut Vec<usize>) {
        std::mem::swap(sending, &mut self.handed_over);
        for slot in sending.drain(..) {
            if let Some(connection) = self.connections.get(slot)
                && connection.has_sent_all(&mut self.desk)
            {
                self.turn(slot);
            }
        }
    }

    fn take_received(&mut self, slot: usize, answer: Answer) {
        let mut now = true;
        if let Some(connection) = self.connections.get(slot) {
            connection.session.borrow_buffers(&mut self.buffers);
            if let (Some(buffer), Ok(length @ 1..)) = (answer.buffer, answer.result.try_into()) {
                let bytes = self.ring.buffers.filled(buffer, length);
                now = connection.received(bytes, self.round);
            }
            if answer.result == 0 {
                connection.ended_by_client();
            }
            if !answer.more {
                connection.stopped_receiving();
            }
        }
        if let Some(buffer) = answer.buffer {
            self.ring.buffers.give_back(buffer);
        }
        let is_alive = match -answer.result {
            // Out of buffers, which are back by now; given up; nothing of importance.
            ..=0 | libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN => true,
            _ => false,
        };
        if !is_alive {
            if let Some(connection) = self.connections.get(slot) {
                connection.session.return_buffers(&mut self.buffers);
            }
            self.end(slot);
        } else if now {
            self.go_on(slot);
        } else {
            self.put_off(slot);
        }
    }

    /// Queues a connection that has the core's buffers for the next round, and takes them back.
    fn put_off(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot) {
            connection.session.return_buffers(&mut self.buffers);
            connection.receive(slot, &mut self.ring, &self.desk);
        }
        self.queue_up(slot);
    }

    fn queue_up(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot)
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.queue.push(slot);
        }
    }

    /// Goes on with those that had to let others take their turn in the last round.
    fn take_turns(&mut self) {
        for slot in std::mem::take(&mut self.queue) {
            if let Some(connection) = self.connections.get(slot) {
                connection.queued = false;
                self.turn(slot);
            }
        }
    }

    /// Lets one connection do what it can without waiting.
    fn turn(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot) {
            connection.session.borrow_buffers(&mut self.buffers);
            self.go_on(slot);
        }
    }

    /// The same, for a connection that has the core's buffers; it gives them back.
    fn go_on(&mut self, slot: usize) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let (desk, round) = (&mut self.desk, self.round);
        // A panic ends this connection only; its message has been printed.
        let turn =
            catch_unwind(AssertUnwindSafe(|| connection.turn(desk, round))).unwrap_or(Turn::Over);
        if connection.send(slot, &mut self.ring, &mut self.desk) {
            self.handed_over.push(slot);
        }
        connection.session.return_buffers(&mut self.buffers);
        if self.desk.each_has_keys(self.addresses.len()) {
            connection.prepare_to_move();
        }
        connection.receive(slot, &mut self.ring, &self.desk);
        match turn {
            Turn::Idle => {
                self.move_away(slot);
                self.close_if_gone(slot);
            }
            Turn::Wait(time) => {
                let name = self.connections.name(slot);
                self.timers.push(Instant::now() + time, name);
            }
            Turn::Batch => self.send_batch(slot),
            Turn::Round => self.queue_up(slot),
            Turn::Over => self.end(slot),
        }
    }

    fn end(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get(slot) {
            connection.end(slot, &mut self.ring);
        }
        self.close_if_gone(slot);
    }

    fn close_if_gone(&mut self, slot: usize) {
        let is_gone = self.connections.get(slot).is_some_and(|it| it.is_gone());
        if is_gone && let Some(connection) = self.connections.end(slot) {
            connection.close();
            self.desk.context.leave();
        }
    }

    /// Has another core serve a connection that is to move, if nothing holds it here.
    fn move_away(&mut self, slot: usize) {
        let connection = self.connections.get(slot);
        let core = connection.and_then(|connection| connection.can_move_to(&self.desk));
        if let Some(core) = core
            && let Some(connection) = self.connections.end(slot)
        {
            self.addresses[usize::from(core)].send(Message::Serve(Box::new(connection)));
        }
    }

    fn fire_timers(&mut self) {
        if self.timers.next().is_none() && self.accept_at.is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(name) = self.timers.take_due(now) {
            if let Some(connection) = self.connections.get_named(name) {
                connection.finish_wait();
                self.turn(name.slot);
            }
        }
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            self.accept();
        }
    }

    fn begin_to_end(&mut self) {
        self.end_at = Some(Instant::now() + DRAIN);
        self.desk.begin_to_end();
        self.accept_at = None;
        // The ring holds the listener open until it has given up accepting.
        self.ring.cancel(Task::Accept);
        self.listener = None;
        for slot in 0..self.connections.len() {
            self.turn(slot);
        }
    }
}
