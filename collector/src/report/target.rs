//! One watched target in figures, its repeats merged.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::connections::{Connected, open};
use super::counters::{HardwareCounters, SoftwareCounters};
use super::detail::{TaskDetail, busiest};
use super::error::Error;
use super::marginal::Marginal;
use super::measures::{Basis, KernelMeasures, Measures};
use super::memory::Held;
use super::method::method;
use super::new_connection::NewConnection;
use super::observer::{Lost, add_losses, add_unseen};
use super::own::Own;
use super::spread::Spreads;
use super::switch_latency::Looked;
use super::user_space::UserSpaceSwitches;
use super::window::{Group, Window};
use crate::snapshot::{MemoryPoint, Recording, Run, TargetKind};

/// The measure's name in the recording.
const MARGINAL: &str = "marginal_bytes_per_connection";
const OWN: &str = "own_bytes";
const RESERVED: &str = "reserved_bytes_per_connection";

/// What that is of a target that ran already: of moments at which it was looked at.
const MOMENTS: &str = "own_memory_at_moments";
/// Why a running process has no slope.
const NOT_RESERVED: &str = "of what runs already it is not measured";
const NO_COUNT: &str = "how many connections it has is not known";

/// A target with so many connections. Counts and distributions are sums over its repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The concurrency model, or the name of the process.
    pub name: String,
    /// What sort of target.
    pub kind: TargetKind,
    /// The process that was watched in each repeat.
    pub pids: Vec<u32>,
    /// The unit or the container that it lives in, of one that ran already.
    pub lives_in: Option<String>,
    /// When it was there again after it had ended.
    pub restarts: Vec<Restart>,
    /// Connections held; none where that is not known.
    pub connections: Option<u32>,
    /// How many repeats of the same measurement are in here.
    pub repeats: u64,
    /// Lengths of the windows of all repeats together, in seconds.
    pub window_seconds: f64,
    /// Why it ended before its time, if it did in any repeat.
    pub incomplete: Option<String>,
    /// Watched tasks alive when the window closed; over repeats the (lower) median.
    pub tasks: u64,
    /// What was measured.
    pub measures: Measures,
    /// The headline figures of each repeat.
    pub spread: Spreads,
    /// The same by role.
    pub roles: Vec<Role>,
    /// The connections of a server that runs already, in the last repeat; none where they are not known.
    pub connected: Option<Connected>,
    /// What one more connection costs a server that runs already and makes a task for each.
    pub new_connection: Option<NewConnection>,
    /// The costliest connections of a server that runs already, else its busiest tasks, in the last
    /// repeat.
    pub connections_detail: Vec<TaskDetail>,
    /// What was not seen while it was watched, by probe.
    pub lost: Lost,
}

/// A target that had ended, and was there again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// How long after the window had opened, in seconds.
    pub after_seconds: f64,
    /// Its process.
    pub pid: u32,
}

impl Restart {
    fn all<'a>(window: &'a Window<'_>) -> impl Iterator<Item = Self> + 'a {
        let opened_ns = window.run.start.at_ns;
        window.run.restarts.iter().map(move |restart| Self {
            after_seconds: restart.at_ns.saturating_sub(opened_ns) as f64 / 1e9,
            pid: restart.pid,
        })
    }
}

/// The tasks of one role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub role: String,
    /// Watched tasks of this role alive when the window closed; over repeats the (lower) median.
    pub tasks: u64,
    /// What was measured of them.
    pub measures: KernelMeasures,
}

/// The targets in the order they were first watched.
pub(super) fn targets(
    windows: Vec<Window<'_>>,
    recording: &Recording,
) -> Result<Vec<Target>, Error> {
    let mut groups: Vec<Vec<Window<'_>>> = Vec::new();
    for window in windows {
        match groups.iter_mut().find(|group| is_repeat(group, window.run)) {
            Some(group) => group.push(window),
            None => groups.push(vec![window]),
        }
    }
    groups
        .iter()
        .map(|windows| Target::of(windows, recording))
        .collect()
}

