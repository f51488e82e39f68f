//! Records of live runs: the report of one is that of the run, and what is written before an end that comes too
//! early can be read.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use leftovers::Before;
use program::*;
use serde_json::Value;
use std::{fs, path::Path, process::Command, thread, time::Duration};

/// The report of a record, as JSON.
#[track_caller]
fn reported(file: &Path) -> Ended {
    Ended::of(connscope(&format!(
        "report {} --format json",
        file.display()
    )))
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no figure"))
}

#[test]
fn a_record_of_a_live_run_gives_the_same_report() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Served::start("thread-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --duration 20s");
    let runs = [
        format!("attach --pid {} --duration 1s --counters", server.pid()),
        "compare --models event-loop,process-per-connection --connections 1,20 --repeat 2 --duration 200ms \
         --warm-up 0s"
            .to_owned(),
        "calibrate --quick --only thread_switch".to_owned(),
        "claims --quick --only scheduler,timeslice,exec-follows".to_owned(),
    ];
    for (number, words) in runs.iter().enumerate() {
        let file = folder.path().join(format!("{number}.connscope"));
        let live = connscope(&format!(
            "{words} --quiet --format json --record {}",
            file.display()
        ));
        let live = Ended::of(live).exits(0);
        let again = reported(&file).exits(0);
        assert!(
            again.stdout == live.stdout,
            "{words}: {}\n{}",
            live.stdout,
            again.stdout
        );
        assert!(live.stdout.len() > 2_000, "{}", live.stdout);
    }
    drop(load);
    drop(server);
    before.assert_nothing_left();
}

/// What one sees of a watch is the same by either command.
#[test]
fn snapshots_between_the_first_and_the_last_add_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Served::start("thread-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --duration 20s");
    let words = format!(
        "record {} --pid {} --duration 2s --interval 100ms",
        file.display(),
        server.pid()
    );
    let ended = Ended::of(connscope(&words)).exits(0);
    let said = ended.stderr.lines().last().unwrap_or_default().to_owned();
    // A busy host may be late for some of the 20.
    let kept: u64 = said
        .strip_prefix("connscope: ")
        .and_then(|said| said.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    assert!((10..=21).contains(&kept), "{said}");
    let report = reported(&file).exits(0).report();
    assert_eq!(report["command"], "record");
    let target = &report["targets"][0];
    assert!(number(&target["window_seconds"]) >= 2.0, "{target}");
    assert_eq!(target["tasks"], 21);
    drop(load);
    drop(server);
}

/// Who is killed leaves what was written until then.
#[test]
fn what_was_written_before_a_kill_is_reported() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Served::start("event-loop");
    let words = format!(
        "record {} --pid {} --interval 100ms",
        file.display(),
        server.pid()
    );
    let mut running = Running::start(connscope(&words));
    let read = || {
        let ended = reported(&file);
        (ended.status.code() == Some(1) && ended.stdout.starts_with('{')).then_some(())
    };
    // It can be read while it is written, too.
    wait_for("two snapshots", read);
    assert!(running.is_running());
    thread::sleep(Duration::from_millis(500));
    let killed = running.end_by(libc::SIGKILL);
    assert!(killed.was_killed_by(libc::SIGKILL));
    let ended = reported(&file).exits(1);
    assert!(ended.line().contains("the record ends early"), "{ended:#?}");
    let report = ended.report();
    assert!(number(&report["window_seconds"]) > 0.3, "{report}");
    assert!(
        report["incomplete"]
            .as_str()
            .is_some_and(|why| why.contains("ends early"))
    );
    drop(server);
    before.assert_nothing_left();
}

