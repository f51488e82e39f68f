//! From what the probes give to the plain data of snapshots.

use crate::snapshot::faults::{FaultClass, Faults};
use crate::snapshot::{
    Calls, Creation, Flushes, Histogram, Loss, Memory, Role, State, SwitchKind, SwitchLatency,
    SwitchSamples, Task, Tlb, Totals, Window,
};
use probe_ebpf::{
    fault_sample::{self, CLASS_NAMES, FaultSample},
    sample::{self, GroupSample},
};

pub(super) fn role(name: &str, group: GroupSample) -> Role {
    Role {
        name: name.into(),
        ended_tasks: group.ended_tasks,
        ended: totals(&group.ended),
        joined: totals(&group.joined),
        tasks: group.tasks.into_iter().map(task).collect(),
        run_queue_wait: histogram(group.run_queue_wait),
        on_cpu_slice: histogram(group.on_cpu_slice),
        blocked: group.blocked.into_iter().map(histogram).collect(),
        first_run: histogram(group.first_run),
        run_queue_depth: group.run_queue_depth,
        tlb: tlb(group.tlb),
        creations: group.creations.iter().map(creation).collect(),
        switch_latency: switch_latency(group.switch_latency),
        faults: faults(group.faults),
        calls: group
            .calls
            .map(|kinds| kinds.into_iter().map(calls).collect()),
        kernel_calls: group
            .kernel_calls
            .map(|kinds| kinds.into_iter().map(calls).collect()),
        page_table_copy: group.page_table_copy.map(histogram),
        shootdown_latency: group.shootdown_latency.map(histogram),
    }
}

fn task(task: sample::TaskSample) -> Task {
    Task {
        pid: task.pid,
        tid: task.tid,
        started_ns: task.started_ns,
        comm: task.comm,
        state: match task.state {
            sample::State::Running => State::Running,
            sample::State::Runnable => State::Runnable,
            sample::State::Blocked => State::Blocked,
        },
        totals: totals(&task.totals),
        memory: task.memory.map(|memory| Memory {
            anonymous_bytes: memory.anonymous_bytes,
            file_bytes: memory.file_bytes,
            shared_bytes: memory.shared_bytes,
            page_table_bytes: memory.page_table_bytes,
            reserved_bytes: memory.reserved_bytes,
        }),
        kernel_stack_bytes: task.kernel_stack_bytes,
    }
}

fn totals(totals: &sample::Totals) -> Totals {
    Totals {
        voluntary: totals.voluntary,
        involuntary: totals.involuntary,
        cpu_ns: totals.cpu,
        running_ns: totals.running,
        runnable_ns: totals.runnable,
        blocked_ns: totals.blocked,
        arrivals: totals.arrivals,
        unseen: totals.unseen,
        minor_faults: totals.minor_faults,
        major_faults: totals.major_faults,
    }
}

fn histogram(histogram: sample::Histogram) -> Histogram {
    Histogram {
        sub_bits: sample::Histogram::SUB_BITS,
        sum_ns: histogram.sum,
        max_ns: histogram.max,
        counts: histogram.counts,
    }
}

fn tlb(tlb: sample::Tlb) -> Tlb {
    Tlb {
        kept: tlb.kept,
        flushed: tlb.flushed,
        flushes: tlb.flushes.map(|flushes| Flushes {
            count: flushes.count,
            pages: flushes.pages,
            whole: flushes.whole,
        }),
        kept_time: histogram(tlb.kept_time),
        flushed_time: histogram(tlb.flushed_time),
    }
}

fn switch_latency(latency: sample::SwitchLatency) -> SwitchLatency {
    let samples = |samples: sample::SwitchSamples| SwitchSamples {
        kind: match samples.kind {
            sample::SwitchKind::SameSpace => SwitchKind::SameAddressSpace,
            sample::SwitchKind::DifferentSpace => SwitchKind::DifferentAddressSpace,
            sample::SwitchKind::Idle => SwitchKind::Idle,
            sample::SwitchKind::KernelThread => SwitchKind::KernelThread,
        },
        preempted: samples.preempted,
        recording_events: samples.recording_events,
        histogram: Histogram {
            sub_bits: sample::SwitchSamples::SUB_BITS,
            ..histogram(samples.histogram)
        },
    };
    SwitchLatency {
        left: latency.left,
        came: latency.came,
        samples: latency.samples.into_iter().map(samples).collect(),
    }
}

fn faults(faults: FaultSample) -> Faults {
    let class = |(name, class): (&str, fault_sample::FaultClass)| FaultClass {
        name: name.into(),
        user: class.user,
        kernel: class.kernel,
        latency: histogram(class.latency),
        in_windows: class.windows.sum,
        in_windows_squared: class.windows.squares,
        in_windows_products: class.windows.products,
    };
    Faults {
        classes: CLASS_NAMES
            .into_iter()
            .zip(faults.classes)
            .map(class)
            .collect(),
        huge_page_splits: faults.huge_splits,
        begun: faults.begun,
        not_begun: faults.not_begun,
        windows: faults.windows,
        in_windows: faults.in_windows,
        in_windows_squared: faults.in_windows_squared,
    }
}

fn creation(creation: &sample::Creation) -> Creation {
    Creation {
        clone_flags: creation.clone_flags,
        io_worker: creation.io_worker,
        count: creation.count,
    }
}

fn calls(calls: sample::Calls) -> Calls {
    Calls {
        kind: calls.kind.name().into(),
        latency: histogram(calls.latency),
        failed: calls.failed,
        resident_pages: calls.resident_pages,
        page_table_bytes: calls.page_table_bytes,
        pages_squared: calls.pages_squared as f64,
        pages_times_ns: calls.pages_times_ns as f64,
        probe_within_ns: calls.instrument.within_ns,
        probe_whole_ns: calls.instrument.whole_ns,
    }
}

pub(super) fn loss(loss: &sample::Loss) -> Loss {
    Loss {
        probe: loss.probe.into(),
        what: loss.what.into(),
        count: loss.count,
    }
}

pub(super) fn window(window: &sample::WindowTime) -> Window {
    Window {
        probe: window.probe.into(),
        open_ns: window.open_ns,
        windows: window.windows,
    }
}
