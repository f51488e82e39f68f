//! The figures of one run, computed by hand.

use connscope::report::{self, Report, Target};
use connscope::snapshot::{Recording, Role, Run, Snapshot, TargetKind, Task, Totals, Unavailable};

use super::around::{histogram, record};
use super::sample::{self, MODELS, losses, recording, run};

/// A role with one living task that did this.
fn role(ended: Totals, living: Totals) -> Role {
    let task = Task {
        totals: living,
        ..sample::task(10, 10, "server", Some(1_000_000))
    };
    Role {
        name: "main".to_owned(),
        ended,
        tasks: vec![task],
        ..Role::default()
    }
}

fn totals(voluntary: u64, involuntary: u64, [cpu, running, runnable, blocked]: [u64; 4]) -> Totals {
    let (cpu_ns, running_ns, runnable_ns, blocked_ns) = (cpu, running, runnable, blocked);
    let arrivals = voluntary + involuntary;
    Totals {
        voluntary,
        involuntary,
        cpu_ns,
        running_ns,
        runnable_ns,
        blocked_ns: [0, 0, 0, blocked_ns, 0, 0, 0, 0, 0, 0, 0],
        arrivals,
        unseen: 0,
        ..Totals::default()
    }
}

/// Watched from second 1, measured from second 3 to second 7.
pub(crate) fn small() -> Run {
    let mut snapshots = [1, 3, 7].map(|second| Snapshot {
        at_ns: second * 1_000_000_000,
        losses: losses(),
        ..Snapshot::default()
    });
    snapshots[0].roles = vec![role(Totals::default(), Totals::default())];
    snapshots[1].roles = vec![role(
        Totals::default(),
        totals(100, 10, [190, 200, 300, 1_999_999_500]),
    )];
    // A task ended in the window, whose switches must not be lost.
    snapshots[2].roles = vec![role(
        totals(7, 3, [900_000_000, 1_000_000_000, 500_000_000, 500_000_000]),
        totals(
            1_100,
            60,
            [990_000_190, 1_000_000_200, 1_000_000_300, 3_999_999_500],
        ),
    )];
    snapshots[2].stolen_ns = 250_000_000;
    let [before, start, end] = snapshots;
    let client = run(&MODELS[0], 4, 1).client;
    Run {
        name: "small".to_owned(),
        kind: TargetKind::Reference,
        pids: vec![10],
        lives_in: None,
        restarts: Vec::new(),
        repeat: 1,
        connections: Some(4),
        before,
        start,
        end,
        memory_points: Vec::new(),
        reserved_points: Vec::new(),
        own: None,
        connected: None,
        client: client.map(|client| connscope::snapshot::Client {
            requests: 700,
            answered_in_window: 530,
            ..client
        }),
        incomplete: None,
    }
}

pub(crate) fn report(run: Run) -> Report {
    report::build(&recording("compare", vec![run])).unwrap()
}

pub(crate) fn only(report: &Report) -> &Target {
    assert_eq!(report.targets.len(), 1);
    &report.targets[0]
}

#[test]
fn switches_are_those_of_the_window_the_dead_included() {
    let report = report(small());
    let switches = only(&report)
        .measures
        .kernel
        .context_switches
        .as_ref()
        .unwrap();
    assert_eq!((switches.voluntary, switches.involuntary), (1_007, 53));
    assert_eq!(switches.arrivals, 1_060);
    assert_eq!(switches.per_request, Some(2.0));
    assert_eq!(switches.per_second, 265.0);
}

#[test]
fn time_is_conserved() {
    let report = report(small());
    let kernel = &only(&report).measures.kernel;
    let time = kernel.time_in_state.as_ref().unwrap();
    let told = (
        time.running_seconds,
        time.runnable_seconds,
        time.blocked_seconds,
    );
    assert_eq!(told, (2.0, 1.5, 2.5));
    // One task for all 4 seconds, another for 2.
    assert_eq!(told.0 + told.1 + told.2, 4.0 + 2.0);
    assert_eq!(report.window_seconds, Some(4.0));

    let whole = self::report(run(&MODELS[1], 1_000, 1));
    let time = only(&whole).measures.kernel.time_in_state.as_ref().unwrap();
    let sum = time.running_seconds + time.runnable_seconds + time.blocked_seconds;
    assert!((sum - 1_001.0 * 5.0).abs() < 1e-6, "{sum}");
}

#[test]
fn cpu_is_what_the_kernel_charges_and_the_rest_was_stolen() {
    let report = report(small());
    let cpu = only(&report).measures.kernel.cpu.as_ref().unwrap();
    assert_eq!(cpu.seconds, 1.89);
    assert!((cpu.stolen_seconds - 0.11).abs() < 1e-12);
    assert_eq!(cpu.per_request_seconds, Some(1.89 / 530.0));
    assert_eq!(cpu.host_stolen_seconds, Some(0.25));
    let of_role = only(&report).roles[0].measures.cpu.as_ref().unwrap();
    assert_eq!((of_role.seconds, of_role.host_stolen_seconds), (1.89, None));
}

