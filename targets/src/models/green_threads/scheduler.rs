//! A thread's coroutines: which wait for what, which have a turn next.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::net::{Shutdown, shutdown};

use super::green::{Green, Pause, Readiness};
use super::stacks::Stacks;
use super::worker::{INBOX, Worker};
use crate::counters;
use crate::event_loop::wait::{Event, Ready};
use crate::listen::refuse as refuse_socket;
use crate::slots::Slots;
use crate::timers::Timers;

const EVENTS_PER_TURN: usize = 1024;
struct Task {
    coroutine: Coroutine<(), Pause, (), DefaultStack>,
    readiness: Rc<Readiness>,
    paused: Pause,
}

impl Task {
    /// What it waited for has come.
    fn may_go_on(&self) -> bool {
        match self.paused {
            Pause::Readable => self.readiness.readable.get(),
            Pause::Writable => self.readiness.writable.get(),
            // In the run queue, or in the timers.
            Pause::Turn | Pause::Until(_) => false,
        }
    }
}

/// The coroutines of one thread.
pub(crate) struct Scheduler {
    poll: Poll,
    worker: Arc<Worker>,
    stacks: Stacks,
    tasks: Slots<Task>,
    /// Tasks that can go on, each once.
    queue: VecDeque<usize>,
    timers: Timers<usize>,
}

impl Scheduler {
    /// A scheduler for this thread.
    pub(crate) fn new(poll: Poll, worker: Arc<Worker>, stacks: Stacks) -> Self {
        Self {
            poll,
            worker,
            stacks,
            tasks: Slots::default(),
            queue: VecDeque::new(),
            timers: Timers::default(),
        }
    }

    /// Runs a coroutine of `serve` for each connection given; those that cannot have one are left
    /// to `refuse`. Comes back only when the kernel refuses to wait for events.
    pub(crate) fn run(
        &mut self,
        serve: impl Fn(&Green<'_>) + Copy + 'static,
        refuse: impl Fn(OwnedFd),
    ) -> io::Error {
        let mut ready = Ready::with_capacity(EVENTS_PER_TURN);
        loop {
            let timeout = self.timeout();
            if timeout != Some(Duration::ZERO) {
                counters::thread_idles();
            }
            match ready.wait(&self.poll, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return error,
                _ => {}
            }
            for event in ready.iter() {
                if event.token == INBOX {
                    for socket in self.worker.take() {
                        self.begin(socket, serve, &refuse);
                    }
                } else {
                    self.note(event);
                }
            }
            self.fire_timers();
            // What has more to do, or can go on again, has its next turn after the next events.
            for _ in 0..self.queue.len() {
                if let Some(slot) = self.queue.pop_front() {
                    self.turn(slot);
                }
            }
            self.tasks.free_ended();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn begin(
        &mut self,
        socket: OwnedFd,
        serve: impl Fn(&Green<'_>) + 'static,
        refuse: impl Fn(OwnedFd),
    ) {
        let Ok(stack) = self.stacks.take() else {
            self.worker.leave();
            return refuse(socket);
        };
        let readiness = Rc::<Readiness>::default();
        let (own, descriptor) = (readiness.clone(), socket.as_raw_fd());
        counters::task_begins();
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            counters::task_goes_on();
            serve(&Green::new(socket, own, yielder));
            counters::task_ended();
            counters::task_pauses();
        });
        let slot = self.tasks.add(Task {
            coroutine,
            readiness,
            paused: Pause::Turn,
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let watched = registry.register(&mut SourceFd(&descriptor), Token(slot), interest);
        if let (Err(_), Some(task)) = (watched, self.tasks.get(slot)) {
            // Its coroutine sees the end of the stream.
            // SAFETY: the coroutine, which has not begun, keeps the socket open.
            let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
            refuse_socket(socket);
            let _ = shutdown(socket, Shutdown::Both);
            task.readiness.readable.set(true);
        }
        self.queue.push_back(slot);
    }

    fn note(&mut self, event: Event) {
        let Token(slot) = event.token;
        let Some(task) = self.tasks.get(slot) else {
            return;
        };
        task.readiness.note(event);
        if task.may_go_on() {
            task.paused = Pause::Turn;
            self.queue.push_back(slot);
        }
    }

    fn fire_timers(&mut self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(slot) = self.timers.take_due(now) {
            self.queue.push_back(slot);
        }
    }

    /// Switches to a coroutine until it pauses or ends.
    fn turn(&mut self, slot: usize) {
        let Some(task) = self.tasks.get(slot) else {
            return;
        };
        match task.coroutine.resume(()) {
            CoroutineResult::Yield(pause) => {
                match pause {
                    Pause::Turn => self.queue.push_back(slot),
                    Pause::Until(time) => self.timers.push(time, slot),
                    Pause::Readable | Pause::Writable => {}
                }
                task.paused = pause;
            }
            CoroutineResult::Return(()) => {
                if let Some(task) = self.tasks.end(slot) {
                    self.stacks.give_back(task.coroutine.into_stack());
                }
                self.worker.leave();
            }
        }
    }
}
