//! What happened between the snapshots of a run, by role and in all.

use super::calls::Called;
use super::creations::{Calls, calls_between};
use super::error::{Problem, growth};
use super::faults::{Coverage, Seen};
use super::histogram::{Samples, add_counts, counts_between};
use super::in_kernel::InKernel;
use super::memory::Held;
use super::switch_latency::{Switches, add_switches, switches_between};
use super::tlb::TlbWindow;
use crate::snapshot::{Histogram, REASONS, Role, Run, Snapshot, Totals};

/// A time may shrink by so much from one snapshot to the next: the state in progress is read off
/// a run-queue clock, which lags behind the true time by up to a tick until it is next updated.
const REVISION_NS: u64 = 10_000_000;

/// What a group of tasks did in a window, or in several.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) totals: Totals,
    pub(super) run_queue_wait: Samples,
    pub(super) on_cpu_slice: Samples,
    pub(super) blocked: Samples,
    pub(super) blocked_by_reason: [Samples; REASONS.len()],
    pub(super) first_run: Samples,
    pub(super) run_queue_depth: Vec<u64>,
    pub(super) tlb: TlbWindow,
    pub(super) calls: Calls,
    pub(super) switches: Switches,
    pub(super) faults: Seen,
    pub(super) called: Called,
    pub(super) in_kernel: InKernel,
}

/// What one role did, and what its tasks held in the end.
#[derive(Clone, Debug)]
pub(super) struct RoleWindow {
    pub(super) name: String,
    pub(super) group: Group,
    /// Living tasks when the window closed.
    pub(super) tasks: u64,
    pub(super) held: Held,
}

/// What a run's snapshots say of its window.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    pub(super) run: &'a Run,
    pub(super) seconds: f64,
    pub(super) roles: Vec<RoleWindow>,
    /// All roles together.
    pub(super) all: Group,
    /// How long faults were looked at one by one.
    pub(super) fault_coverage: Option<Coverage>,
    /// Stolen from all CPUs of the host; none where that counter went back, as it may on some hosts.
    pub(super) stolen_seconds: Option<f64>,
}

impl<'a> Window<'a> {
    /// The difference of a run's snapshots.
    pub(super) fn of(run: &'a Run) -> Result<Self, Problem> {
        check_order(run)?;
        check_roles(run)?;
        let (before, start, end) = (&run.before.roles, &run.start.roles, &run.end.roles);
        let fault_coverage = Coverage::of(run);
        let whole = fault_coverage.is_some_and(|coverage| coverage.whole);
        let roles = before
            .iter()
            .zip(start)
            .zip(end)
            .map(|((before, start), end)| RoleWindow::between(before, start, end, whole))
            .collect::<Result<Vec<_>, _>>()?;
        let mut all = Group::default();
        for role in &roles {
            all.add(&role.group)?;
        }
        let stolen = run.end.stolen_ns.checked_sub(run.start.stolen_ns);
        Ok(Self {
            run,
            seconds: (run.end.at_ns - run.start.at_ns) as f64 / 1e9,
            roles,
            all,
            fault_coverage,
            stolen_seconds: stolen.map(|ns| ns as f64 / 1e9),
        })
    }

    /// Living tasks when the window closed.
    pub(super) fn tasks(&self) -> u64 {
        self.roles.iter().map(|role| role.tasks).sum()
    }

    /// Right answers that arrived in the window, where clients were ours.
    pub(super) fn answered(&self) -> Option<u64> {
        let client = self.run.client.as_ref()?;
        Some(client.answered_in_window)
    }

    /// What all tasks held when the window closed.
    pub(super) fn held(&self) -> Held {
        Held::of(self.run.end.roles.iter().flat_map(|role| &role.tasks))
    }
}

impl RoleWindow {
    fn between(before: &Role, start: &Role, end: &Role, whole: bool) -> Result<Self, Problem> {
        Ok(Self {
            name: end.name.clone(),
            group: Group::between(before, start, end, whole)?,
            tasks: end.tasks.len() as u64,
            held: Held::of(&end.tasks),
        })
    }
}

