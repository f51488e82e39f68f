//! One connection of a core: what it can do at a time, and what it asks of the ring.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use super::batch::Batch;
use super::desk::Desk;
use super::pull::Pull;
use super::ring::{Ring, Task};
use crate::listen::shut_down;
use crate::session::{MAX_WAITING_BYTES, READ_BYTES, Session, Stop};
use crate::work::burn;

/// The input that one connection may have executed before others get their turn, in bytes.
const BYTES_PER_ROUND: usize = 4 * READ_BYTES;
/// A connection.
pub(super) struct Connection {
    socket: OwnedFd,
    pub(super) session: Session,
    /// Requests that other cores execute, or are to.
    batch: Option<Box<Batch>>,
    /// What is being sent, of which so many bytes are sent.
    sending: Vec<u8>,
    sent: usize,
    /// How the ring sends the rest of it.
    flight: Flight,
    /// What its first request waits for, if for anything.
    pending: Pending,
    /// What draws it to another core, and the one it is about to move to.
    pull: Pull,
    moves_to: Option<u16>,
    /// How many bytes of its input were executed in its last round.
    executed: usize,
    round: u64,
    /// Its core has queued it for the next round.
    pub(super) queued: bool,
    /// The ring receives for it.
    receiving: bool,
    /// It was told not to.
    gave_up: bool,
    /// The client has ended its side.
    read_closed: bool,
    /// The input may hold complete requests.
    executable: bool,
    /// Over once the output is sent.
    closing: bool,
    /// Over: gone when the ring has let go of it.
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// The end of a `WAIT`.
    Time,
    /// Other cores.
    Batch,
}

/// How the ring sends what a connection has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    None,
    /// At once, as far as that goes.
    Quick,
    /// When there is room.
    Patient,
}

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// Until the ring has an answer.
    Idle,
    /// Until `finish_wait` is called after this time.
    Wait(Duration),
    /// Until the parts of its batch, which are to be sent, are back.
    Batch,
    /// Until the next round: others are to have their turn.
    Round,
    /// For good.
    Over,
}

