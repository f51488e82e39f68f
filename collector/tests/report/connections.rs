//! Whose connections are the costliest, and what a new one costs.

use connscope::report;
use connscope::report::Report;
use connscope::snapshot::{Role, Run};

use super::sample::task;
use super::server::{CLIENT, CLIENTS, MAIN, STARTING, connect, own, server, watched};
use super::tables::{plain, table_of};

fn of(run: Run) -> Report {
    report::build(&watched(run)).unwrap()
}

#[test]
fn the_costliest_connections_are_named() {
    let mut run = server();
    // Busier than any client, and no connection.
    run.end.roles[MAIN].tasks[0].totals.cpu_ns = 5_000_000_000;
    run.end.roles[CLIENT].tasks[11].totals.cpu_ns = 900_000_000;
    let report = of(run);
    let target = &report.targets[0];
    let detail = &target.connections_detail;
    let pids: Vec<u32> = detail.iter().map(|task| task.pid).collect();
    assert_eq!(pids, [211, 200, 201, 202, 203, 204, 205, 206, 207, 208]);
    let (unnamed, first) = (&detail[0], &detail[1]);
    assert_eq!((unnamed.label.as_str(), &unnamed.user), ("postgres", &None));
    assert_eq!(first.label, "app shop0 10.0.0.0(40000)");
    assert_eq!(
        (first.state.as_deref(), first.wait.as_deref()),
        (Some("SELECT"), Some("Lock"))
    );
    assert_eq!(detail[2].application.as_deref(), Some("reports"));
    assert_eq!(first.measures.memory.own_bytes, Some(1_616_384));
    // 10 ms of 110.
    let share = first.measures.run_queue_wait_share.unwrap();
    assert!((share - 10.0 / 110.0).abs() < 1e-9, "{share}");

    let table = table_of(&report, &plain(80));
    let line = table
        .lines()
        .find(|line| line.trim_start().starts_with("200 "))
        .unwrap();
    for word in [
        "app", "shop0", "SELECT", "1.0 %", "9.1 %", "100 /s", "1.62 MB",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
}

#[test]
fn connections_are_counted_as_the_server_was_seen_to_have_them() {
    let mut run = server();
    let start = run.start.roles[CLIENT].tasks.clone();
    // At rest: one that is idle, one that is not known, and one that waits for a lock all the time.
    for place in [0, 10, 11] {
        run.end.roles[CLIENT].tasks[place] = start[place].clone();
    }
    let report = of(run);
    let target = &report.targets[0];
    let connected = target.connected.as_ref().unwrap();
    assert_eq!(
        (connected.open, connected.named, connected.unnamed),
        (12, 11, 1)
    );
    assert_eq!(connected.idle, Some(2));
    assert_eq!(target.connections, Some(CLIENTS));
    let table = table_of(&report, &plain(120));
    let note = "12 open, 11 named, 1 not, 2 did nothing in the window";
    assert!(table.contains(note), "{table}");
}

#[test]
fn where_nobody_knows_the_connections_nothing_is_made_up() {
    let mut run = server();
    run.connected = None;
    let report = of(run);
    let target = &report.targets[0];
    assert_eq!((&target.connected, target.connections), (&None, None));
    // The role still tells which tasks serve one.
    assert!(
        target
            .connections_detail
            .iter()
            .all(|task| task.role == "client")
    );
    assert!(
        target
            .connections_detail
            .iter()
            .all(|task| task.label == "postgres")
    );
}

#[test]
fn a_new_connection_costs_a_fork_and_what_it_copies() {
    let mut run = server();
    connect(&mut run, 100);
    // A worker was made too, and one that was there has ended.
    let workers: &mut Role = &mut run.end.roles[3];
    workers.tasks = vec![task(300, 300, "postgres", Some(900_000))];
    run.end.roles[4].tasks.clear();
    run.end.roles[4].ended_tasks = 1;
    let report = of(run);
    let new = report.targets[0].new_connection.as_ref().unwrap();
    assert_eq!((new.created, new.of_other_roles), (100, 1));
    assert_eq!(new.unsettled, 99);
    assert_eq!(new.connections_per_second, Some(9.9));
    let call = new.call.as_ref().unwrap();
    // Forks of 1,000 to 1,990 pages, 120 to 149.7 us, less 1.4 us.
    assert_eq!(call.count, 100);
    assert!(
        (call.mean_seconds - (134.85e-6 - 1.4e-6)).abs() < 1e-9,
        "{call:?}"
    );
    let share = new.calls_share_of_a_core().unwrap();
    assert!((share - 9.9 * call.mean_seconds).abs() < 1e-12, "{share}");
    let first = new.first_run.as_ref().unwrap();
    assert_eq!((first.count, first.mean_seconds), (100, 300e-6));
    let copied = new.copied_pages.as_ref().unwrap();
    assert_eq!(copied.per_connection, Some(copied.estimated_total / 99.0));
    assert!(copied.confidence_95[0] <= copied.estimated_total);
    assert!(copied.estimated_total <= copied.confidence_95[1]);
    assert_eq!(copied.window_seconds, Some(0.2));
    let memory = &new.memory;
    assert_eq!((memory.sampled, memory.own_bytes), (12, Some(1_616_384.0)));
    assert_eq!(memory.page_table_bytes, Some(300_000.0));
    assert_eq!(
        (memory.kernel_stack_bytes, memory.marginal_bytes),
        (Some(16_384.0), None)
    );
}

#[test]
fn without_a_new_connection_there_is_what_one_holds() {
    let mut run = server();
    run.own = Some(own(1_000_000, 100_000));
    let report = of(run);
    let new = report.targets[0].new_connection.as_ref().unwrap();
    assert_eq!((new.created, new.connections_per_second), (0, Some(0.0)));
    assert_eq!((&new.call, &new.first_run), (&None, &None));
    assert_eq!(new.memory.own_bytes, Some(1_116_384.0));
}

#[test]
fn copies_of_a_role_that_no_window_showed_are_a_guess_with_bounds() {
    let mut run = server();
    connect(&mut run, 100);
    let copied = |run: &Run| {
        let report = of(run.clone());
        let new = report.targets[0].new_connection.as_ref().unwrap();
        new.copied_pages.clone().unwrap()
    };
    let without = copied(&run);
    // As many faults again, of the clients.
    run.end.roles[CLIENT].ended.minor_faults = 400 * 100;
    let with = copied(&run);
    assert!((with.estimated_total - 2.0 * without.estimated_total).abs() < 1e-6);
    assert_eq!(with.confidence_95[0], without.confidence_95[0]);
    assert_eq!(with.confidence_95[1], without.confidence_95[1] + 40_000.0);
    // Nothing at all was shown.
    run.end.roles[STARTING].faults = Default::default();
    let report = of(run);
    let new = report.targets[0].new_connection.as_ref().unwrap();
    assert_eq!(new.copied_pages, None);
}