impl Group {
    /// Creations and first runs from `before`, all else from `start`, to `end`; `whole`: every fault
    /// was looked at.
    fn between(before: &Role, start: &Role, end: &Role, whole: bool) -> Result<Self, Problem> {
        let role = &end.name;
        let samples = |from: &Histogram, to: &Histogram, measure: &str| {
            Samples::between(from, to, &format!("{measure} of role {role}"))
        };
        let blocked_by_reason = blocked_between(start, end)?;
        let mut blocked = Samples::default();
        for samples in &blocked_by_reason {
            blocked.add(samples, "blocked")?;
        }
        let depth_name = format!("run_queue_depth of role {role}");
        let totals = totals_between(&totals_of(start), &totals_of(end), role)?;
        Ok(Self {
            faults: Seen::between(&start.faults, &end.faults, &totals, whole, role)?,
            totals,
            run_queue_wait: samples(&start.run_queue_wait, &end.run_queue_wait, "run_queue_wait")?,
            on_cpu_slice: samples(&start.on_cpu_slice, &end.on_cpu_slice, "on_cpu_slice")?,
            blocked,
            blocked_by_reason,
            first_run: samples(&before.first_run, &end.first_run, "first_run")?,
            run_queue_depth: counts_between(
                &start.run_queue_depth,
                &end.run_queue_depth,
                &depth_name,
            )?,
            tlb: TlbWindow::between(&start.tlb, &end.tlb, &format!("role {role}"))?,
            calls: calls_between(&before.creations, &end.creations, role)?,
            switches: switches_between(start, end)?,
            called: Called::between(before.calls.as_ref(), end.calls.as_ref())?,
            in_kernel: InKernel::between(before, start, end)?,
        })
    }

    /// Takes in what another group did.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Problem> {
        add_totals(&mut self.totals, &other.totals);
        self.run_queue_wait
            .add(&other.run_queue_wait, "run_queue_wait")?;
        self.on_cpu_slice.add(&other.on_cpu_slice, "on_cpu_slice")?;
        self.blocked.add(&other.blocked, "blocked")?;
        for (sum, other) in self
            .blocked_by_reason
            .iter_mut()
            .zip(&other.blocked_by_reason)
        {
            sum.add(other, "blocked")?;
        }
        self.first_run.add(&other.first_run, "first_run")?;
        add_counts(&mut self.run_queue_depth, &other.run_queue_depth);
        self.tlb.add(&other.tlb)?;
        for (key, count) in &other.calls {
            *self.calls.entry(*key).or_default() += count;
        }
        self.faults.add(&other.faults)?;
        self.called.add(&other.called)?;
        self.in_kernel.add(&other.in_kernel)?;
        add_switches(&mut self.switches, &other.switches)
    }
}

/// The sleeps by reason; a role without tasks so far may have none listed.
fn blocked_between(start: &Role, end: &Role) -> Result<[Samples; REASONS.len()], Problem> {
    let mut sleeps: [Samples; REASONS.len()] = Default::default();
    let none = Histogram::default();
    for (place, reason) in REASONS.iter().enumerate() {
        let of = |role: &Role| role.blocked.get(place).unwrap_or(&none).clone();
        let name = format!("blocked on {reason} of role {}", end.name);
        sleeps[place] = Samples::between(&of(start), &of(end), &name)?;
    }
    Ok(sleeps)
}

fn check_order(run: &Run) -> Result<(), Problem> {
    let (before_ns, start_ns, end_ns) = (run.before.at_ns, run.start.at_ns, run.end.at_ns);
    if before_ns <= start_ns && start_ns < end_ns {
        return Ok(());
    }
    Err(Problem::Window {
        before_ns,
        start_ns,
        end_ns,
    })
}

