//! A PostgreSQL server that was running already, with round figures: twelve clients, watched for ten
//! seconds, of which nothing stands out.

use connscope::snapshot::connections::{Connection, Connections};
use connscope::snapshot::{
    Creation, FLUSH_REASONS, Histogram, OwnMemory, OwnProcess, OwnRole, REASONS, Recording, Role,
    Run, Snapshot, Statistics, TargetKind, Window,
};

use super::around::{Numbers, calls, histogram};
use super::faults::faults;
use super::sample::{FORK, MODELS, losses, recording, task};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const CLIENTS: u32 = 12;
/// Of all clients together.
pub(crate) const RUNNING_NS: u64 = 1_200_000_000;
pub(crate) const RUNNABLE_NS: u64 = 120_000_000;
pub(crate) const SWITCHES: u64 = 12_000;
/// Places of roles.
pub(crate) const MAIN: usize = 0;
pub(crate) const STARTING: usize = 1;
pub(crate) const CLIENT: usize = 2;
pub(crate) const AUTOVACUUM: usize = 3;

/// Places of what tasks sleep on.
pub(crate) fn reason(name: &str) -> usize {
    REASONS.iter().position(|reason| *reason == name).unwrap()
}

pub(crate) fn flush_reason(name: &str) -> usize {
    let mut reasons = FLUSH_REASONS.iter();
    reasons.position(|reason| *reason == name).unwrap()
}

/// Before it is watched.
fn at_start() -> Snapshot {
    let names = [
        "postmaster",
        "starting",
        "client",
        "autovacuum",
        "checkpointer",
    ];
    let role = |name: &&str| Role {
        name: (*name).to_owned(),
        run_queue_depth: vec![0; 64],
        blocked: vec![Histogram::default(); REASONS.len()],
        calls: Some(calls(&MODELS[1], 0)),
        ..Role::default()
    };
    let mut roles: Vec<Role> = names.iter().map(role).collect();
    roles[MAIN].tasks = vec![task(100, 100, "postgres", Some(2_400_000))];
    let client = |index| task(200 + index, 200 + index, "postgres", Some(1_500_000));
    roles[CLIENT].tasks = (0..CLIENTS).map(client).collect();
    roles[4].tasks = vec![task(110, 110, "postgres", Some(900_000))];
    Snapshot {
        at_ns: 100 * SECOND,
        roles,
        losses: losses(),
        stolen_ns: 7 * SECOND,
        observer_cpu_ns: 50_000_000,
        observer_rss_bytes: 11_300_000,
        programs: vec![connscope::snapshot::Program {
            name: "on_sched_switch".to_owned(),
            probe: "sched".to_owned(),
            runs: 0,
            run_ns: 0,
        }],
        statistics: Statistics {
            on_ns: 0,
            samples: 0,
        },
        ..Snapshot::default()
    }
}

/// What the clients did, all alike but for the first, which took most.
fn work(end: &mut Snapshot) {
    let clients = &mut end.roles[CLIENT];
    let each = u64::from(CLIENTS);
    for (index, task) in clients.tasks.iter_mut().enumerate() {
        let totals = &mut task.totals;
        totals.voluntary = SWITCHES / each - 100;
        totals.involuntary = 100;
        totals.arrivals = SWITCHES / each;
        totals.running_ns = RUNNING_NS / each;
        totals.runnable_ns = RUNNABLE_NS / each;
        totals.cpu_ns = RUNNING_NS / each - index as u64 * 1_000_000;
        totals.blocked_ns[reason("lock")] = 1_000_000;
        totals.blocked_ns[reason("disk")] = 2_000_000;
        let did = totals.running_ns + totals.runnable_ns + 3_000_000;
        totals.blocked_ns[reason("event_wait")] = 10 * SECOND - did;
    }
    clients.blocked[reason("lock")] = histogram(vec![50_000; 240]);
    clients.blocked[reason("disk")] = histogram(vec![100_000; 240]);
    clients.run_queue_wait = histogram(vec![RUNNABLE_NS / SWITCHES; SWITCHES as usize]);
    clients.on_cpu_slice = histogram(vec![RUNNING_NS / SWITCHES; SWITCHES as usize]);
}

