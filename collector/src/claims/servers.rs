//! What the measurements share: the host, and runs of the reference servers under load.

use super::round::NotHere;
use crate::{
    attach::{
        cgroup::Hierarchy,
        launched::{Server, TargetBinary},
    },
    interrupt::Interrupt,
    load::{Event, Load, Plan},
    measure::{Bench, measure},
    report::{self, Target},
    sample::Sampler,
    snapshot::{Client, Host, Recording, Run},
};
use anyhow::{Context, Result, bail};
use probe_ebpf::{Options, platform};
use std::{path::Path, time::Duration};

/// A task with its creator's address space, and a thread of its process.
pub(super) const CLONE_VM: u64 = 0x100;
pub(super) const CLONE_THREAD: u64 = 0x1_0000;

/// What a crash takes with it is known by then; when the server serves again is not asked for.
const RECOVERY: Duration = Duration::from_millis(100);

/// How much later than its schedule the load generator may be with an event.
const GRACE: Duration = Duration::from_secs(60);

/// What all measurements are made with.
pub struct Setting<'a> {
    /// Fewer rounds, shorter windows.
    pub quick: bool,
    /// Ends it early.
    pub interrupt: &'a Interrupt,
    /// The reference servers, or why there are none.
    binary: Result<TargetBinary, String>,
    /// Why nothing can be watched, if that is so.
    no_probes: Option<String>,
    hierarchy: Option<Hierarchy>,
}

impl<'a> Setting<'a> {
    /// Looks at what the host allows. Nothing is refused here: what lacks is said of what needs it.
    #[must_use]
    pub fn new(quick: bool, interrupt: &'a Interrupt, target_binary: Option<&Path>) -> Self {
        let missing = platform::missing_capabilities();
        Self {
            quick,
            interrupt,
            binary: TargetBinary::find(target_binary).map_err(|error| format!("{error:#}")),
            no_probes: (!missing.is_empty())
                .then(|| format!("without {}; run with sudo", missing.join(" and "))),
            hierarchy: Hierarchy::find().ok(),
        }
    }

    /// # Errors
    /// [`NotHere`] where we may not watch other tasks.
    pub(super) fn needs_probes(&self) -> Result<()> {
        match &self.no_probes {
            Some(why) => Err(NotHere(why.clone()).into()),
            None => Ok(()),
        }
    }

    /// The reference servers.
    pub(super) fn servers(&self) -> Result<&TargetBinary> {
        self.binary
            .as_ref()
            .map_err(|why| NotHere(why.clone()).into())
    }

    /// Which of two lengths of a window.
    pub(super) fn window(&self, full_ms: u64, quick_ms: u64) -> Duration {
        Duration::from_millis(if self.quick { quick_ms } else { full_ms })
    }

    /// All of a list, or with `--quick` the first few, which our own claims are about.
    pub(super) fn some<'b, T>(&self, all: &'b [T], few: usize) -> &'b [T] {
        if self.quick { &all[..few] } else { all }
    }

    /// A model under load, watched.
    pub(super) fn watched(&self, model: &str, plan: &Plan) -> Result<Watched> {
        self.needs_probes()?;
        let bench = Bench {
            binary: self.servers()?,
            hierarchy: self.hierarchy.as_ref(),
            interrupt: self.interrupt,
            options: Options::BOOKS,
            counters: false,
            own: None,
        };
        let (run, _) = measure(&bench, model, 1, plan).with_context(|| model.to_owned())?;
        if let Some(trouble) = &run.incomplete {
            bail!("{model}: {trouble}");
        }
        Watched::of(run)
    }

    /// Starts a model that is not watched.
    pub(super) fn start(&self, model: &str, options: &[&str]) -> Result<Server> {
        Server::start(self.servers()?, model, options, None, self.interrupt)
    }

    /// What clients see of a server that is not watched.
    pub(super) fn offer(&self, server: &mut Server, plan: &Plan) -> Result<Client> {
        let mut load = Load::start(self.servers()?, server.address, plan)?;
        loop {
            let limit = plan.warm_up + plan.duration + GRACE;
            match load.next(limit, self.interrupt, || server.ended()) {
                Ok(Event::Connected { .. } | Event::Measured) => load.go_on(),
                Ok(Event::Measuring) => {}
                Ok(Event::Failed { reason }) => bail!(reason),
                Ok(Event::Done { result }) => match (result.complete, &result.reason) {
                    (false, Some(reason)) => bail!(reason.clone()),
                    _ => return Ok(*result),
                },
                Err(silence) => {
                    let said = load.last_words();
                    bail!("{silence}: {said}");
                }
            }
        }
    }
}

/// Load of a workload at a rate.
pub(super) fn plan(workload: &str, connections: u32, rate: u32, duration: Duration) -> Plan {
    Plan {
        workload: workload.into(),
        booking: "lock".into(),
        rate,
        connections,
        ramp_steps: 1,
        warm_up: Duration::from_millis(150),
        duration,
        touch: None,
        stall: false,
        crash: false,
        recovery: RECOVERY,
    }
}

/// What was seen of a model.
pub(super) struct Watched {
    pub(super) target: Target,
    /// Length of the window.
    pub(super) seconds: f64,
    pub(super) client: Client,
}

impl Watched {
    fn of(run: Run) -> Result<Self> {
        let client = run
            .client
            .clone()
            .context("there is no result of the load")?;
        let recording = Recording {
            command: "claims".into(),
            host: Host::default(),
            runs: vec![run],
            methods: Vec::new(),
            unavailable: Vec::new(),
            incomplete: None,
        };
        let mut report = report::build(&recording)?;
        let target = report.targets.pop().context("nothing was watched")?;
        Ok(Self {
            seconds: target.window_seconds,
            target,
            client,
        })
    }

    /// What one more connection adds, in bytes.
    ///
    /// # Errors
    /// Why that is not known, in words.
    pub(super) fn per_connection(&self) -> Result<f64, String> {
        let memory = &self.target.measures.kernel.memory;
        let slope = memory.marginal_bytes_per_connection.as_ref();
        let slope =
            slope.ok_or("no memory cgroup could be made for the server; see connscope doctor")?;
        let unknown = || slope.reason.clone().unwrap_or_default();
        slope.value.ok_or_else(unknown)
    }
}

/// Creations so far by what is watched: clone flags and how many.
pub(super) fn creations(sampler: &mut Sampler) -> Result<Vec<(u64, u64)>> {
    let mut snapshots = sampler.read()?;
    let snapshot = snapshots.pop().context("nothing is watched")?;
    let mut all: Vec<(u64, u64)> = Vec::new();
    for creation in snapshot.roles.iter().flat_map(|role| &role.creations) {
        match all.iter_mut().find(|it| it.0 == creation.clone_flags) {
            Some(known) => known.1 += creation.count,
            None => all.push((creation.clone_flags, creation.count)),
        }
    }
    Ok(all)
}
