//! The one list of figures that are compared.

use super::units::Measured;
use crate::report::distribution::Distribution;
use crate::report::measures::{ContextSwitches, KernelMeasures, TimeInState};
use crate::report::switch_latency::Kind;
use serde::Serialize;

/// A figure of a target, measured anew in each unit.
#[derive(Debug)]
pub struct Figure {
    /// Its name, that of the report's field as far as there is one.
    pub name: &'static str,
    /// What it is in.
    pub unit: Unit,
    /// Which way is the better one.
    pub better: Better,
    /// The width of the buckets that it is read from, as a share of it; 0 of what is exact.
    pub relative_width: f64,
    /// Of one unit; none where it was not measured.
    pub(super) value: fn(&Measured) -> Option<f64>,
}

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Of something, a second.
    PerSecond,
    /// A share of 1.
    Share,
    /// A number of something.
    Count,
}

/// Which way is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less.
    Lower,
    /// More.
    Higher,
    /// It depends.
    Neither,
}

use Better::{Higher, Lower, Neither};
use Unit::{Bytes, Count, PerSecond, Seconds, Share};

/// Two of eight buckets to a power of two, of which a percentile is the middle of one: at the widest, an eighth.
const BUCKET: f64 = 1.0 / 8.0;
/// What the load generator's histogram resolves: three digits.
const THREE_DIGITS: f64 = 0.001;

const fn exact(
    name: &'static str,
    unit: Unit,
    better: Better,
    value: fn(&Measured) -> Option<f64>,
) -> Figure {
    Figure {
        name,
        unit,
        better,
        relative_width: 0.0,
        value,
    }
}

/// A time of which less is better.
const fn percentile(
    name: &'static str,
    relative_width: f64,
    value: fn(&Measured) -> Option<f64>,
) -> Figure {
    Figure {
        name,
        unit: Seconds,
        better: Lower,
        relative_width,
        value,
    }
}