/// The postmaster makes as many processes, which end before they tell what they are.
pub(crate) fn connect(run: &mut Run, connections: u64) {
    let role = &mut run.end.roles[MAIN];
    role.creations = vec![Creation {
        clone_flags: FORK,
        io_worker: false,
        count: connections,
    }];
    role.calls = Some(calls(&MODELS[0], u32::try_from(connections).unwrap()));
    let starting = &mut run.end.roles[STARTING];
    starting.ended_tasks = connections;
    starting.ended.minor_faults = 400 * connections;
    starting.first_run = histogram(vec![300_000; usize::try_from(connections).unwrap()]);
    starting.faults = faults(&mut Numbers(1));
}

/// Who the clients are; of one it is not known.
fn connected() -> Connections {
    let state = |index: u32| if index < 3 { "SELECT" } else { "idle" };
    let one = |index: u32| Connection {
        pid: 200 + index,
        tid: 200 + index,
        user: Some("app".to_owned()),
        database: Some(format!("shop{}", index % 2)),
        peer: Some(format!("10.0.0.{index}(40000)")),
        state: Some(state(index).to_owned()),
        wait: (index == 0).then(|| "Lock".to_owned()),
        application: (index == 1).then(|| "reports".to_owned()),
        query_id: None,
        wait_event: None,
    };
    Connections {
        open: u64::from(CLIENTS),
        named: (0..CLIENTS - 1).map(one).collect(),
        unnamed: 1,
        method: "titles of the processes".to_owned(),
    }
}

pub(crate) fn own(anonymous_bytes: u64, page_table_bytes: u64) -> OwnMemory {
    let process = |index| OwnProcess {
        pid: 200 + index,
        anonymous_bytes,
        page_table_bytes,
        kernel_stack_bytes: 16_384,
        ..OwnProcess::default()
    };
    OwnMemory {
        roles: vec![OwnRole {
            name: "client".to_owned(),
            processes: u64::from(CLIENTS),
            sampled: (0..CLIENTS).map(process).collect(),
            ..OwnRole::default()
        }],
        seconds: 0.004,
        without_sockets: None,
    }
}

pub(crate) fn server() -> Run {
    let start = at_start();
    let mut end = Snapshot {
        at_ns: 110 * SECOND,
        ..start.clone()
    };
    work(&mut end);
    end.stolen_ns += 100_000_000;
    end.observer_cpu_ns += 40_000_000;
    end.programs[0].runs = 500;
    end.programs[0].run_ns = 50_000;
    end.statistics = Statistics {
        on_ns: 400_000_000,
        samples: 20,
    };
    end.windows = vec![Window {
        probe: "faults".to_owned(),
        open_ns: 200_000_000,
        windows: 20,
    }];
    Run {
        name: "PostgreSQL:5432".to_owned(),
        kind: TargetKind::Postgresql,
        pids: vec![100],
        lives_in: None,
        restarts: Vec::new(),
        repeat: 1,
        connections: None,
        before: start.clone(),
        start,
        end,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: Some(own(1_300_000, 300_000)),
        connected: Some(connected()),
        client: None,
        incomplete: None,
    }
}

/// A recording of this server alone.
pub(crate) fn watched(run: Run) -> Recording {
    recording("attach", vec![run])
}

/// One that has trouble: too few CPUs, and a new process for each request.
pub(crate) fn troubled() -> Recording {
    let mut run = server();
    for task in &mut run.end.roles[CLIENT].tasks {
        task.totals.runnable_ns *= 10;
    }
    connect(&mut run, 400);
    run.own = Some(own(1_300_000, 2_900_000));
    watched(run)
}
