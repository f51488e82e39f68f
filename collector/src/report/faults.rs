//! Page faults: how many the kernel counted, and what windows showed of their classes and times.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::error::{Problem, growth};
use super::histogram::Samples;
use super::measures::{Basis, per_request};
use super::method::method;
use super::share::{self, Sampled};
use crate::snapshot::faults::{FaultClass, Faults as FaultsSeen};
use crate::snapshot::{Run, Totals};

/// The probe whose windows these are.
const PROBE: &str = "faults";
/// What its classes are called in the recording.
pub(super) const CLASSES: &str = "fault_classes";

/// Page faults of a group of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// Handled without reading from a disk.
    pub minor: u64,
    /// Handled by reading from a disk, or by waiting for what another reads.
    pub major: u64,
    /// Both, for each answer that arrived in the window; none without a load generator.
    pub per_request: Option<f64>,
    /// Both, for each second of the window.
    pub per_second: f64,
    /// How they were counted.
    pub method: String,
    /// What windows showed, by class; none where faults were not looked at.
    pub by_class: Option<BTreeMap<String, Class>>,
    /// Why it is none, though faults were looked at.
    pub reason: Option<String>,
    /// How long windows were open, in seconds.
    pub window_seconds: Option<f64>,
    /// How many windows were opened.
    pub windows: Option<u64>,
    /// Huge pages that faults in windows had to split first.
    pub huge_page_splits: Option<u64>,
    /// Exceptions in windows that were not seen to be handled to the end.
    pub unfinished: Option<u64>,
    /// Ends in windows of what was not seen to begin.
    pub not_begun: Option<u64>,
}

/// The faults of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Seen in windows, from user mode.
    pub user: u64,
    /// Seen in windows, of an access from kernel mode, as in `read(2)`.
    pub kernel: u64,
    /// How many there were, windows or not; none where no window showed any fault.
    pub estimated_total: Option<f64>,
    /// Lower and upper bound of its 95 % interval.
    pub confidence_95: [f64; 2],
    /// From the exception to the end of handling, of those seen.
    pub latency: Distribution,
}

/// How much of a run's window fault windows covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coverage {
    pub(super) open_ns: u64,
    pub(super) windows: u64,
    /// One window was open all the time.
    pub(super) whole: bool,
}

/// What windows showed of a group between two snapshots.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    classes: BTreeMap<String, SeenClass>,
    /// Of each role what is the same for all classes; one that no window showed may have none.
    roles: BTreeMap<String, Sampled>,
    huge_page_splits: u64,
    unfinished: u64,
    not_begun: u64,
}

#[derive(Clone, Debug, Default)]
struct SeenClass {
    user: u64,
    kernel: u64,
    latency: Samples,
    /// Of each role what is known of this class alone.
    roles: BTreeMap<String, Sampled>,
}

impl Coverage {
    /// None where the probe did not run.
    pub(super) fn of(run: &Run) -> Option<Self> {
        let of = |windows: &[crate::snapshot::Window]| {
            windows.iter().find(|window| window.probe == PROBE).cloned()
        };
        let end = of(&run.end.windows)?;
        let start = of(&run.start.windows).unwrap_or_default();
        let open_ns = end.open_ns.saturating_sub(start.open_ns);
        // The window without end is open before its clock starts.
        let elapsed_ns = run.end.at_ns.saturating_sub(run.start.at_ns);
        Some(Self {
            open_ns,
            // One that had opened before is among them if it was still open.
            windows: end
                .windows
                .saturating_sub(start.windows)
                .max(u64::from(open_ns > 0)),
            whole: end.windows <= 1 && open_ns as f64 >= 0.99 * elapsed_ns as f64,
        })
    }
}

impl Sum for Coverage {
    fn sum<I: Iterator<Item = Self>>(repeats: I) -> Self {
        repeats.fold(Self::default(), |sum, repeat| Self {
            open_ns: sum.open_ns + repeat.open_ns,
            windows: sum.windows + repeat.windows,
            whole: sum.whole && repeat.whole,
        })
    }
}

