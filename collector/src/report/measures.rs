//! The measures of a target or of one of its roles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::blocked::Blocked;
use super::client::Client;
use super::counters::{HardwareCounters, SoftwareCounters};
use super::creations::Creations;
use super::depth::RunQueueDepth;
use super::distribution::Distribution;
use super::faults::{Coverage, Faults};
use super::histogram::Samples;
use super::marginal::Marginal;
use super::memory::{Accounted, Held, Memory};
use super::method::method;
use super::own::Own;
use super::switch_latency::{Looked, SwitchLatency};
use super::tlb::{AddressSpaceSwitches, TlbFlushes};
use super::user_space::UserSpaceSwitches;
use super::window::Group;
use crate::snapshot::{REASONS, Recording, Totals};

/// Everything that was measured of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// What the kernel said.
    #[serde(flatten)]
    pub kernel: KernelMeasures,
    /// What clients saw; none without a load generator.
    pub client: Option<Client>,
    /// What perf counters of the kernel say, where they were asked for.
    pub software_counters: Option<SoftwareCounters>,
    /// What those of the CPU say, likewise.
    pub hardware_counters: Option<HardwareCounters>,
    /// What its scheduler in user space did, where it has one.
    pub user_space_switches: Option<UserSpaceSwitches>,
}

/// What the kernel said of a group of tasks. A measure is none where it could not be had; the
/// report's `unavailable` says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelMeasures {
    /// How often tasks left a CPU, and why.
    pub context_switches: Option<ContextSwitches>,
    /// Runnable, waiting for a CPU.
    pub run_queue_wait: Option<Distribution>,
    /// On a CPU at a stretch.
    pub on_cpu_slice: Option<Distribution>,
    /// Tasks a CPU had to choose from.
    pub run_queue_depth: Option<RunQueueDepth>,
    /// Neither running nor runnable.
    pub blocked: Option<Blocked>,
    /// Switches to another address space.
    pub address_space_switches: Option<AddressSpaceSwitches>,
    /// Flushes of the TLB that no switch of tasks made.
    pub tlb_flushes: Option<TlbFlushes>,
    /// How long shootdowns of TLB entries held their senders up.
    pub shootdown_latency: Option<Distribution>,
    /// Tasks created.
    pub creations: Option<Creations>,
    /// The life of the tasks, conserved.
    pub time_in_state: Option<TimeInState>,
    /// From one task to the next.
    pub switch_latency: Option<SwitchLatency>,
    /// Time on a CPU.
    pub cpu: Option<Cpu>,
    /// Page faults.
    pub faults: Option<Faults>,
    /// Resident memory.
    pub memory: Memory,
}

/// Times that tasks left a CPU, as the kernel counts them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextSwitches {
    /// Because the task had to wait for something.
    pub voluntary: u64,
    /// Because another was put in its place.
    pub involuntary: u64,
    /// Both, for each answer that arrived in the window; none without a load generator.
    pub per_request: Option<f64>,
    /// Both, for each second of the window.
    pub per_second: f64,
    /// Times a task was put on a CPU.
    pub arrivals: u64,
    /// Of these, the ones that no tracepoint showed: their slices and waits are one sample with
    /// the ones before.
    pub unseen: u64,
    /// How they were counted.
    pub method: String,
}

/// Where the time of the tasks went, summed over tasks, in seconds. The three add up to the time
/// the tasks were watched within the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TimeInState {
    pub running_seconds: f64,
    pub runnable_seconds: f64,
    pub blocked_seconds: f64,
    /// `blocked_seconds` by what the tasks slept on; every reason is there.
    pub blocked_by_reason_seconds: BTreeMap<String, f64>,
    /// The time on locks for each right answer that arrived in the window, in seconds.
    pub blocked_on_locks_per_request_seconds: Option<f64>,
    pub method: String,
}

