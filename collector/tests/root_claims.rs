//! `connscope claims` against workloads whose answer is known, and what it says where something is wrong.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "support/program.rs"]
mod program;

use leftovers::Before;
use nobody::as_nobody;
use program::*;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

/// Rounds with `--quick`.
const ROUNDS: u64 = 3;
/// From a signal to the end: the server, the load and what they hold are given up in order.
const SOON: Duration = Duration::from_secs(10);

/// The report on these claims.
#[track_caller]
fn report(only: &str) -> Value {
    let words = format!("claims --quick --quiet --format json --only {only}");
    Ended::of(connscope(&words)).exits(0).report()
}

/// The same on a claim of our own, `mine`, with these tests; run by this program, if by any.
#[track_caller]
fn report_on_tests(tests: &str, by: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.toml");
    let mine =
        format!("[[claim]]\nid = \"mine\"\nclaim = \"it is as planted\"\n[[claim.test]]\n{tests}");
    fs::write(&file, mine).expect("written");
    let words = "claims --quick --quiet --format json --only mine --file";
    let mut command = match by {
        [] => connscope(words),
        [program, options @ ..] => {
            let mut command = Command::new(program);
            command.args(options).arg(CONNSCOPE).args(words.split(' '));
            command
        }
    };
    command.arg(&file);
    Ended::of(command).exits(0).report()
}

#[track_caller]
fn claim<'a>(report: &'a Value, id: &str) -> &'a Value {
    let claims = report["claims"].as_array().expect("claims");
    let found = claims.iter().find(|it| it["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

/// A result of the test of that number.
#[track_caller]
fn result<'a>(report: &'a Value, id: &str, test: usize, at: &str) -> &'a Value {
    let results = claim(report, id)["tests"][test]["results"]
        .as_array()
        .expect("results");
    let found = results.iter().find(|it| it["at"] == at);
    found.unwrap_or_else(|| panic!("no {at:?} of {id}: {results:#?}"))
}

#[track_caller]
fn median(report: &Value, id: &str, test: usize, at: &str) -> f64 {
    let result = result(report, id, test, at);
    assert_eq!(result["rounds"], ROUNDS, "{result:#}");
    result["median"].as_f64().expect("a figure")
}

#[test]
fn seats_are_sold_twice_where_nothing_prevents_it_and_nowhere_else() {
    let report = report("race,lock-prevents");
    // 3,000 customers a second for 300 ms, eight for each seat, all within the millisecond that each thinks.
    let oversold = median(&report, "race", 0, "none");
    let seats = 3_000.0 * 0.3 / 8.0;
    // In the warm-up as many were sold as in two thirds of the window.
    assert!(
        (20.0..=2.0 * seats + 1.0).contains(&oversold),
        "{oversold} of {seats}"
    );
    for mode in ["lock", "optimistic"] {
        assert_eq!(median(&report, "lock-prevents", 0, mode), 0.0);
    }
    for id in ["race", "lock-prevents"] {
        assert_eq!(claim(&report, id)["verdict"], "holds", "{report:#}");
    }
}

#[test]
fn figures_of_the_kernel_are_those_that_it_is_built_with() {
    let report =
        report("timeslice,scheduler,exec-follows,switch-flushes-tlb,task-stack,thread-stack");
    let tick = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    let tick = tick.tv_nsec as f64 / 1e9;
    let measured = median(&report, "timeslice", 0, "");
    assert!(
        (measured - tick).abs() < tick / 100.0,
        "{measured} where HZ says {tick}"
    );
    assert!(claim(&report, "scheduler")["tests"][0]["results"][0]["note"].is_string());
    // bash forks; glibc's posix_spawn(3) does not.
    assert_eq!(median(&report, "exec-follows", 0, "bash"), 1.0);
    assert_eq!(median(&report, "exec-follows", 0, "posix_spawn(3)"), 0.0);
    assert_eq!(claim(&report, "exec-follows")["verdict"], "depends");
    // x86 keeps six address spaces apart (TLB_NR_DYN_ASIDS); others of the host take some too.
    assert!(median(&report, "switch-flushes-tlb", 0, "2") < 0.1);
    // Each of 16 finds that its tag was given to another (as in root_tlb), whatever else wants the CPU.
    assert!(median(&report, "switch-flushes-tlb", 0, "16") > 0.95);
    // _StackMin of Go's runtime.
    assert_eq!(median(&report, "task-stack", 0, ""), 2048.0);
    let kernel_stack = median(&report, "thread-stack", 0, "kernel stack");
    assert!(
        (12_000.0..=20_000.0).contains(&kernel_stack),
        "THREAD_SIZE is 16 KiB: {kernel_stack}"
    );
}