#[test]
fn distributions_are_of_the_window_and_first_runs_of_the_whole_watch() {
    let mut run = small();
    run.start.roles[0].run_queue_wait = histogram([9_000_000]);
    run.end.roles[0].run_queue_wait = run.start.roles[0].run_queue_wait.clone();
    record(&mut run.end.roles[0].run_queue_wait, [3, 5, 7]);
    run.start.roles[0].first_run = histogram([11, 11]);
    run.end.roles[0].first_run = run.start.roles[0].first_run.clone();
    run.start.roles[0].run_queue_depth = vec![0, 5, 5, 0];
    run.end.roles[0].run_queue_depth = vec![0, 8, 6, 0];
    let report = report(run);
    let kernel = &only(&report).measures.kernel;
    let wait = kernel.run_queue_wait.as_ref().unwrap();
    assert_eq!((wait.count, wait.sum_seconds), (3, 15e-9));
    assert_eq!(
        (wait.p50_seconds, wait.p99_seconds),
        (Some(5e-9), Some(7e-9))
    );
    assert_eq!((wait.max_seconds, wait.max_is_bound), (Some(7e-9), false));
    let first_run = kernel
        .creations
        .as_ref()
        .unwrap()
        .first_run
        .as_ref()
        .unwrap();
    assert_eq!((first_run.count, first_run.p50_seconds), (2, Some(11e-9)));
    let depth = kernel.run_queue_depth.as_ref().unwrap();
    assert_eq!((depth.samples, depth.mean), (4, Some(1.25)));
    assert_eq!(
        (depth.p50, depth.p99, depth.max, depth.is_bound),
        (Some(1), Some(2), Some(2), false)
    );
}

#[test]
fn depth_in_the_last_entry_is_a_bound() {
    let mut run = small();
    run.start.roles[0].run_queue_depth = vec![0, 0, 0];
    run.end.roles[0].run_queue_depth = vec![0, 1, 1];
    let report = report(run);
    let depth = only(&report)
        .measures
        .kernel
        .run_queue_depth
        .as_ref()
        .unwrap();
    assert_eq!((depth.max, depth.is_bound), (Some(2), true));
}

#[test]
fn accounted_memory_sums_what_is_private_and_not_what_is_shared() {
    let report = report(run(&MODELS[0], 10, 1));
    let accounted = only(&report)
        .measures
        .kernel
        .memory
        .accounted
        .as_ref()
        .unwrap();
    // One main process of 2.4 MB and ten of 0.41 MB; tables and stacks of each of the 11.
    assert_eq!(accounted.anonymous_bytes, Some(6_500_000));
    assert_eq!(accounted.page_table_bytes, Some(11 * 86_016));
    assert_eq!(accounted.kernel_stack_bytes, 11 * 16_384);
    assert_eq!(
        (accounted.file_bytes, accounted.shared_bytes),
        (Some(1_700_000), Some(900_000))
    );
    assert_eq!(accounted.address_spaces, 11);
    let sum = (6_500_000 + 11 * 86_016 + 11 * 16_384) as f64;
    assert_eq!(accounted.per_connection_bytes, Some(sum / 10.0));
}

#[test]
fn a_role_of_threads_has_stacks_but_no_account_of_its_process() {
    let report = report(run(&MODELS[1], 10, 1));
    let target = only(&report);
    let accounted = |role: usize| {
        target.roles[role]
            .measures
            .memory
            .accounted
            .as_ref()
            .unwrap()
    };
    assert_eq!(accounted(0).anonymous_bytes, Some(2_400_000));
    assert_eq!(accounted(1).anonymous_bytes, None);
    assert_eq!(accounted(1).kernel_stack_bytes, 10 * 16_384);
    assert_eq!(
        (target.roles[0].tasks, target.roles[1].tasks, target.tasks),
        (1, 10, 11)
    );
    let of_roles: u64 = target
        .roles
        .iter()
        .map(|r| r.measures.context_switches.as_ref().unwrap().voluntary)
        .sum();
    assert_eq!(
        of_roles,
        target
            .measures
            .kernel
            .context_switches
            .as_ref()
            .unwrap()
            .voluntary
    );
}

#[test]
fn what_could_not_be_measured_is_null_and_never_zero() {
    let names = [
        ("context_switches", "/context_switches"),
        ("run_queue_wait", "/run_queue_wait"),
        ("on_cpu_slice", "/on_cpu_slice"),
        ("run_queue_depth", "/run_queue_depth"),
        ("blocked", "/blocked"),
        ("creations", "/creations"),
        ("first_run", "/creations/first_run"),
        ("time_in_state", "/time_in_state"),
        ("cpu", "/cpu"),
        ("memory_accounted", "/memory/accounted"),
    ];
    for (measure, path) in names {
        let mut recording = recording("compare", vec![small()]);
        let path = format!("/targets/0/measures{path}");
        let value = |recording: &Recording| {
            let report = serde_json::to_value(report::build(recording).unwrap()).unwrap();
            report
                .pointer(&path)
                .cloned()
                .unwrap_or_else(|| panic!("no {path}"))
        };
        assert!(!value(&recording).is_null(), "{path}");
        let (measure, reason) = (measure.to_owned(), "refused".to_owned());
        recording.unavailable.push(Unavailable { measure, reason });
        assert!(value(&recording).is_null(), "{path}");
    }
}