impl Connection {
    /// A connection over a socket that blocks: the ring would not wait for another.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            session: Session::default(),
            batch: None,
            sending: Vec::new(),
            sent: 0,
            flight: Flight::None,
            pending: Pending::Nothing,
            pull: Pull::default(),
            moves_to: None,
            executed: 0,
            round: 0,
            queued: false,
            receiving: false,
            gave_up: false,
            read_closed: false,
            executable: false,
            closing: false,
            over: false,
        }
    }

    /// Takes in what was received. Whether it is to be executed in this round; else in the next one,
    /// since others are to have their turn.
    pub(super) fn received(&mut self, bytes: &[u8], round: u64) -> bool {
        self.session.input().extend_from_slice(bytes);
        self.executable = true;
        self.round != round || self.executed <= BYTES_PER_ROUND
    }

    /// The ring receives no more for now.
    pub(super) fn stopped_receiving(&mut self) {
        self.receiving = false;
        self.gave_up = false;
    }

    /// The client has ended its side.
    pub(super) fn ended_by_client(&mut self) {
        self.read_closed = true;
    }

    /// All that could be sent at once was sent, unless the ring has said otherwise. Whether the
    /// connection has more to do.
    pub(super) fn has_sent_all(&mut self, desk: &mut Desk<'_>) -> bool {
        if self.flight != Flight::Quick {
            return false;
        }
        self.has_sent(Ok(self.sending.len()), desk);
        self.has_more_to_do(desk)
    }

    /// Whether there is something to do as soon as the output is sent.
    pub(super) fn has_more_to_do(&self, desk: &Desk<'_>) -> bool {
        let has_requests = self.executable || self.batch.is_some();
        let is_ending = self.closing || self.read_closed || self.over || desk.ending;
        let is_moving = self.moves_to.is_some() && !self.receiving;
        has_requests || is_ending || is_moving || !self.session.output().is_empty()
    }

    /// The ring has sent so many bytes. Whether the connection goes on.
    pub(super) fn has_sent(&mut self, bytes: Result<usize, i32>, desk: &mut Desk<'_>) -> bool {
        let was_quick = std::mem::replace(&mut self.flight, Flight::None) == Flight::Quick;
        self.sent += bytes.unwrap_or(0);
        if self.sent == self.sending.len() {
            self.sent = 0;
            let mut output = std::mem::take(&mut self.sending);
            output.clear();
            desk.keep_output(output);
        }
        bytes.is_ok() || was_quick && bytes == Err(libc::EAGAIN)
    }

    /// Lets the command that waited go on in its next turn.
    pub(super) fn finish_wait(&mut self) {
        self.pending = Pending::Nothing;
        self.executable = true;
    }

    /// The batch that is under way, while the connection waits for it.
    pub(super) fn batch(&mut self) -> Option<&mut Batch> {
        self.batch.as_deref_mut()
    }

    /// All parts of the batch are here.
    pub(super) fn finish_batch(&mut self, desk: &mut Desk<'_>) {
        self.pending = Pending::Nothing;
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        if !batch.reply(self.session.output_mut(), &mut desk.parts) {
            self.batch = Some(batch);
        } else {
            desk.keep_batch(batch);
        }
    }

    /// Executes as far as it goes without waiting.
    pub(super) fn turn(&mut self, desk: &mut Desk<'_>, round: u64) -> Turn {
        if self.over {
            return Turn::Idle;
        }
        if std::mem::replace(&mut self.round, round) != round {
            self.executed = 0;
        }
        self.go_on(desk)
    }

    fn go_on(&mut self, desk: &mut Desk<'_>) -> Turn {
        loop {
            match self.pending {
                Pending::Nothing => {}
                // Who leaves while waiting gets the replies before, and no more.
                Pending::Time if self.read_closed => {
                    self.pending = Pending::Nothing;
                    self.batch = None;
                    self.closing = true;
                }
                Pending::Time | Pending::Batch => return Turn::Idle,
            }
            if let Some(batch) = &mut self.batch {
                if let Some(time) = batch.take_wait() {
                    self.pending = Pending::Time;
                    return Turn::Wait(time);
                }
                // Its first replies go out before more are asked for.
                if self.session.output().len() >= MAX_WAITING_BYTES {
                    return Turn::Idle;
                }
                self.pending = Pending::Batch;
                return Turn::Batch;
            }
            if self.closing || !self.executable {
                return self.rest(desk);
            }
            match self.execute(desk) {
                Some(Stop::OutputFull) if self.batch.is_none() => return Turn::Idle,
                None if self.batch.is_none() => return Turn::Round,
                Some(Stop::OutputFull) | None => {}
                Some(Stop::NeedInput) => self.executable = false,
                Some(Stop::Close) => self.closing = true,
                Some(Stop::Wait(_)) if self.read_closed => self.closing = true,
                Some(Stop::Wait(time)) => {
                    self.pending = Pending::Time;
                    return Turn::Wait(time);
                }
                Some(Stop::Work(time)) => burn(time),
            }
        }
    }

    /// What becomes of a connection with nothing left to execute.
    fn rest(&self, desk: &Desk<'_>) -> Turn {
        let is_sent = self.sending.is_empty() && self.session.output().is_empty();
        if is_sent && (self.closing || self.read_closed || desk.ending) {
            Turn::Over
        } else {
            Turn::Idle
        }
    }

    /// `None`: not before the batch, or not in this round.
    fn execute(&mut self, desk: &mut Desk<'_>) -> Option<Stop> {
        let (batch, pull, executed) = (&mut self.batch, &mut self.pull, &mut self.executed);
        let mut replied = self.session.output().len();
        let store = desk.context.store;
        let stop = self
            .session
            .execute_with(store, |request, bytes, held, output| {
                if *executed > BYTES_PER_ROUND {
                    return None;
                }
                let outcome = desk.execute(request, bytes, held, output, batch, pull);
                *executed += if outcome.is_some() { bytes.len() } else { 0 };
                replied = output.len();
                outcome
            });
        // The reply to what cannot be decoded follows those that are under way.
        if let (Some(Stop::Close), Some(batch)) = (&stop, batch) {
            let error = self.session.output_mut().split_off(replied);
            batch.add_own(desk.own, &mut desk.parts, |output| output.extend(error));
        }
        stop
    }

    /// Has the ring send what there is, if it is not sending already. Whether `has_sent_all` is to be
    /// called after the next wait.
    pub(super) fn send(&mut self, slot: usize, ring: &mut Ring, desk: &mut Desk<'_>) -> bool {
        if self.over || self.flight != Flight::None {
            return false;
        }
        let socket = self.socket.as_raw_fd();
        if !self.sending.is_empty() {
            self.flight = Flight::Patient;
            let rest = &self.sending[self.sent..];
            // SAFETY: the buffer is neither changed nor dropped before the answer: a connection is
            // kept as long as something is in flight.
            unsafe { ring.send_patiently(socket, rest, slot) };
        } else if !self.session.output().is_empty() {
            self.flight = Flight::Quick;
            self.sending = self.session.take_output(desk.output());
            // SAFETY: as above.
            unsafe { ring.send(socket, &self.sending, slot) };
            return true;
        }
        false
    }

    /// Has the ring receive as long as there is room for what comes, and no longer.
    pub(super) fn receive(&mut self, slot: usize, ring: &mut Ring, desk: &Desk<'_>) {
        // Only a connection that cannot go on is kept from filling its input: one request may be larger.
        let stalled = self.executable || self.pending != Pending::Nothing || self.batch.is_some();
        let is_full = stalled && self.session.waiting_input() >= MAX_WAITING_BYTES;
        // While its client may leave a WAIT, that is to be seen.
        let is_moving = self.moves_to.is_some() && self.pending != Pending::Time;
        if self.receiving {
            if (is_full || is_moving) && !self.gave_up {
                self.gave_up = true;
                ring.cancel(Task::Receive(slot));
            }
        } else if !(is_full
            || is_moving
            || self.over
            || self.read_closed
            || self.closing
            || desk.ending)
        {
            self.receiving = true;
            ring.receive(self.socket.as_raw_fd(), slot);
        }
    }

    /// Notes whether it is to move: then nothing more is received for it here.
    pub(super) fn prepare_to_move(&mut self) {
        self.moves_to = self.moves_to.or(self.pull.core());
    }

    /// The core that it can move to here and now: nothing of it is under way.
    pub(super) fn can_move_to(&self, desk: &Desk<'_>) -> Option<u16> {
        let is_at_rest = self.pending == Pending::Nothing && self.batch.is_none() && !self.queued;
        let is_sent = self.sending.is_empty() && self.session.output().is_empty();
        let is_ending = self.over || self.closing || self.read_closed || desk.ending;
        self.moves_to
            .filter(|_| is_at_rest && is_sent && !self.receiving && !is_ending)
    }

    /// It is on another core.
    pub(super) fn has_moved(&mut self) {
        self.moves_to = None;
        self.pull = Pull::default();
    }

    /// Begins to end it.
    pub(super) fn end(&mut self, slot: usize, ring: &mut Ring) {
        if self.over {
            return;
        }
        self.over = true;
        if self.receiving && !self.gave_up {
            ring.cancel(Task::Receive(slot));
        }
        if self.flight == Flight::Patient {
            ring.cancel(Task::SendPatiently(slot));
        }
    }

    /// Whether it is over and the ring has let go of it.
    pub(super) fn is_gone(&self) -> bool {
        self.over && !self.receiving && self.flight == Flight::None
    }

    /// Closes it; the client sees the last reply.
    pub(super) fn close(self) {
        shut_down(self.socket.as_fd());
    }
}