/// Tasks of SCHED_RR at one priority take turns by a quantum that the kernel tells (sched_rr_get_interval(2)); the two
/// that share a CPU inherit the policy.
#[test]
fn a_time_slice_is_the_quantum_of_the_policy() {
    let report = report_on_tests(
        "measure = \"time_slice\"\nat_least = 0\n[[claim.test]]\nmeasure = \"slice_switch_rate\"\nat_least = 0\n",
        &["chrt", "--rr", "1"],
    );
    let mut quantum = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asleep = Command::new("chrt");
    asleep.args(["--rr", "1", "sleep", "5"]);
    let mut asleep = asleep.spawn().expect("chrt");
    let pid = libc::pid_t::try_from(asleep.id()).expect("a pid");
    wait_for("SCHED_RR", || {
        // SAFETY: takes a pid only.
        let policy = unsafe { libc::sched_getscheduler(pid) };
        (policy == libc::SCHED_RR).then_some(())
    });
    // SAFETY: the kernel writes a timespec into ours.
    let said = unsafe { libc::sched_rr_get_interval(pid, &raw mut quantum) };
    asleep.kill().and_then(|()| asleep.wait()).expect("ours");
    assert_eq!(said, 0);
    let quantum = quantum.tv_sec as f64 + quantum.tv_nsec as f64 / 1e9;
    // The window need not begin and end with a turn, and the kernel takes the CPU from such tasks for others
    // now and then (sched_rt_runtime_us).
    let slice = median(&report, "mine", 0, "");
    assert!(
        (0.4 * quantum..=1.6 * quantum).contains(&slice),
        "{slice} where the quantum is {quantum}"
    );
    let a_second = median(&report, "mine", 1, "");
    assert!(
        (0.6..=2.5).contains(&(a_second * quantum)),
        "{a_second} switches a second where the quantum is {quantum}"
    );
}

/// What is derived of the cost of a switch is derived of the one that stands beside it: a thousand of them are the part of
/// a second that is lost, and a CPU does some instructions in each of its cycles, as one addition waits for the other.
#[test]
fn what_follows_from_the_cost_of_a_switch() {
    let report = report_on_tests(
        "measure = \"process_switch\"\nat_least = 0\n[[claim.test]]\nmeasure = \"switch_waste\"\nat_least = 0\n\
         [[claim.test]]\nmeasure = \"switch_instructions\"\nat_least = 0\n",
        &[],
    );
    let places = claim(&report, "mine")["tests"][0]["results"].as_array();
    let places = places.expect("results");
    assert!(places.len() >= 3, "{places:#?}");
    for place in places {
        let at = place["at"].as_str().expect("a place");
        let waste = (number(&place["median"]) * 1_000.0).min(1.0);
        let told = median(&report, "mine", 1, at);
        assert!((told - waste).abs() < 1e-9, "{told}, not {waste}, at {at}");
    }
    let switch = median(&report, "mine", 0, "no working set");
    let a_second = median(&report, "mine", 2, "one after another") / switch;
    let per_cycle = a_second / (1e6 * megahertz());
    assert!(
        (0.3..8.0).contains(&per_cycle),
        "{per_cycle} for each cycle"
    );
}

/// As the kernel says it of the first CPU; one that may go faster does so at its will.
fn megahertz() -> f64 {
    let text = fs::read_to_string("/proc/cpuinfo").expect("proc");
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    let value = line.and_then(|line| line.split(':').nth(1)?.trim().parse().ok());
    value.expect("a frequency")
}

