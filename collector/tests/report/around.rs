//! What stands around the snapshots of a sample: the machine, its clients, its random numbers.

use connscope::snapshot::{
    Calls, Client, ClientErrors, ClientLatency, Histogram, Host, Method, OwnMemory, OwnProcess,
    OwnRole, SendLateness,
};

use super::sample::{FORK, Model, REQUESTS, SUB_BITS};

/// Records samples as `probe-ebpf/bpf/histogram.h` does: the bucket from the position of the
/// highest bit and the `SUB_BITS` bits after it.
pub(crate) fn record(histogram: &mut Histogram, samples: impl IntoIterator<Item = u64>) {
    histogram.sub_bits = SUB_BITS;
    for value in samples {
        let bucket = if value < 1 << SUB_BITS {
            value as usize
        } else {
            let bit = value.ilog2();
            (((bit - SUB_BITS) << SUB_BITS) as u64 + (value >> (bit - SUB_BITS))) as usize
        };
        if histogram.counts.len() <= bucket {
            histogram.counts.resize(bucket + 1, 0);
        }
        histogram.counts[bucket] += 1;
        histogram.sum_ns += value;
        histogram.max_ns = histogram.max_ns.max(value);
    }
}

/// A histogram of these samples alone.
pub(crate) fn histogram(samples: impl IntoIterator<Item = u64>) -> Histogram {
    let mut histogram = Histogram::default();
    record(&mut histogram, samples);
    histogram
}

/// Numbers that look random and are the same each time (Knuth's MMIX generator).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed with this mean, as waits often are.
    pub(crate) fn exponential(&mut self, mean: f64) -> u64 {
        (-mean * (1.0 - self.unit()).ln()) as u64
    }
}

/// What the acceptor called to make so many tasks: each fork of a larger address space than the one
/// before, and as much slower as that has pages.
pub(crate) fn calls(model: &Model, tasks: u32) -> Vec<Calls> {
    let kinds = ["fork", "spawn", "thread", "clone"].map(|kind| {
        let is_fork = model.creates == Some(FORK);
        let made = match kind {
            "fork" if is_fork => tasks,
            "thread" if !is_fork && model.creates.is_some() => tasks,
            _ => 0,
        };
        let mut calls = Calls {
            kind: kind.to_owned(),
            probe_within_ns: 1_400,
            probe_whole_ns: 3_100,
            ..Calls::default()
        };
        for call in 0..u64::from(made) {
            let pages = if is_fork { 1_000 + 10 * call } else { 0 };
            let time = if is_fork { 90_000 + 30 * pages } else { 22_000 };
            record(&mut calls.latency, [time]);
            calls.resident_pages += pages;
            calls.page_table_bytes += if is_fork { 86_016 } else { 0 };
            calls.pages_squared += (pages * pages) as f64;
            calls.pages_times_ns += (pages * time) as f64;
        }
        calls
    });
    kinds.to_vec()
}

/// What was sampled of the processes of this model: all but one, of which every other holds a page
/// more.
pub(crate) fn own(model: &Model, tasks: u32) -> OwnMemory {
    let processes = if model.creates == Some(FORK) {
        tasks
    } else {
        0
    };
    let process = |index: u32| OwnProcess {
        pid: 101 + index,
        anonymous_bytes: 120_000 + u64::from(index % 2) * 4_096,
        page_table_bytes: 86_016,
        kernel_stack_bytes: 16_384,
        socket_bytes: 2_304,
        unread_files: 0,
    };
    let role = |name: &str| OwnRole {
        name: name.to_owned(),
        ..OwnRole::default()
    };
    let main = OwnRole {
        processes: 1,
        sampled: Vec::new(),
        threaded: 1,
        ..role(model.roles[0])
    };
    let others = OwnRole {
        processes: processes.into(),
        sampled: (1..processes).map(process).collect(),
        out_of_budget: processes.min(1).into(),
        ..role(model.roles[1])
    };
    OwnMemory {
        roles: vec![main, others],
        seconds: 0.000_3 * f64::from(processes),
        without_sockets: None,
    }
}

