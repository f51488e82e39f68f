//! Recordings made by hand: snapshots as the probes would give them.

use connscope::snapshot::{
    Creation, Histogram, Loss, Map, Memory, MemoryPoint, Program, REASONS, Recording, Restart,
    Role, Run, Snapshot, State, Statistics, TargetKind, Task, Totals, Unavailable, Window,
};

pub(crate) use super::around::methods;
use super::around::{Numbers, calls, client, host, own, record};
use super::faults::faults;
use super::switch_latency::look;

/// Buckets to each power of two, as the kernel half has them.
pub(crate) const SUB_BITS: u32 = 3;

/// A flag set as glibc's `fork` and `pthread_create` use it, on a kernel that keeps the signal
/// apart.
pub(crate) const FORK: u64 = 0x0120_0000;
pub(crate) const PTHREAD: u64 = 0x003d_0f00;

/// What one model does, from which a realistic run follows.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) roles: [&'static str; 2],
    /// Flags of the call that makes a task for each connection; none if there are no such tasks.
    pub(crate) creates: Option<u64>,
    pub(crate) switches_per_request: f64,
    pub(crate) wait_ns: f64,
    pub(crate) slice_ns: f64,
    pub(crate) latency_seconds: f64,
    pub(crate) bytes_per_connection: u64,
    pub(crate) base_bytes: u64,
    pub(crate) reserves: u64,
}

pub(crate) const MODELS: [Model; 3] = [
    Model {
        name: "process-per-connection",
        roles: ["acceptor", "connection"],
        creates: Some(FORK),
        switches_per_request: 1.02,
        wait_ns: 38_000.0,
        slice_ns: 21_000.0,
        latency_seconds: 142e-6,
        bytes_per_connection: 168_400,
        base_bytes: 2_900_000,
        reserves: 3_200_000,
    },
    Model {
        name: "thread-per-connection",
        roles: ["acceptor", "connection"],
        creates: Some(PTHREAD),
        switches_per_request: 1.01,
        wait_ns: 31_000.0,
        slice_ns: 18_500.0,
        latency_seconds: 117e-6,
        bytes_per_connection: 27_300,
        base_bytes: 2_100_000,
        reserves: 2_101_248,
    },
    Model {
        name: "event-loop",
        roles: ["loop", "other"],
        creates: None,
        switches_per_request: 0.31,
        wait_ns: 9_000.0,
        slice_ns: 47_000.0,
        latency_seconds: 88e-6,
        bytes_per_connection: 1_460,
        base_bytes: 1_900_000,
        reserves: 0,
    },
];

const WINDOW_NS: u64 = 5_000_000_000;
/// Due in the window, and answered.
pub(crate) const REQUESTS: u64 = 100_000;

/// A run of a model, of which everything agrees with everything else.
pub(crate) fn run(model: &Model, connections: u32, repeat: u32) -> Run {
    let mut numbers = Numbers(u64::from(connections) * 31 + u64::from(repeat));
    let wobble = 0.97 + 0.06 * numbers.unit();
    let tasks = if model.creates.is_some() {
        connections
    } else {
        0
    };
    let before = snapshot(model, 1_000_000_000, 0);
    let mut start = snapshot(model, 3_000_000_000, tasks);
    let mut end = snapshot(model, 3_000_000_000 + WINDOW_NS, tasks);
    grow(&mut end, &start, model, wobble, &mut numbers);
    let first_run = (0..tasks).map(|_| 20_000 + numbers.exponential(60_000.0));
    record(&mut start.roles[1].first_run, first_run);
    end.roles[1].first_run = start.roles[1].first_run.clone();
    look(&mut start, &mut end, model);
    start.roles[0].calls = Some(calls(model, tasks));
    end.roles[0].calls = start.roles[0].calls.clone();
    Run {
        name: model.name.to_owned(),
        kind: TargetKind::Reference,
        pids: vec![4000 + repeat],
        lives_in: None,
        restarts: Vec::new(),
        repeat,
        connections: Some(connections),
        before,
        start,
        end,
        memory_points: points(model, connections, &mut numbers),
        reserved_points: reserved(model, connections),
        own: Some(own(model, tasks)),
        connected: None,
        client: Some(client(model, connections, wobble)),
        incomplete: None,
    }
}