/// Each takes no more than planned and half as much again, and as many times that as the host has had tasks for each CPU
/// in the last minute.
#[test]
fn claims_take_as_long_as_planned() {
    let begun = Instant::now();
    let report = report("timeslice,switch-waste,thread-create,sharing");
    let took = begun.elapsed().as_secs_f64();
    let measurements = report["measurements"].as_array().expect("a list");
    let sum = |field: &str| {
        measurements
            .iter()
            .map(|it| number(&it[field]))
            .sum::<f64>()
    };
    let (planned, seconds) = (sum("planned_seconds"), sum("seconds"));
    assert!(
        measurements.len() >= 4 && planned > 1.0,
        "{measurements:#?}"
    );
    assert!(seconds <= took, "{seconds} of {took}");
    let loaded = loaded();
    assert!(
        seconds <= planned * 1.5 * loaded,
        "{seconds} s where {planned} s were planned, {loaded} tasks for each CPU: {measurements:#?}"
    );
}

/// Tasks that want a CPU, for each there is, over the last minute; one at least.
fn loaded() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").expect("proc");
    let load: f64 = text
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a load");
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as f64;
    (load / cpus).max(1.0)
}

/// Little's law: so many connections that each wait for 4.5 ms on the mean carry no more than that many requests in
/// that time; a claim of our own over it.
#[test]
fn a_pool_of_known_size_carries_what_it_can() {
    let report = report_on_tests(
        "measure = \"pool_throughput\"\nat = [\"2\", \"5\"]\nat_most = 1200\n\
         [[claim.test]]\nmeasure = \"pool_throughput\"\nat = \"50\"\nper = \"pool_throughput\"\nper_at = \"2\"\nat_least = 3\n",
        &[],
    );
    for (at, size) in [("2", 2.0), ("5", 5.0)] {
        let most = size / 0.0045;
        let carried = median(&report, "mine", 0, at);
        assert!(
            (0.3 * most..=1.15 * most).contains(&carried),
            "{carried} of {most} by {size}"
        );
    }
    assert!(median(&report, "mine", 1, "50") > 2.0);
}

#[test]
fn a_measurement_that_fails_is_said_to_and_the_rest_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = folder.path().join("broken");
    fs::write(&broken, "#!/bin/sh\necho gone >&2\nexit 3\n").expect("written");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut command =
        connscope("claims --quick --quiet --format json --only race,scheduler --target-binary");
    command.arg(&broken);
    let ended = Ended::of(command).exits(1);
    let report = ended.report();
    assert_eq!(claim(&report, "race")["verdict"], "failed");
    let reason = claim(&report, "race")["reason"]
        .as_str()
        .expect("a reason")
        .to_owned();
    assert!(reason.contains("gone"), "{reason}");
    assert!(matches!(
        claim(&report, "scheduler")["verdict"].as_str(),
        Some("holds" | "does_not_hold")
    ));
    assert_eq!(
        ended.line(),
        format!("connscope: the report is incomplete: race: {reason}")
    );
}

#[test]
fn without_rights_what_needs_them_is_not_measurable_and_says_how() {
    let words =
        "claims --quick --quiet --format json --only scheduler,exec-follows,crash-process,deadlock";
    let (_folder, command) = as_nobody("", words);
    let report = Ended::of(command).exits(0).report();
    for id in ["exec-follows", "crash-process"] {
        assert_eq!(
            claim(&report, id)["verdict"],
            "not_measurable_here",
            "{report:#}"
        );
        let reason = claim(&report, id)["reason"].as_str().expect("a reason");
        assert!(
            reason.starts_with("without CAP_") && reason.ends_with("; run with sudo"),
            "{reason}"
        );
    }
    let reason = claim(&report, "deadlock")["reason"]
        .as_str()
        .expect("a reason");
    assert!(
        reason.starts_with("no PostgreSQL was given; give one by --postgres"),
        "{reason}"
    );
    assert_ne!(
        claim(&report, "scheduler")["verdict"],
        "not_measurable_here"
    );
}

#[test]
fn a_signal_ends_it_early_with_what_it_has() {
    let before = Before::now();
    let running = Running::start(connscope(
        "claims --quiet --format json --only scheduler,race",
    ));
    running.load();
    let begun = Instant::now();
    let ended = running.end_by(libc::SIGINT).exits(1);
    assert!(begun.elapsed() < SOON, "{ended:#?}");
    let report = ended.report();
    let incomplete = report["incomplete"].as_str().expect("why");
    assert!(
        incomplete.starts_with("interrupted by SIGINT in round 1 of 5"),
        "{incomplete}"
    );
    // One round decides nothing.
    assert_eq!(claim(&report, "scheduler")["verdict"], "undecided");
    before.assert_nothing_left();
}