/// All figures, in the order they are shown.
pub static FIGURES: &[Figure] = &[
    exact("throughput_per_second", PerSecond, Higher, |m| {
        Some(m.client()?.throughput_per_second)
    }),
    percentile("latency_p50_seconds", THREE_DIGITS, |m| {
        m.client()?.latency.as_ref()?.p50_seconds
    }),
    percentile("latency_p99_seconds", THREE_DIGITS, |m| {
        m.client()?.latency.as_ref()?.p99_seconds
    }),
    exact("errors", Count, Lower, |m| Some(m.client()?.errors as f64)),
    exact("unanswered", Count, Lower, |m| {
        Some(m.client()?.unanswered as f64)
    }),
    exact("context_switches_per_request", Count, Lower, |m| {
        switches(m)?.per_request
    }),
    exact("context_switches_per_second", PerSecond, Neither, |m| {
        unless_load(m, Some(switches(m)?.per_second))
    }),
    exact("involuntary_switches_per_second", PerSecond, Lower, |m| {
        m.per_second(switches(m)?.involuntary as f64)
    }),
    percentile("run_queue_wait_p50_seconds", BUCKET, |m| {
        kernel(m).run_queue_wait.as_ref()?.p50_seconds
    }),
    percentile("run_queue_wait_p99_seconds", BUCKET, |m| {
        kernel(m).run_queue_wait.as_ref()?.p99_seconds
    }),
    exact("run_queue_wait_share", Share, Lower, |m| {
        time(m)?.waiting_share()
    }),
    percentile("on_cpu_slice_p50_seconds", BUCKET, |m| {
        kernel(m).on_cpu_slice.as_ref()?.p50_seconds
    }),
    exact("cpu_per_request_seconds", Seconds, Lower, |m| {
        kernel(m).cpu.as_ref()?.per_request_seconds
    }),
    exact("tasks_running_mean", Count, Neither, |m| {
        unless_load(m, m.per_second(time(m)?.running_seconds))
    }),
    exact("tasks_waiting_mean", Count, Lower, |m| {
        m.per_second(time(m)?.runnable_seconds)
    }),
    exact("blocked_on_locks_mean", Count, Lower, |m| {
        m.per_second(*time(m)?.blocked_by_reason_seconds.get("lock")?)
    }),
    exact("blocked_on_disk_mean", Count, Lower, |m| {
        m.per_second(*time(m)?.blocked_by_reason_seconds.get("disk")?)
    }),
    percentile("switch_latency_same_space_p50_seconds", BUCKET, |m| {
        let latency = kernel(m).switch_latency.as_ref()?;
        median(&latency.same_address_space)
    }),
    percentile("switch_latency_other_space_p50_seconds", BUCKET, |m| {
        let latency = kernel(m).switch_latency.as_ref()?;
        median(&latency.different_address_space)
    }),
    exact("tlb_flushed_switches_per_second", PerSecond, Lower, |m| {
        m.per_second(kernel(m).address_space_switches.as_ref()?.tlb_flushed as f64)
    }),
    exact("shootdowns_sent_per_second", PerSecond, Lower, |m| {
        let flushes = kernel(m).tlb_flushes.as_ref()?;
        m.per_second(flushes.by_reason.get("shootdown_sent")?.count as f64)
    }),
    exact("minor_faults_per_second", PerSecond, Lower, |m| {
        m.per_second(kernel(m).faults.as_ref()?.minor as f64)
    }),
    exact("major_faults_per_second", PerSecond, Lower, |m| {
        m.per_second(kernel(m).faults.as_ref()?.major as f64)
    }),
    exact("processes_created", Count, Neither, |m| {
        Some(kernel(m).creations.as_ref()?.process.count as f64)
    }),
    exact("threads_created", Count, Neither, |m| {
        Some(kernel(m).creations.as_ref()?.thread.count as f64)
    }),
    percentile("first_run_p50_seconds", BUCKET, |m| {
        p50(kernel(m).creations.as_ref()?.first_run.as_ref()?)
    }),
    exact("tasks", Count, Neither, |m| Some(m.target.tasks as f64)),
    exact("marginal_bytes_per_connection", Bytes, Lower, |m| {
        let memory = &kernel(m).memory;
        memory.marginal_bytes_per_connection.as_ref()?.value
    }),
    exact("reserved_bytes_per_connection", Bytes, Lower, |m| {
        let memory = &kernel(m).memory;
        memory.reserved_bytes_per_connection.as_ref()?.value
    }),
    exact("own_bytes_mean", Bytes, Lower, |m| {
        kernel(m).memory.own_bytes.as_ref()?.mean
    }),
    exact("anonymous_bytes", Bytes, Lower, |m| {
        Some(kernel(m).memory.accounted.as_ref()?.anonymous_bytes? as f64)
    }),
    exact("page_table_bytes", Bytes, Lower, |m| {
        Some(kernel(m).memory.accounted.as_ref()?.page_table_bytes? as f64)
    }),
    exact("kernel_stack_bytes", Bytes, Lower, |m| {
        Some(kernel(m).memory.accounted.as_ref()?.kernel_stack_bytes as f64)
    }),
];

fn kernel(measured: &Measured) -> &KernelMeasures {
    &measured.target.measures.kernel
}

fn switches(measured: &Measured) -> Option<&ContextSwitches> {
    kernel(measured).context_switches.as_ref()
}

fn time(measured: &Measured) -> Option<&TimeInState> {
    kernel(measured).time_in_state.as_ref()
}

fn p50(distribution: &Distribution) -> Option<f64> {
    distribution.p50_seconds
}

fn median(kind: &Kind) -> Option<f64> {
    Some(kind.all.corrected?.p50_seconds)
}

/// What follows from the load is compared for each request, where the load is known.
fn unless_load(measured: &Measured, value: Option<f64>) -> Option<f64> {
    value.filter(|_| measured.client().is_none())
}