fn points(model: &Model, connections: u32, numbers: &mut Numbers) -> Vec<MemoryPoint> {
    let steps = if connections < 8 { connections } else { 8 };
    let held = |connections: u32, numbers: &mut Numbers| {
        let noise =
            (numbers.unit() * 0.01 * f64::from(connections) * model.bytes_per_connection as f64)
                as u64;
        model.base_bytes + u64::from(connections) * model.bytes_per_connection + noise
    };
    (0..=steps)
        .map(|step| connections * step / steps)
        .map(|connections| MemoryPoint {
            connections,
            bytes: held(connections, numbers),
        })
        .collect()
}

/// What the kernel keeps of mappings is exact.
fn reserved(model: &Model, connections: u32) -> Vec<MemoryPoint> {
    let steps = connections.min(8);
    (0..=steps)
        .map(|step| connections * step / steps)
        .map(|connections| MemoryPoint {
            connections,
            bytes: 3_200_000 + u64::from(connections) * model.reserves,
        })
        .collect()
}

/// A snapshot with this many tasks besides the main one, which have done nothing yet.
fn snapshot(model: &Model, at_ns: u64, tasks: u32) -> Snapshot {
    let forks = model.creates == Some(FORK);
    let main = task(100, 100, "connscope-targ", Some(2_400_000));
    let others = (0..tasks).map(|index| {
        let tid = 101 + index;
        task(
            if forks { tid } else { 100 },
            tid,
            "connection",
            forks.then_some(410_000),
        )
    });
    let creations = |count: u64| {
        let creation = |clone_flags| Creation {
            clone_flags,
            io_worker: false,
            count,
        };
        model
            .creates
            .filter(|_| count > 0)
            .map(creation)
            .into_iter()
            .collect()
    };
    Snapshot {
        at_ns,
        roles: vec![
            Role {
                name: model.roles[0].to_owned(),
                tasks: vec![main],
                creations: creations(tasks.into()),
                run_queue_depth: vec![0; 64],
                ..Role::default()
            },
            Role {
                name: model.roles[1].to_owned(),
                tasks: others.collect(),
                run_queue_depth: vec![0; 64],
                ..Role::default()
            },
        ],
        losses: losses(),
        stolen_ns: 7_000_000_000 + at_ns / 200,
        observer_cpu_ns: at_ns / 50,
        observer_rss_bytes: 11_300_000 + at_ns / 1_000_000,
        programs: vec![Program {
            name: "on_sched_switch".to_owned(),
            probe: "sched".to_owned(),
            runs: at_ns / 500_000,
            run_ns: at_ns / 500_000 * 92,
        }],
        statistics: Statistics {
            on_ns: at_ns / 25,
            samples: at_ns / 500_000_000,
        },
        maps: vec![Map {
            name: "groups".to_owned(),
            bytes: Some(83_520),
        }],
        ..Snapshot::default()
    }
}

/// What the probes watch for, of which nothing happened.
pub(crate) fn losses() -> Vec<Loss> {
    let loss = |probe: &str, what: &str| Loss {
        probe: probe.to_owned(),
        what: what.to_owned(),
        count: 0,
    };
    vec![
        loss(
            "creations",
            "creations not counted (more than 1,024 combinations of clone flags)",
        ),
        loss(
            "tasks",
            "tasks that could not be watched (no memory for task storage)",
        ),
    ]
}

/// A living task that has done nothing yet.
pub(crate) fn task(pid: u32, tid: u32, comm: &str, anonymous_bytes: Option<u64>) -> Task {
    Task {
        pid,
        tid,
        started_ns: u64::from(tid) * 1_000,
        comm: comm.into(),
        state: State::Blocked,
        totals: Totals::default(),
        memory: anonymous_bytes.map(|anonymous_bytes| Memory {
            anonymous_bytes,
            file_bytes: 1_700_000,
            shared_bytes: 900_000,
            page_table_bytes: 86_016,
            reserved_bytes: 3_200_000,
        }),
        kernel_stack_bytes: 16_384,
    }
}

/// What connections wait for.
const SOCKET: usize = 3;

fn on_socket(blocked_ns: u64) -> [u64; REASONS.len()] {
    let mut by_reason = [0; REASONS.len()];
    by_reason[SOCKET] = blocked_ns;
    by_reason
}

