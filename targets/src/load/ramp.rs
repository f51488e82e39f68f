//! Making the connections: in steps, each connection answered once before a step counts as done,
//! so that the server's task for it exists.

mod preparation;

use std::time::{Duration, Instant};

use redis_protocol::resp2::types::BorrowedFrame::BulkString;
use rustix::io::Errno;

use super::client::{Client, Received, Reply};
use super::control::{Event, FIRST_CONTROL_TOKEN};
use super::poller::EventFlags;
use super::run::Run;
use crate::errors::in_words;
use crate::protocol::reply::array;

/// Connections being made at a time: fewer than any backlog.
const IN_PROGRESS: usize = 64;
/// How long nothing may be answered while connections are made.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same with `--touch`: a server writes 1 GiB in much less.
const PATIENCE_WITH_TOUCH: Duration = Duration::from_secs(60);
/// What a connection being made waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Pinged,
    Touched,
    Ready,
}

/// One step of the ramp.
struct Step {
    /// The stages of the connections from `first` on.
    stages: Vec<Stage>,
    first: usize,
    ready: usize,
}

impl Run<'_> {
    /// Makes all connections, step by step, reporting each step and waiting for the supervisor.
    /// Once the first ones work, brings the server into the state that the workload needs.
    ///
    /// # Errors
    /// Why the run cannot go on.
    pub(crate) fn ramp(&mut self) -> Result<(), String> {
        let (connections, steps) = (self.options.connections, self.options.ramp_steps);
        for step in 1..=steps.min(connections) {
            let target =
                u64::from(connections) * u64::from(step) / u64::from(steps.min(connections));
            self.connect_up_to(target as usize)?;
            if step == 1 {
                self.prepare()?;
            }
            self.report(&Event::Connected {
                connections: target as u32,
            })?;
            self.wait_for_line()?;
        }
        Ok(())
    }

    fn connect_up_to(&mut self, target: usize) -> Result<(), String> {
        let mut step = Step {
            stages: Vec::new(),
            first: self.clients.len(),
            ready: 0,
        };
        let patience = match self.options.touch {
            Some(_) => PATIENCE_WITH_TOUCH,
            None => PATIENCE,
        };
        let mut last_progress = Instant::now();
        while step.first + step.ready < target {
            while self.clients.len() < target && step.stages.len() - step.ready < IN_PROGRESS {
                self.begin_connecting()?;
                step.stages.push(Stage::Connecting);
            }
            let events = self.poll(Duration::from_millis(100).as_nanos() as u64)?;
            let ready = step.ready;
            for event in 0..events {
                self.ramp_event(event, &mut step)?;
            }
            if step.ready > ready {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > patience {
                self.tally.errors.timeouts += (step.stages.len() - step.ready) as u64;
                let made = step.first + step.ready;
                return Err(format!(
                    "no connection was answered for {patience:?} after {made}"
                ));
            }
        }
        Ok(())
    }

    fn begin_connecting(&mut self) -> Result<(), String> {
        let index = self.clients.len();
        let client = Client::connect(self.options.connect, index)
            .map_err(|error| self.no_connection(index, error))?;
        self.watch(&client, index)
            .map_err(|error| format!("cannot wait for connection {index}: {}", in_words(error)))?;
        self.clients.push(client);
        Ok(())
    }

    /// Has the events of a client's connection reported.
    ///
    /// # Errors
    /// When the system lacks memory for it.
    pub(super) fn watch(&self, client: &Client, index: usize) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let token = self.share.number(index) as u64;
        self.poller.add(client.socket()?, token, flags)
    }

    fn ramp_event(&mut self, event: usize, step: &mut Step) -> Result<(), String> {
        let (token, flags) = self.poller.event(event);
        if token >= FIRST_CONTROL_TOKEN {
            self.control.take(token);
            return self.check_control();
        }
        let index = token as usize;
        let Some(stage) = index
            .checked_sub(step.first)
            .and_then(|at| step.stages.get_mut(at))
        else {
            // Of an earlier step: nothing is due from it but its end.
            return self.idle_event(index);
        };
        let settled = EventFlags::OUT | EventFlags::ERR | EventFlags::HUP;
        if *stage == Stage::Connecting && flags.intersects(settled) {
            if let Err(error) = self.clients[index].connected() {
                return Err(self.no_connection(index, error));
            }
            self.send_set_up(index, b"PING", None)?;
            *stage = Stage::Pinged;
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR)
        {
            self.ramp_answer(index, stage, &mut step.ready)?;
        }
        Ok(())
    }

    fn ramp_answer(
        &mut self,
        index: usize,
        stage: &mut Stage,
        ready: &mut usize,
    ) -> Result<(), String> {
        let errors = &mut self.tally.errors;
        match (self.clients[index].receive(), *stage) {
            (Received::Nothing, _) => return Ok(()),
            (Received::Closed, _) => {
                errors.reset += 1;
                return Err(format!(
                    "the server closed connection {index} while it was made"
                ));
            }
            (Received::Reply(Reply::Simple(b"PONG")), Stage::Pinged)
            | (Received::Reply(Reply::Simple(b"OK")), Stage::Touched) => {}
            (Received::Reply(Reply::Error(text)), _) => {
                errors.refused += 1;
                let text = text.escape_ascii();
                return Err(format!("the server refused connection {index}: {text}"));
            }
            (Received::Reply(other), _) => {
                errors.wrong_answers += 1;
                return Err(format!("wrong answer on connection {index}: {other:?}"));
            }
        }
        self.clients[index].clear();
        match (*stage, self.options.touch) {
            (Stage::Pinged, Some(bytes)) => {
                self.send_set_up(index, b"TOUCH", Some(bytes))?;
                *stage = Stage::Touched;
            }
            _ => {
                *stage = Stage::Ready;
                *ready += 1;
            }
        }
        Ok(())
    }

    fn send_set_up(
        &mut self,
        index: usize,
        name: &[u8],
        size: Option<usize>,
    ) -> Result<(), String> {
        self.request.clear();
        let size = size.map(|size| size.to_string());
        match &size {
            Some(size) => {
                array(
                    &mut self.request,
                    &[BulkString(name), BulkString(size.as_bytes())],
                );
            }
            None => array(&mut self.request, &[BulkString(name)]),
        }
        self.clients[index]
            .send(&self.request)
            .map_err(|error| self.no_connection(index, error))
    }

    /// Counts a connection that was not made, and says so.
    fn no_connection(&mut self, index: usize, error: Errno) -> String {
        self.tally.errors.count(error);
        let server = self.options.connect;
        format!(
            "cannot make connection {index} to {server}: {}",
            in_words(error)
        )
    }

    /// Waits for the supervisor's next line, if there is a supervisor.
    fn wait_for_line(&mut self) -> Result<(), String> {
        while self.control.is_paced() && !self.control.take_line() {
            self.check_control()?;
            for event in 0..self.poll(Duration::from_secs(1).as_nanos() as u64)? {
                let (token, _) = self.poller.event(event);
                if token >= FIRST_CONTROL_TOKEN {
                    self.control.take(token);
                } else {
                    self.idle_event(token as usize)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at a connection that is owed no answer: it may only have ended.
    fn idle_event(&mut self, index: usize) -> Result<(), String> {
        match self.clients[index].receive() {
            Received::Nothing => Ok(()),
            Received::Closed => {
                self.tally.errors.reset += 1;
                Err(format!(
                    "the server closed connection {index} while others were made"
                ))
            }
            Received::Reply(_) => {
                self.tally.errors.wrong_answers += 1;
                Err(format!("an answer nobody asked for on connection {index}"))
            }
        }
    }
}
