//! What our programs cost where the host keeps no statistics of BPF programs: they are switched on
//! for short periods, and what the programs did in those is kept.

use crate::cost::{ProgramCost, ProgramId, Statistics, program_info, statistics_on};
use libbpf_rs::libbpf_sys::bpf_prog_get_fd_by_id;
use std::{
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// There is one sample in each such time.
const PERIOD: Duration = Duration::from_millis(500);
/// After so many there is one in several such times: to switch statistics on and off costs more than to read them.
const MANY: u32 = 20;
const LATER: u32 = 4;
/// How long statistics are on for one. They cost each program of the host two readings of the clock.
const LENGTH: Duration = Duration::from_millis(20);
/// Samples move through the period by this share of it: no two near each other, and none in step with
/// the windows of a probe, which would be seen always or never.
const STEP: f64 = 0.618_033_988_749_895;

/// What was counted so far, and in how much time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What each program did while statistics were on for it.
    pub programs: Vec<ProgramCost>,
    /// For how long they were on.
    pub on_ns: u64,
    /// Samples that were taken; none where statistics are on always.
    pub samples: u64,
}

/// How the cost of programs is counted.
pub(crate) enum Counting {
    /// The host keeps statistics anyway.
    Always(Always),
    /// It does not.
    Sampled(Sampling),
}

/// Samples what programs cost, in a thread of its own, until it is dropped.
pub(crate) struct Sampling {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Statistics that stay on while the host has them on, even if it switches them off meanwhile.
pub(crate) struct Always {
    since: Instant,
    _on: Option<Statistics>,
}

struct Shared {
    programs: Vec<Program>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Runs and nanoseconds, in the order of the programs.
    sums: Vec<(u64, u64)>,
    on: Duration,
    samples: u64,
    failure: Option<io::Error>,
}

/// A program, held open so that it is read without a search.
struct Program {
    name: String,
    probe: &'static str,
    descriptor: OwnedFd,
}

impl Counting {
    /// Begins to count, in samples if it has to be.
    pub(crate) fn start(costs: &[ProgramCost], ids: &[ProgramId]) -> io::Result<Self> {
        match Always::if_on() {
            Some(always) => Ok(Self::Always(always)),
            None => Sampling::start(costs, ids).map(Self::Sampled),
        }
    }
}

impl Always {
    /// If the host keeps statistics anyway.
    fn if_on() -> Option<Self> {
        statistics_on().then(|| Self {
            since: Instant::now(),
            // Without the right to it, the host's own setting has to do.
            _on: Statistics::enable().ok(),
        })
    }

    pub(crate) fn on_ns(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }
}

impl Sampling {
    /// Samples these programs from now on.
    fn start(costs: &[ProgramCost], ids: &[ProgramId]) -> io::Result<Self> {
        if costs.len() != ids.len() {
            return Err(io::Error::other(
                "the kernel does not list all of our programs",
            ));
        }
        // What cannot be switched on is found out here rather than in the thread.
        drop(Statistics::enable()?);
        let open = |(cost, &(id, _)): (&ProgramCost, &ProgramId)| Program::open(cost, id);
        let shared = Arc::new(Shared {
            programs: costs.iter().zip(ids).map(open).collect::<Result<_, _>>()?,
            state: Mutex::default(),
        });
        let of_thread = shared.clone();
        let (stop, stopped) = channel();
        let run = move || {
            if let Err(error) = of_thread.run(&stopped) {
                of_thread.state().failure = Some(error);
            }
        };
        let thread = thread::Builder::new()
            .name("statistics".into())
            .spawn(run)?;
        Ok(Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What the samples that are complete have shown.
    ///
    /// # Errors
    /// Why no more are taken, once.
    pub(crate) fn read(&self) -> io::Result<Counted> {
        let mut state = self.shared.state();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let none = vec![(0, 0); self.shared.programs.len()];
        let sums = if state.samples == 0 {
            &none
        } else {
            &state.sums
        };
        let programs = self.shared.programs.iter().zip(sums);
        Ok(Counted {
            programs: programs
                .map(|(program, &(runs, run_ns))| ProgramCost {
                    name: program.name.clone(),
                    probe: program.probe,
                    runs,
                    run_ns,
                })
                .collect(),
            on_ns: state.on.as_nanos() as u64,
            samples: state.samples,
        })
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, stopped: &Receiver<()>) -> io::Result<()> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        // Runs of connscope do not all begin at the same place of the period.
        let mut place = f64::from(since_epoch.unwrap_or_default().subsec_micros()) * 1e-6;
        let begun = Instant::now();
        // The first is at once, so that a short watch has one.
        let mut due = Duration::ZERO;
        for period in 1u32.. {
            if waited(stopped, due.saturating_sub(begun.elapsed())) || self.sample(stopped)? {
                break;
            }
            place = (place + STEP).fract();
            let periods = period + (LATER - 1) * period.saturating_sub(MANY);
            // All of the time between two is as likely, or windows that come as regularly would be missed.
            let between = if period > MANY {
                PERIOD * LATER
            } else {
                PERIOD
            };
            due = PERIOD * periods + (between - LENGTH).mul_f64(place);
        }
        Ok(())
    }

    /// Takes one sample; whether to stop.
    fn sample(&self, stopped: &Receiver<()>) -> io::Result<bool> {
        let on = Statistics::enable()?;
        let (begun, before) = (Instant::now(), self.costs()?);
        let stop = waited(stopped, LENGTH);
        let (took, after) = (begun.elapsed(), self.costs()?);
        drop(on);
        let mut state = self.state();
        state.sums.resize(before.len(), (0, 0));
        let grown = before.iter().zip(after);
        for (sum, (before, after)) in state.sums.iter_mut().zip(grown) {
            sum.0 += after.0.saturating_sub(before.0);
            sum.1 += after.1.saturating_sub(before.1);
        }
        state.on += took;
        state.samples += 1;
        Ok(stop)
    }

    fn costs(&self) -> io::Result<Vec<(u64, u64)>> {
        self.programs.iter().map(Program::cost).collect()
    }
}

impl Program {
    fn open(cost: &ProgramCost, id: u32) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let descriptor = unsafe { bpf_prog_get_fd_by_id(id) };
        if descriptor < 0 {
            return Err(io::Error::from_raw_os_error(-descriptor));
        }
        // SAFETY: a new descriptor, which nobody else has.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            name: cost.name.clone(),
            probe: cost.probe,
            descriptor,
        })
    }

    /// Runs and nanoseconds since it was loaded, as far as statistics were on.
    fn cost(&self) -> io::Result<(u64, u64)> {
        let info = program_info(self.descriptor.as_fd())?;
        Ok((info.run_cnt, info.run_time_ns))
    }
}

/// Waits so long; whether to stop.
fn waited(stopped: &Receiver<()>, time: Duration) -> bool {
    stopped.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
}