fn check_roles(run: &Run) -> Result<(), Problem> {
    let names = |snapshot: &Snapshot| {
        let names: Vec<_> = snapshot
            .roles
            .iter()
            .map(|role| role.name.as_str())
            .collect();
        names.join(", ")
    };
    let (before, start, end) = (names(&run.before), names(&run.start), names(&run.end));
    if before == start && start == end {
        return Ok(());
    }
    Err(Problem::Roles { before, start, end })
}

/// What the tasks of a role did so far, those that have ended included.
pub(crate) fn totals_of(role: &Role) -> Totals {
    let mut sum = role.ended;
    for task in &role.tasks {
        add_totals(&mut sum, &task.totals);
    }
    subtract_totals(&mut sum, &role.joined);
    sum
}

/// Takes a part off; times in progress may have been revised since it was read.
fn subtract_totals(sum: &mut Totals, part: &Totals) {
    let subtract = |sum: &mut u64, part: u64| *sum = sum.saturating_sub(part);
    subtract(&mut sum.voluntary, part.voluntary);
    subtract(&mut sum.involuntary, part.involuntary);
    subtract(&mut sum.cpu_ns, part.cpu_ns);
    subtract(&mut sum.running_ns, part.running_ns);
    subtract(&mut sum.runnable_ns, part.runnable_ns);
    for (sum, part) in sum.blocked_ns.iter_mut().zip(part.blocked_ns) {
        subtract(sum, part);
    }
    subtract(&mut sum.arrivals, part.arrivals);
    subtract(&mut sum.unseen, part.unseen);
    subtract(&mut sum.minor_faults, part.minor_faults);
    subtract(&mut sum.major_faults, part.major_faults);
}

fn add_totals(sum: &mut Totals, other: &Totals) {
    sum.voluntary += other.voluntary;
    sum.involuntary += other.involuntary;
    sum.cpu_ns += other.cpu_ns;
    sum.running_ns += other.running_ns;
    sum.runnable_ns += other.runnable_ns;
    for (sum, other) in sum.blocked_ns.iter_mut().zip(other.blocked_ns) {
        *sum += other;
    }
    sum.arrivals += other.arrivals;
    sum.unseen += other.unseen;
    sum.minor_faults += other.minor_faults;
    sum.major_faults += other.major_faults;
}

/// What tasks did between two snapshots; `whose` names them in an error.
///
/// # Errors
/// [`Problem::Backwards`] if a counter decreased, or a time by more than a tick.
pub(super) fn totals_between(start: &Totals, end: &Totals, whose: &str) -> Result<Totals, Problem> {
    let count = |name: &'static str, start: u64, end: u64| {
        growth(start, end, || format!("{name} of role {whose}"))
    };
    let time = |name: &'static str, start: u64, end: u64| {
        if start.saturating_sub(end) <= REVISION_NS {
            return Ok(end.saturating_sub(start));
        }
        count(name, start, end)
    };
    Ok(Totals {
        voluntary: count("voluntary switches", start.voluntary, end.voluntary)?,
        involuntary: count("involuntary switches", start.involuntary, end.involuntary)?,
        cpu_ns: count("CPU time", start.cpu_ns, end.cpu_ns)?,
        running_ns: time("running time", start.running_ns, end.running_ns)?,
        runnable_ns: time("runnable time", start.runnable_ns, end.runnable_ns)?,
        blocked_ns: {
            let mut blocked = [0; REASONS.len()];
            for (place, blocked) in blocked.iter_mut().enumerate() {
                let (start, end) = (start.blocked_ns[place], end.blocked_ns[place]);
                *blocked = time("blocked time", start, end)?;
            }
            blocked
        },
        arrivals: count("arrivals", start.arrivals, end.arrivals)?,
        unseen: count("unseen switches", start.unseen, end.unseen)?,
        minor_faults: count("minor faults", start.minor_faults, end.minor_faults)?,
        major_faults: count("major faults", start.major_faults, end.major_faults)?,
    })
}