/// On a disk that is full the record ends, and the report does not.
#[test]
fn a_full_disk_ends_the_record_alone() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().display();
    let server = Served::start("process-per-connection");
    let load = server.under_load("--connections 100 --rate 1000 --duration 30s");
    let pid = server.pid();
    let script = format!(
        "mount -t tmpfs -o size=64k none {folder} && \
         {{ $CONNSCOPE record {folder}/run.connscope --pid {pid} --duration 30s --interval 100ms --quiet; echo $?; \
            $CONNSCOPE report {folder}/run.connscope --format json; status=$?; echo; echo $status; \
            umount {folder}; }}"
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .env("CONNSCOPE", CONNSCOPE);
    let ended = Ended::of(command).exits(0);
    let full = format!(
        "cannot write {folder}/run.connscope: no space left on device; the record ends there, and can be read as \
         far as it goes"
    );
    assert!(ended.stderr.contains(&full), "{ended:#?}");
    assert!(ended.stderr.contains("the record ends early"), "{ended:#?}");
    assert!(
        ended.took < Duration::from_secs(25),
        "it goes on without a disk: {ended:#?}"
    );
    let (status, rest) = ended.stdout.split_once('\n').expect("a status");
    assert_eq!(status, "1");
    let (report, status) = rest.trim_end().rsplit_once('\n').expect("a status");
    assert_eq!(status, "1");
    let report: Value = serde_json::from_str(report).expect("a report");
    assert!(number(&report["window_seconds"]) > 0.05, "{report}");
    drop(load);
    drop(server);

    // The report of a run does not need its record.
    let words = "compare --models event-loop --connections 1 --duration 100ms --warm-up 0s --format json --quiet";
    let ended = Ended::of(connscope(&format!("{words} --record /dev/full"))).exits(1);
    assert_eq!(
        ended.line(),
        "connscope: cannot write /dev/full: no space left on device; the record ends there, and can be read as far \
         as it goes"
    );
    assert_eq!(ended.report()["targets"].as_array().map(Vec::len), Some(1));
    before.assert_nothing_left();
}

/// What is not ours to overwrite stays.
#[test]
fn files_that_are_no_records_are_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("mine"), "a letter").expect("room");
    let short =
        "--models event-loop --connections 1 --duration 100ms --warm-up 0s --format json --quiet";
    let compare = |name: &str| {
        connscope(&format!(
            "compare {short} --record {}",
            path(name).display()
        ))
    };
    let ended = Ended::of(compare("mine")).exits(1);
    assert_eq!(
        ended.line(),
        format!(
            "connscope: cannot write {}: it is there already and is no record; name another file, or remove it",
            path("mine").display()
        )
    );
    assert_eq!(
        fs::read_to_string(path("mine")).expect("it is there"),
        "a letter"
    );

    // A record is replaced by a newer one; and nothing is left of one that never began.
    for _ in 0..2 {
        let live = Ended::of(compare("run")).exits(0).stdout;
        assert_eq!(reported(&path("run")).exits(0).stdout, live);
    }
    let words = format!(
        "record {} --pid 4194303 --duration 1s",
        path("none").display()
    );
    Ended::of(connscope(&words)).exits(1);
    assert!(!path("none").exists());
    let ended = Ended::of(compare("no/such")).exits(1);
    let why = "no such file or directory";
    assert_eq!(
        ended.line(),
        format!(
            "connscope: cannot write {}: {why}",
            path("no/such").display()
        )
    );
}

/// What a busy host cannot move.
const STEADY: &str = "errors,unanswered,processes_created,threads_created,tasks,marginal_bytes_per_connection,\
                      reserved_bytes_per_connection,own_bytes_mean,anonymous_bytes,page_table_bytes,kernel_stack_bytes";

/// A server that touches a mebibyte for each connection, and one that does not: memory differs, and nothing else does.
/// That one measured again does not differ.
#[test]
fn a_diff_finds_the_memory_that_was_touched_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = |name: &str, more: &str| {
        let file = folder.path().join(name);
        let words = format!(
            "compare --models thread-per-connection --connections 40 --repeat 5 --duration 200ms --warm-up 0s \
             --rate 1000 --quiet --format json {more} --record {}",
            file.display()
        );
        Ended::of(connscope(&words)).exits(0);
        file.display().to_string()
    };
    let (plain, again) = (record("plain", ""), record("again", ""));
    let touched = record("touched", "--touch 1MiB");
    let diff = |a: &str, b: &str, more: &str| {
        Ended::of(connscope(&format!("diff {a} {b} --format json {more}")))
    };
    let itself = diff(&plain, &plain, "").exits(0).report();
    assert_eq!(itself["differences"], 0, "{itself}");
    let steady = format!("--only {STEADY}");
    let null = diff(&plain, &again, &steady).exits(0).report();
    assert_eq!(null["differences"], 0, "{null}");

    let found = diff(&plain, &touched, &steady).exits(3).report();
    let figures = found["targets"][0]["figures"].as_array().expect("figures");
    let differs = |figure: &&Value| figure["verdict"] == "different";
    let different: Vec<_> = figures.iter().filter(differs).collect();
    let names: Vec<_> = different
        .iter()
        .filter_map(|it| it["figure"].as_str())
        .collect();
    // A larger mapping is reserved, too, and needs page tables.
    let expected = [
        "marginal_bytes_per_connection",
        "reserved_bytes_per_connection",
        "anonymous_bytes",
        "page_table_bytes",
    ];
    assert_eq!(names, expected);
    let more = number(&different[0]["difference"]);
    assert!((more / f64::from(1 << 20) - 1.0).abs() < 0.05, "{more}");
}
