//! What the kernel refuses to have read in the middle of a watch ends there and is said to; the watch goes on.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use clap::Parser;
use connscope::{
    cli::{Cli, Command},
    command,
    record::{Content, Gathered, Reader, Record},
    snapshot::Unavailable,
};
use program::*;
use servers::mysql::{Kind, Mysql};
use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

/// Runs `connscope record` in this process, with these further options, and has the files that `which` knows by their
/// lines in /proc/self/fdinfo lead nowhere after a while.
fn recorded(file: &Path, options: &str, which: impl Fn(&str) -> bool + Sync) -> Record {
    let server = Served::start("event-loop");
    let load = server.under_load("--connections 10 --rate 2000 --duration 20s");
    let words = format!(
        "connscope --quiet record {} --pid {} {options}",
        file.display(),
        server.pid()
    );
    let cli = Cli::try_parse_from(words.split_whitespace()).expect("good usage");
    assert!(matches!(cli.command, Command::Record(_)));
    thread::scope(|scope| {
        scope.spawn(|| {
            let files = wait_for("descriptor", || {
                Some(descriptors(&which)).filter(|files| !files.is_empty())
            });
            thread::sleep(Duration::from_secs(3));
            let nowhere = File::open("/dev/null").expect("it is there");
            for file in files {
                // SAFETY: what has this number is closed by its owner, and is of no more use to it.
                assert!(unsafe { libc::dup2(nowhere.as_raw_fd(), file) } >= 0);
            }
        });
        let ended = command::run(&cli).expect("the watch goes on");
        assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::SUCCESS));
    });
    drop(load);
    let mut gathered = Gathered::default();
    let entries = Reader::begin(File::open(file).expect("a record")).expect("a record");
    entries.for_each(|entry| gathered.take(entry.expect("an entry")));
    gathered.whole().expect("a record")
}

fn descriptors(which: impl Fn(&str) -> bool) -> Vec<i32> {
    let all = fs::read_dir("/proc/self/fdinfo").expect("it is there");
    let all = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let lines = |file: &i32| fs::read_to_string(format!("/proc/self/fdinfo/{file}"));
    all.filter(|file| lines(file).is_ok_and(|lines| which(&lines)))
        .collect()
}

/// The number behind a word in these lines.
fn number(lines: &str, word: &str) -> Option<u32> {
    let line = lines.lines().find_map(|line| line.strip_prefix(word))?;
    line.trim().parse().ok()
}

#[track_caller]
fn assert_unavailable(record: &Record, measure: &str, object: &str) {
    let Content::Recording(recording) = &record.content else {
        panic!("{:?}", record.content);
    };
    let mut unavailable = recording.unavailable.iter();
    let reason = unavailable.find(|it| it.measure == measure);
    let Some(Unavailable { reason, .. }) = reason else {
        panic!("{measure} is not among {:?}", recording.unavailable);
    };
    assert!(
        reason.starts_with("cannot read ") && reason.contains(object),
        "{reason}"
    );
    let run = &recording.runs[0];
    assert_eq!(recording.incomplete, None);
    let seconds = (run.end.at_ns - run.start.at_ns) as f64 / 1e9;
    assert!(seconds >= 5.9, "the watch ended after {seconds} s");
}

fn is_map(lines: &str, name: &str) -> bool {
    let id = number(lines, "map_id:");
    id.is_some_and(|id| {
        let mut maps = aya::maps::loaded_maps().flatten();
        maps.any(|map| map.id() == id && map.name_as_str() == Some(name))
    })
}

#[test]
fn stacks_that_cannot_be_read_any_more_are_kept_as_far_as_they_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let record = recorded(&file, "--duration 6s --stacks", |lines| {
        is_map(lines, "stack_counts")
    });
    for measure in ["on_cpu_stacks", "off_cpu_stacks"] {
        assert_unavailable(&record, measure, "stack_counts");
    }
    let stacks = record.stacks.expect("those before it");
    assert!(stacks.length_ns() < 5_500_000_000, "{}", stacks.length_ns());
    assert!(stacks.books.is_none() && !stacks.seen.is_empty());
    let svg = folder.path().join("a.svg");
    let words = format!("report {} --flamegraph {}", file.display(), svg.display());
    Ended::of(connscope(&words)).exits(0);
}

#[test]
fn a_timeline_that_cannot_be_read_any_more_ends_early() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let is_standing = |lines: &str| {
        let id = number(lines, "prog_id:").filter(|_| lines.contains("link_type:\titer"));
        id.is_some_and(|id| {
            let mut programs = aya::programs::loaded_programs().flatten();
            programs.any(|it| it.id() == id && it.name_as_str() == Some("on_standing"))
        })
    };
    let record = recorded(&file, "--duration 6s --timeline 4s", is_standing);
    assert_unavailable(&record, "timeline", "on_standing");
    let out = folder.path().join("run.pftrace");
    let words = format!("report {} --timeline {}", file.display(), out.display());
    let ended = Ended::of(connscope(&words)).exits(1);
    assert!(
        ended.line().contains("; it ended early: after 4.") && ended.line().contains("on_standing"),
        "{ended:#?}"
    );
    assert!(fs::metadata(out).expect("a trace").len() > 10_000);
}

#[test]
fn a_watch_goes_on_without_those_that_wait_at_sockets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Mysql::start(Kind::Mysql, &[]);
    let words = format!("--duration 6s --mysql {} --busy-connections", server.port());
    let record = recorded(&file, &words, |lines| is_map(lines, "socket_waiters"));
    assert_unavailable(&record, "busy_connections", "socket_waiters");
}