/// What clients of this model saw.
pub(crate) fn client(model: &Model, connections: u32, wobble: f64) -> Client {
    let latency = model.latency_seconds * wobble * (1.0 + f64::from(connections) / 900.0);
    // Some of the answers to what was due in the window arrive after it.
    let answered = (REQUESTS as f64 * 0.995 * wobble.min(1.0)) as u64;
    Client {
        workload: "get-set".to_owned(),
        mode: "open-loop".to_owned(),
        connections,
        complete: true,
        reason: None,
        duration_seconds: 5.0,
        offered_per_second: 20_000.0,
        requests: REQUESTS,
        answered_in_window: answered,
        throughput_per_second: answered as f64 / 5.0,
        latency: Some(ClientLatency {
            count: REQUESTS,
            is_bound: false,
            sum_seconds: latency * 1.3 * REQUESTS as f64,
            min_seconds: latency * 0.4,
            p50_seconds: latency,
            p90_seconds: latency * 2.1,
            p99_seconds: latency * 7.7,
            p99_9_seconds: latency * 20.0,
            max_seconds: latency * 61.0,
            relative_error: 0.001,
        }),
        set_up_latency: None,
        oversold_seats: None,
        booking_retries: None,
        stall: None,
        crash: None,
        late_sends: 0,
        late_send_max_seconds: 0.000_4,
        send_lateness: Some(SendLateness {
            p50_seconds: 3e-6 * wobble,
            p99_seconds: 61e-6 * wobble,
            max_seconds: 0.000_4,
        }),
        generator_was_bottleneck: false,
        latency_in_doubt: false,
        errors: ClientErrors::default(),
        unanswered: 0,
        cpu_seconds: 2.6,
    }
}

/// The machine the samples are of.
pub(crate) fn host() -> Host {
    Host {
        kernel: "6.18.5".to_owned(),
        architecture: "x86_64".to_owned(),
        cpu_model: "Intel(R) Xeon(R) Processor @ 2.60GHz".to_owned(),
        cpus: 2,
        virtualization: Some("kvm".to_owned()),
        memory_bytes: 8_312_446_976,
        memory_cgroup: Some("v2".to_owned()),
        started_unix_seconds: 1_700_000_000,
        connscope_version: "0.1.0".to_owned(),
    }
}

/// How the probes say they measure.
pub(crate) fn methods() -> Vec<Method> {
    let measures = [
        (
            "context_switches",
            "task_struct.nvcsw and nivcsw by iter/task; of ended tasks, at their last sched_switch",
        ),
        (
            "run_queue_wait",
            "growth of sched_info.run_delay from switch-out to switch-out, tp_btf/sched_switch",
        ),
        (
            "on_cpu_slice",
            "run-queue clock at switch-out less sched_info.last_arrival, tp_btf/sched_switch",
        ),
        (
            "run_queue_depth",
            "rq.cfs.h_nr_runnable where the kernel has it, else rq.nr_running, at switch-out, tp_btf/sched_switch",
        ),
        (
            "blocked",
            "sched_info.last_arrival less last switch-out less run-queue wait, tp_btf/sched_switch",
        ),
        ("creations", "calls by clone flags, tp_btf/task_newtask"),
        (
            "first_run",
            "from tp_btf/task_newtask to the arrival that the task's first switch-out reports",
        ),
        (
            "creation_latency",
            "uprobes by inode on fork, vfork, posix_spawn, pthread_create and clone of the mapped C library",
        ),
        (
            "time_in_state",
            "sums of slice, wait and blocked time per task, with the state in progress by iter/task",
        ),
        (
            "switch_latency",
            "perf's context-switch records, 1, 2 and 3 events in turn, in windows",
        ),
        ("cpu", "sched_entity.sum_exec_runtime by iter/task"),
        ("faults", "task_struct.min_flt and maj_flt by iter/task"),
        (
            "fault_classes",
            "in windows, from tp_btf/page_fault_user to tp_btf/count_memcg_events",
        ),
        (
            "memory_accounted",
            "mm_struct.rss_stat summed over CPUs and pgtables_bytes, by iter/task",
        ),
        (
            "own_bytes",
            "Pss_Anon of /proc/PID/smaps_rollup, pgtables_bytes, kernel stack and the buffers of sockets",
        ),
        (
            "marginal_bytes_per_connection",
            "memory.current of the target's own cgroup (v2)",
        ),
        (
            "reserved_bytes_per_connection",
            "mm_struct.data_vm and stack_vm by iter/task",
        ),
    ];
    let method = |(measure, method): (&str, &str)| Method {
        measure: measure.to_owned(),
        method: method.to_owned(),
    };
    measures.map(method).to_vec()
}