/// Lets the tasks that serve connections work for the window.
fn grow(end: &mut Snapshot, start: &Snapshot, model: &Model, wobble: f64, numbers: &mut Numbers) {
    let busy = usize::from(model.creates.is_some());
    let role = &mut end.roles[busy];
    let switches = (REQUESTS as f64 * model.switches_per_request * wobble) as u64;
    // A tenth of the samples, to keep the tests quick; ten times as many switches.
    let samples = switches / 10;
    let waits: Vec<_> = (0..samples)
        .map(|_| numbers.exponential(model.wait_ns))
        .collect();
    let slices: Vec<_> = (0..samples)
        .map(|_| 2_000 + numbers.exponential(model.slice_ns))
        .collect();
    role.run_queue_depth[1] += samples / 2;
    role.run_queue_depth[2] += samples / 3;
    role.run_queue_depth[5] += samples / 6;
    let tasks = role.tasks.len() as u64;
    let (running, waiting) = (slices.iter().sum::<u64>(), waits.iter().sum::<u64>());
    let idle = WINDOW_NS * tasks - running - waiting;
    record(&mut role.run_queue_wait, waits);
    record(&mut role.on_cpu_slice, slices);
    role.blocked = vec![Histogram::default(); REASONS.len()];
    record(
        &mut role.blocked[SOCKET],
        (0..samples).map(|_| idle / samples),
    );
    for (index, task) in role.tasks.iter_mut().enumerate() {
        let share = |whole: u64| whole / tasks + u64::from((index as u64) < whole % tasks);
        task.totals = Totals {
            voluntary: share(switches - switches / 50),
            involuntary: share(switches / 50),
            cpu_ns: share(running - running / 40),
            running_ns: share(running),
            runnable_ns: share(waiting),
            blocked_ns: on_socket(share(idle)),
            arrivals: share(switches),
            unseen: 0,
            minor_faults: share(4_000),
            major_faults: 0,
        };
    }
    role.faults = faults(numbers);
    end.windows = vec![Window {
        probe: "faults".to_owned(),
        open_ns: WINDOW_NS / 50,
        windows: 10,
    }];
    let other = &mut end.roles[1 - busy];
    for task in &mut other.tasks {
        task.totals.blocked_ns = on_socket(end.at_ns - start.at_ns);
    }
}

/// A recording of these runs.
pub(crate) fn recording(command: &str, runs: Vec<Run>) -> Recording {
    Recording {
        command: command.to_owned(),
        host: host(),
        runs,
        methods: methods(),
        unavailable: Vec::new(),
        incomplete: None,
    }
}

/// Three models at 1 and 1,000 connections.
pub(crate) fn compare(repeats: u32) -> Recording {
    let mut runs = Vec::new();
    for model in &MODELS {
        for connections in [1, 1000] {
            runs.extend((1..=repeats).map(|repeat| run(model, connections, repeat)));
        }
    }
    recording("compare", runs)
}

/// A database that was running already: a parent and its children, one of them new.
pub(crate) fn attach() -> Recording {
    let mut run = run(&MODELS[0], 40, 1);
    run.name = "postgres".to_owned();
    run.kind = TargetKind::Process;
    run.pids = vec![90, 100];
    run.lives_in = Some("postgresql@15-main.service".to_owned());
    run.restarts = vec![Restart {
        at_ns: run.start.at_ns + 300_000_000,
        pid: 100,
    }];
    run.connections = None;
    run.before = run.start.clone();
    run.client = None;
    run.memory_points.clear();
    run.reserved_points.clear();
    for snapshot in [&mut run.before, &mut run.start, &mut run.end] {
        for (role, name) in snapshot.roles.iter_mut().zip(["main", "child"]) {
            role.name = name.to_owned();
            for task in &mut role.tasks {
                task.comm = "postgres".into();
            }
        }
    }
    run.before.roles[1].tasks.remove(7);
    run.start.roles[1].tasks.remove(7);
    let mut recording = recording("attach", vec![run]);
    recording.unavailable.push(Unavailable {
        measure: "hardware_counters".to_owned(),
        reason: "no PMU on this machine".to_owned(),
    });
    recording
}