/// CPU time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// CPU time as the kernel charges it to the tasks, in seconds.
    pub seconds: f64,
    /// For each request answered, in seconds; none without a load generator.
    pub per_request_seconds: Option<f64>,
    /// `time_in_state.running_seconds` less `seconds`: what interrupts and the hypervisor took
    /// while the tasks were on a CPU. Read at slightly different instants: may be just below 0.
    pub stolen_seconds: f64,
    /// Stolen by the hypervisor from all CPUs of the host in the window, in seconds. None for a
    /// role, and where it is not known.
    pub host_stolen_seconds: Option<f64>,
    /// How it was measured.
    pub method: String,
}

/// What figures are relative to, and which can be had.
pub(super) struct Basis<'a> {
    /// Length of the window, or of the windows of all repeats together.
    pub(super) seconds: f64,
    /// Answers that arrived in it, where clients were ours in every repeat.
    pub(super) answered: Option<u64>,
    pub(super) connections: Option<u32>,
    pub(super) stolen_seconds: Option<f64>,
    /// What windows for switches saw of it.
    pub(super) looked: &'a Looked,
    /// How long faults were looked at one by one, of all repeats together.
    pub(super) fault_coverage: Option<Coverage>,
    pub(super) recording: &'a Recording,
}

/// The figures that follow from totals alone.
pub(super) struct OfTotals {
    pub(super) context_switches: Option<ContextSwitches>,
    pub(super) time_in_state: Option<TimeInState>,
    pub(super) cpu: Option<Cpu>,
}

impl Basis<'_> {
    /// The figure, unless one of these measures could not be had.
    pub(super) fn unless_unavailable<T>(
        &self,
        measures: &[&str],
        figure: impl FnOnce() -> T,
    ) -> Option<T> {
        let missing = |measure: &&str| {
            self.recording
                .unavailable
                .iter()
                .any(|u| u.measure == *measure)
        };
        (!measures.iter().any(missing)).then(figure)
    }

    /// The figures that follow from totals alone.
    pub(super) fn of_totals(&self, did: &Totals) -> OfTotals {
        OfTotals {
            context_switches: self
                .unless_unavailable(&["context_switches"], || ContextSwitches::of(did, self)),
            time_in_state: self
                .unless_unavailable(&["time_in_state"], || TimeInState::of(did, self)),
            cpu: self.unless_unavailable(&["cpu"], || Cpu::of(did, self)),
        }
    }
}

impl KernelMeasures {
    /// The figures of `group`, whose tasks held `held` at the end of each repeat.
    pub(super) fn of(
        group: &Group,
        held: &[Held],
        marginal: Option<Marginal>,
        basis: &Basis<'_>,
    ) -> Self {
        let how = |measure: &str| method(basis.recording, measure);
        let distribution = |name: &str, samples: &Samples| {
            basis.unless_unavailable(&[name], || Distribution::of(samples, how(name)))
        };
        let first_run = distribution("first_run", &group.first_run);
        let known = |measures: &[&str]| basis.unless_unavailable(measures, || ()).is_some();
        let OfTotals {
            context_switches,
            time_in_state,
            cpu,
        } = basis.of_totals(&group.totals);
        let accounted = Accounted::of(held, basis.connections, how("memory_accounted"));
        Self {
            context_switches,
            run_queue_wait: distribution("run_queue_wait", &group.run_queue_wait),
            on_cpu_slice: distribution("on_cpu_slice", &group.on_cpu_slice),
            run_queue_depth: known(&["run_queue_depth"])
                .then(|| RunQueueDepth::of(&group.run_queue_depth, how("run_queue_depth"))),
            blocked: known(&["blocked"]).then(|| Blocked::of(group, &how("blocked"))),
            address_space_switches: known(&["address_space_switches"])
                .then(|| AddressSpaceSwitches::of(&group.tlb, how("address_space_switches"))),
            tlb_flushes: known(&["tlb_flushes"])
                .then(|| TlbFlushes::of(&group.tlb, how("tlb_flushes"))),
            shootdown_latency: group.in_kernel.shootdown_latency(how("shootdown_latency")),
            creations: known(&["creations"])
                .then(|| Creations::of(&group.calls, first_run, how("creations")))
                .map(|c| c.with_latency(&group.called, &how("creation_latency")))
                .map(|c| {
                    let copies = group.in_kernel.page_table_copy(how("page_table_copy"));
                    let method = how("creation_latency_in_kernel");
                    c.in_kernel(&group.in_kernel.called, copies, &method)
                }),
            time_in_state,
            switch_latency: known(&["switch_latency"])
                .then(|| SwitchLatency::of(&group.switches, basis.looked, &how("switch_latency"))),
            cpu,
            faults: known(&["faults"]).then(|| Faults::of(&group.totals, &group.faults, basis)),
            memory: Memory {
                accounted: known(&["memory", "memory_accounted"]).then_some(accounted),
                own_bytes: None,
                marginal_bytes_per_connection: marginal,
                reserved_bytes_per_connection: None,
            },
        }
    }