#[test]
fn without_requests_nothing_is_per_request() {
    let mut idle = small();
    if let Some(client) = &mut idle.client {
        client.requests = 0;
        client.answered_in_window = 0;
        client.latency = None;
    }
    let report = report(idle);
    let measures = &only(&report).measures;
    assert_eq!(
        measures
            .kernel
            .context_switches
            .as_ref()
            .unwrap()
            .per_request,
        None
    );
    assert_eq!(
        measures.kernel.cpu.as_ref().unwrap().per_request_seconds,
        None
    );
    assert_eq!(measures.client.as_ref().unwrap().latency, None);
}

/// A mean with its interval, and every process in the books.
#[test]
fn own_memory_is_a_mean_over_those_sampled() {
    let runs = vec![run(&MODELS[0], 5, 1), run(&MODELS[0], 5, 2)];
    let mut unavailable = recording("compare", runs);
    let report = report::build(&unavailable).unwrap();
    let roles = &report.targets[0].roles;
    let own = roles[1].measures.memory.own_bytes.as_ref().unwrap();
    // Of five each repeat sampled four, half of them a page larger.
    let mean = 120_000.0 + 2_048.0 + 86_016.0 + 16_384.0 + 2_304.0;
    assert_eq!(own.mean, Some(mean));
    assert_eq!((own.sampled, own.of, own.skipped.out_of_budget), (8, 10, 2));
    // Student's t of 7 degrees of freedom is 2.365; the standard error 2,048 * sqrt(8 / 7) / sqrt(8);
    // a fifth of the processes is left to chance.
    let [lower, upper] = own.confidence_95.unwrap();
    let margin = 2.364_624 * 2_048.0 / 7_f64.sqrt() * 0.2_f64.sqrt();
    assert!((upper - mean - margin).abs() < 0.01, "{upper}");
    assert!((mean - lower - margin).abs() < 0.01, "{lower}");
    let of_main = roles[0].measures.memory.own_bytes.as_ref().unwrap();
    assert_eq!((of_main.mean, of_main.confidence_95), (None, None));
    assert_eq!((of_main.sampled, of_main.skipped.threaded), (0, 2));
    let of_all = report.targets[0].measures.kernel.memory.own_bytes.as_ref();
    assert_eq!(of_all.map(|own| (own.sampled, own.of)), Some((8, 12)));

    unavailable.runs.iter_mut().for_each(|run| run.own = None);
    let report = report::build(&unavailable).unwrap();
    assert_eq!(report.targets[0].measures.kernel.memory.own_bytes, None);
}

/// No bound is below zero, and where all were sampled both are the mean.
#[test]
fn own_memory_is_as_sure_as_what_is_left_to_chance() {
    let of = |processes| {
        let mut run = run(&MODELS[0], 5, 1);
        let role = &mut run.own.as_mut().unwrap().roles[1];
        role.sampled.truncate(2);
        role.sampled[0].anonymous_bytes += 10_000_000;
        role.processes = processes;
        role.out_of_budget = processes - 2;
        let report = report::build(&recording("compare", vec![run])).unwrap();
        let own = report.targets[0].roles[1].measures.memory.own_bytes.clone();
        let own = own.unwrap();
        (own.mean.unwrap(), own.confidence_95.unwrap())
    };
    let (mean, [lower, upper]) = of(200);
    assert!(lower == 0.0 && upper > 2.0 * mean, "{lower} to {upper}");
    let (mean, bounds) = of(2);
    assert_eq!(bounds, [mean, mean]);
}

/// Sockets that were not looked for make the figure a part, which the method says.
#[test]
fn own_memory_says_of_how_many_files_it_knows_nothing() {
    let mut run = run(&MODELS[0], 5, 1);
    let sampled = &mut run.own.as_mut().unwrap().roles[1].sampled;
    sampled[0].unread_files = 300;
    sampled[2].unread_files = 4;
    let report = report::build(&recording("compare", vec![run])).unwrap();
    let method = |role: usize| {
        let measures = &report.targets[0].roles[role].measures;
        measures.memory.own_bytes.as_ref().unwrap().method.clone()
    };
    let partial = "; partial: sockets were not looked for in 304 open files of 2 processes, \
                   which have more than 65,536";
    assert!(method(1).ends_with(partial), "{}", method(1));
    assert!(!method(0).contains("partial"), "{}", method(0));
}