/// Whether a run repeats the measurement of these. Two processes of one name that are watched at
/// the same time have the same repeat number, and are two targets.
fn is_repeat(group: &[Window<'_>], run: &Run) -> bool {
    let same = |other: &Run| {
        (&other.name, other.kind, other.connections) == (&run.name, run.kind, run.connections)
    };
    group
        .iter()
        .all(|window| same(window.run) && window.run.repeat != run.repeat)
}

impl Target {
    /// `windows` are the repeats, at least one.
    fn of(windows: &[Window<'_>], recording: &Recording) -> Result<Self, Error> {
        let first = windows[0].run;
        let looked = Looked::of(windows);
        let basis = basis(windows, &looked, recording);
        let mut all = Group::default();
        let mut lost = Lost::new();
        for window in windows {
            all.add(&window.all)
                .map_err(|problem| problem.of(window.run))?;
            add_losses(&mut lost, window.run).map_err(|problem| problem.of(window.run))?;
            add_unseen(&mut lost, window.run).map_err(|problem| problem.of(window.run))?;
        }
        let held: Vec<Held> = windows.iter().map(Window::held).collect();
        let last = windows[windows.len() - 1].run;
        let of_tasks = Basis {
            answered: None,
            stolen_seconds: None,
            ..self::basis(&windows[windows.len() - 1..], &looked, recording)
        };
        let clients: Vec<_> = windows
            .iter()
            .filter_map(|window| window.run.client.as_ref())
            .collect();
        let runs = || windows.iter().map(|window| window.run);
        let roles = roles(windows, &basis)?;
        let marginal = marginal(windows, recording);
        let new_connection = NewConnection::of(&runs().collect::<Vec<_>>(), &roles, marginal.value);
        Ok(Self {
            name: first.name.clone(),
            kind: first.kind,
            pids: windows
                .iter()
                .flat_map(|it| &it.run.pids)
                .copied()
                .collect(),
            lives_in: first.lives_in.clone(),
            restarts: windows.iter().flat_map(Restart::all).collect(),
            connections: first.connections.or_else(|| open(last)),
            repeats: windows.len() as u64,
            window_seconds: basis.seconds,
            incomplete: incomplete(windows),
            tasks: lower_median(windows.iter().map(Window::tasks)),
            measures: Measures {
                kernel: KernelMeasures::of(&all, &held, Some(marginal), &basis)
                    .with_own(own(windows, None, recording))
                    .with_reserved(reserved(windows, recording)),
                client: Client::of(&clients, &method(recording, "client")),
                software_counters: SoftwareCounters::of(runs(), recording)
                    .map_err(|problem| problem.of(last))?,
                hardware_counters: HardwareCounters::of(runs(), recording)
                    .map_err(|problem| problem.of(last))?,
                user_space_switches: UserSpaceSwitches::of(runs(), &basis)
                    .map_err(|problem| problem.of(last))?,
            },
            spread: Spreads::of(windows),
            roles,
            connected: Connected::of(last),
            new_connection,
            connections_detail: busiest(last, &of_tasks).map_err(|problem| problem.of(last))?,
            lost,
        })
    }
}

fn basis<'a>(windows: &[Window<'_>], looked: &'a Looked, recording: &'a Recording) -> Basis<'a> {
    Basis {
        seconds: windows.iter().map(|window| window.seconds).sum(),
        answered: windows.iter().map(Window::answered).sum(),
        connections: windows[0].run.connections,
        stolen_seconds: windows.iter().map(|window| window.stolen_seconds).sum(),
        looked,
        fault_coverage: windows.iter().map(|window| window.fault_coverage).sum(),
        recording,
    }
}

/// The roles of all repeats by name, in the order they were first listed.
fn roles(windows: &[Window<'_>], basis: &Basis<'_>) -> Result<Vec<Role>, Error> {
    let mut names: Vec<&str> = Vec::new();
    for role in windows.iter().flat_map(|window| &window.roles) {
        if !names.contains(&role.name.as_str()) {
            names.push(&role.name);
        }
    }
    // What is of the whole target is not of one of its roles.
    let basis = Basis {
        connections: None,
        stolen_seconds: None,
        ..*basis
    };
    names
        .into_iter()
        .map(|name| role(name, windows, &basis))
        .collect()
}

fn role(name: &str, windows: &[Window<'_>], basis: &Basis<'_>) -> Result<Role, Error> {
    let mut group = Group::default();
    let mut held = Vec::new();
    let mut tasks = Vec::new();
    for window in windows {
        for role in window.roles.iter().filter(|role| role.name == name) {
            group
                .add(&role.group)
                .map_err(|problem| problem.of(window.run))?;
            held.push(role.held);
            tasks.push(role.tasks);
        }
    }
    Ok(Role {
        role: name.to_owned(),
        tasks: lower_median(tasks),
        measures: KernelMeasures::of(&group, &held, None, basis).with_own(own(
            windows,
            Some(name),
            basis.recording,
        )),
    })
}

fn own(windows: &[Window<'_>], role: Option<&str>, recording: &Recording) -> Option<Own> {
    let runs = windows.iter().filter_map(|window| window.run.own.as_ref());
    Own::of(runs, role, &method(recording, OWN))
}

fn marginal(windows: &[Window<'_>], recording: &Recording) -> Marginal {
    let points: Vec<&[MemoryPoint]> = windows
        .iter()
        .map(|window| window.run.memory_points.as_slice())
        .collect();
    let lacking = |measure: &str| {
        let it = recording
            .unavailable
            .iter()
            .find(|it| it.measure == measure);
        it.map(|it| it.reason.as_str())
    };
    // What runs already shares a cgroup with others, and cannot be moved into one of its own.
    if windows[0].run.kind.ran_already() {
        let is_unknown =
            windows[0].run.connected.is_none() && points.iter().all(|points| points.is_empty());
        let why_not = lacking(OWN).or(is_unknown.then_some(NO_COUNT));
        return Marginal::of_moments(&points, why_not, method(recording, MOMENTS));
    }
    Marginal::of(
        &points,
        recording.host.cpus,
        lacking(MARGINAL),
        method(recording, MARGINAL),
    )
}

/// The kernel's count of mapped pages is exact: no CPU keeps a batch of it.
fn reserved(windows: &[Window<'_>], recording: &Recording) -> Marginal {
    let points: Vec<&[MemoryPoint]> = windows
        .iter()
        .map(|window| window.run.reserved_points.as_slice())
        .collect();
    let why_not = windows[0].run.kind.ran_already().then_some(NOT_RESERVED);
    Marginal::of(&points, 0, why_not, method(recording, RESERVED))
}

fn incomplete(windows: &[Window<'_>]) -> Option<String> {
    let reasons: Vec<_> = windows
        .iter()
        .filter_map(|window| Some((window.run.repeat, window.run.incomplete.as_ref()?)))
        .map(|(repeat, reason)| match windows.len() {
            1 => reason.clone(),
            _ => format!("repeat {repeat}: {reason}"),
        })
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// The middle value; of an even number the lower of the middle two; 0 of none.
pub(super) fn lower_median(values: impl IntoIterator<Item = u64>) -> u64 {
    let mut sorted: Vec<_> = values.into_iter().collect();
    sorted.sort_unstable();
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}