impl Seen {
    /// `did` is what the tasks of the role did in the same time.
    pub(super) fn between(
        start: &FaultsSeen,
        end: &FaultsSeen,
        did: &Totals,
        whole: bool,
        role: &str,
    ) -> Result<Self, Problem> {
        let grown = |what: &str, start: u64, end: u64| {
            growth(start, end, || format!("{what} of role {role}"))
        };
        let not_begun = grown("faults not begun", start.not_begun, end.not_begun)?;
        let of_all = Sampled {
            windows: grown("fault windows", start.windows, end.windows)?,
            sum: grown("faults in windows", start.in_windows, end.in_windows)?,
            squares: grown(
                "squared faults in windows",
                start.in_windows_squared,
                end.in_windows_squared,
            )?,
            counted: did.minor_faults + did.major_faults,
            whole,
            ..Sampled::default()
        };
        let unseen = FaultClass::default();
        let mut classes = BTreeMap::new();
        for class in &end.classes {
            let before = start
                .classes
                .iter()
                .find(|before| before.name == class.name);
            let (name, seen) = (
                &class.name,
                SeenClass::between(before.unwrap_or(&unseen), class, role)?,
            );
            classes.insert(name.clone(), (seen, before.unwrap_or(&unseen), class));
        }
        let in_classes: u64 = classes.values().map(|(seen, _, _)| seen.count()).sum();
        let mut this = Self {
            huge_page_splits: grown(
                "huge pages split",
                start.huge_page_splits,
                end.huge_page_splits,
            )?,
            unfinished: grown("faults begun", start.begun, end.begun)?.saturating_sub(in_classes),
            not_begun,
            ..Self::default()
        };
        let seen_of_all = in_classes + not_begun;
        let of_all = Sampled {
            seen_of_all,
            ..of_all
        };
        this.roles.insert(role.to_owned(), of_all);
        for (name, (mut seen, before, class)) in classes {
            let moments = Sampled {
                seen: seen.count(),
                class_sum: grown("faults of a class", before.in_windows, class.in_windows)?,
                class_squares: grown(
                    "squared faults of a class",
                    before.in_windows_squared,
                    class.in_windows_squared,
                )?,
                products: grown(
                    "products of faults",
                    before.in_windows_products,
                    class.in_windows_products,
                )?,
                ..Sampled::default()
            };
            seen.roles.insert(role.to_owned(), moments);
            this.classes.insert(name, seen);
        }
        Ok(this)
    }

    /// Takes in what another role or repeat showed.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Problem> {
        for (name, class) in &other.classes {
            match self.classes.get_mut(name) {
                None => drop(self.classes.insert(name.clone(), class.clone())),
                Some(sum) => {
                    sum.user += class.user;
                    sum.kernel += class.kernel;
                    sum.latency.add(&class.latency, CLASSES)?;
                    share::add(&mut sum.roles, &class.roles);
                }
            }
        }
        share::add(&mut self.roles, &other.roles);
        self.huge_page_splits += other.huge_page_splits;
        self.unfinished += other.unfinished;
        self.not_begun += other.not_begun;
        Ok(())
    }
}

impl SeenClass {
    fn between(start: &FaultClass, end: &FaultClass, role: &str) -> Result<Self, Problem> {
        let name = format!("{} faults of role {role}", end.name);
        // A fault that turns out to be a major one is taken out of its class again.
        Ok(Self {
            user: end.user.saturating_sub(start.user),
            kernel: end.kernel.saturating_sub(start.kernel),
            latency: Samples::between(&start.latency, &end.latency, &name)?,
            roles: BTreeMap::new(),
        })
    }

    fn count(&self) -> u64 {
        self.user + self.kernel
    }
}

impl Faults {
    pub(super) fn of(did: &Totals, seen: &Seen, basis: &Basis<'_>) -> Self {
        let all = (did.minor_faults + did.major_faults) as f64;
        let looked = basis
            .unless_unavailable(&[CLASSES], || basis.fault_coverage)
            .flatten();
        let missed = looked.is_some_and(|coverage| coverage.open_ns == 0);
        let looked = looked.filter(|_| !missed);
        let how = || method(basis.recording, CLASSES);
        let class = |(name, class): (&String, &SeenClass)| {
            let total = share::estimate(&seen.roles, &class.roles);
            let class = Class {
                user: class.user,
                kernel: class.kernel,
                estimated_total: total.value,
                confidence_95: [total.lower, total.upper],
                latency: Distribution::of(&class.latency, how()),
            };
            (name.clone(), class)
        };
        Self {
            minor: did.minor_faults,
            major: did.major_faults,
            per_request: per_request(all, basis.answered),
            per_second: all / basis.seconds,
            method: method(basis.recording, "faults"),
            by_class: looked.map(|_| seen.classes.iter().map(class).collect()),
            reason: missed.then(|| "no window fell into the measured time".to_owned()),
            window_seconds: looked.map(|coverage| coverage.open_ns as f64 / 1e9),
            windows: looked.map(|coverage| coverage.windows),
            huge_page_splits: looked.map(|_| seen.huge_page_splits),
            unfinished: looked.map(|_| seen.unfinished),
            not_begun: looked.map(|_| seen.not_begun),
        }
    }
}