    /// The same with what processes held of their own.
    pub(super) fn with_own(mut self, own: Option<Own>) -> Self {
        self.memory.own_bytes = own;
        self
    }

    /// The same with what one more connection reserves.
    pub(super) fn with_reserved(mut self, reserved: Marginal) -> Self {
        self.memory.reserved_bytes_per_connection = Some(reserved);
        self
    }
}

impl ContextSwitches {
    pub(super) fn of(totals: &Totals, basis: &Basis<'_>) -> Self {
        let all = switches(totals) as f64;
        Self {
            voluntary: totals.voluntary,
            involuntary: totals.involuntary,
            per_request: per_request(all, basis.answered),
            per_second: all / basis.seconds,
            arrivals: totals.arrivals,
            unseen: totals.unseen,
            method: method(basis.recording, "context_switches"),
        }
    }
}

impl TimeInState {
    pub(super) fn of(totals: &Totals, basis: &Basis<'_>) -> Self {
        let blocked_by_reason_seconds: BTreeMap<String, _> = REASONS
            .map(str::to_owned)
            .into_iter()
            .zip(totals.blocked_ns.map(seconds))
            .collect();
        let on_locks = blocked_by_reason_seconds.get("lock");
        Self {
            running_seconds: totals.running_ns as f64 / 1e9,
            runnable_seconds: totals.runnable_ns as f64 / 1e9,
            blocked_seconds: seconds(totals.blocked_ns.iter().sum()),
            blocked_on_locks_per_request_seconds: on_locks
                .and_then(|&seconds| per_request(seconds, basis.answered)),
            blocked_by_reason_seconds,
            method: method(basis.recording, "time_in_state"),
        }
    }

    /// Time waiting for a CPU, by that and the time on one; none where no task wanted one.
    #[must_use]
    pub fn waiting_share(&self) -> Option<f64> {
        let wanted = self.running_seconds + self.runnable_seconds;
        (wanted > 0.0).then(|| self.runnable_seconds / wanted)
    }
}

impl Cpu {
    fn of(totals: &Totals, basis: &Basis<'_>) -> Self {
        let (seconds, running) = (totals.cpu_ns as f64 / 1e9, totals.running_ns as f64 / 1e9);
        Self {
            seconds,
            stolen_seconds: running - seconds,
            per_request_seconds: per_request(seconds, basis.answered),
            host_stolen_seconds: basis.stolen_seconds,
            method: method(basis.recording, "cpu"),
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Context switches of both kinds.
pub(super) fn switches(totals: &Totals) -> u64 {
    totals.voluntary + totals.involuntary
}

/// A figure of the window for each answer that arrived in it; none without answers.
pub(super) fn per_request(figure: f64, answered: Option<u64>) -> Option<f64> {
    answered
        .filter(|&answered| answered > 0)
        .map(|answered| figure / answered as f64)
}
