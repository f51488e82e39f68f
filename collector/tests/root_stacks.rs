//! Stacks of a program whose functions, and the time in them, are known.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use connscope::{
    record::{Gathered, Reader},
    snapshot::stacks::{FrameKind, Lost, Seen, SeenAt, Stacks, Taken},
};
use leftovers::Before;
use program::*;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Builds the program, with frame pointers or without.
fn built(folder: &Path, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks/known.c");
    let program = folder.join("known");
    let built = Command::new("cc")
        .args(["-O1", "-fno-optimize-sibling-calls", "-pthread", "-o"])
        .arg(&program)
        .args(options)
        .arg(source)
        .status();
    assert!(built.expect("cc is installed").success());
    program
}

/// The stacks in a record of some seconds of it.
fn recorded(folder: &Path, program: &Path) -> (PathBuf, Stacks) {
    let running = Running::start(Command::new(program));
    let file = folder.join("run.connscope");
    let words = format!(
        "record {} --pid {} --duration 4s --stacks --quiet",
        file.display(),
        running.pid()
    );
    Ended::of(connscope(&words)).exits(0);
    let mut gathered = Gathered::default();
    let entries = Reader::begin(File::open(&file).expect("a record")).expect("a record");
    entries.for_each(|entry| gathered.take(entry.expect("an entry")));
    let stacks = gathered.whole().expect("a record").stacks;
    (file, stacks.expect("stacks"))
}

/// Whether the functions of these names follow one another in a stack.
fn has(stacks: &Stacks, seen: &Seen, functions: &[&str]) -> bool {
    let names = seen
        .stack
        .iter()
        .map(|it| &*stacks.frames[*it as usize].name);
    let names: Vec<&str> = names.collect();
    names.windows(functions.len()).any(|some| some == functions)
}

fn samples(stacks: &Stacks, functions: &[&str]) -> f64 {
    let seen = stacks.seen.iter();
    let seen = seen.filter(|seen| seen.of == SeenAt::OnCpu && has(stacks, seen, functions));
    seen.map(|seen| seen.times).sum::<u64>() as f64
}

fn asleep(stacks: &Stacks, reason: &str, functions: &[&str]) -> f64 {
    let of = SeenAt::Slept(reason.to_owned());
    let seen = stacks.seen.iter();
    let seen = seen.filter(|seen| seen.of == of && has(stacks, seen, functions));
    seen.map(|seen| seen.asleep_ns).sum::<u64>() as f64 / 1e9
}

#[track_caller]
fn assert_near(what: &str, seen: f64, expected: f64, share: f64) {
    let off = (seen - expected).abs() / expected;
    assert!(off <= share, "{what}: {seen}, expected {expected}");
}

#[test]
fn known_functions_have_their_shares() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = built(folder.path(), &["-fno-omit-frame-pointer"]);
    let (file, stacks) = recorded(folder.path(), &program);
    let length = stacks.length_ns() as f64 / 1e9;
    assert_near("length", length, 4.0, 0.05);
    // Three to one: of some 300 samples, 0.75 with a standard deviation of 0.025.
    let long = samples(&stacks, &["burner", "burn_both", "burn_long", "spin"]);
    let short = samples(&stacks, &["burner", "burn_both", "burn_short", "spin"]);
    let share = long / (long + short);
    assert!((0.67..=0.83).contains(&share), "{long} and {short} samples");
    // Children that lived for some milliseconds, by the address space of the process that forked them.
    let in_child = samples(&stacks, &["main", "burn_in_child", "spin"]);
    assert!(in_child >= 10.0, "{in_child} samples in children");
    let books = stacks.books.expect("known in the end");
    let all = samples(&stacks, &[]) * stacks.period_ns as f64;
    assert_near("CPU time", all, books.cpu_ns as f64, 0.08);
    // Those that only sleep do so nearly all the time.
    let sleeper = asleep(
        &stacks,
        "timer",
        &["sleeper", "sleep_for_ever", "sleep_a_while"],
    );
    assert_near("sleeper", sleeper, length, 0.05);
    let holder = asleep(&stacks, "timer", &["holder", "hold_lock", "sleep_a_while"]);
    assert_near("holder", holder, length, 0.05);
    let waiter = asleep(&stacks, "lock", &["waiter", "wait_for_lock"]);
    assert_near("waiter", waiter, length, 0.05);
    let parent = asleep(&stacks, "child", &["main", "wait_for_child"])
        + asleep(&stacks, "timer", &["main", "sleep_a_while"]);
    assert_near("parent", parent, length, 0.08);
    let of_all = |time: fn(&Seen) -> u64| stacks.seen.iter().map(time).sum::<u64>() as f64;
    let slept = of_all(|seen| seen.asleep_ns);
    assert_near("asleep", slept, books.asleep_ns as f64, 0.01);
    assert_eq!(stacks.lost, Lost::default());
    assert_graphs(folder.path(), &file);
    before.assert_nothing_left();
}

/// The graphs of a record are the same each time, and show what is in it.
#[track_caller]
fn assert_graphs(folder: &Path, file: &Path) {
    let written = |name: &str| {
        let svg = folder.join(name);
        let words = format!("report {} --flamegraph {}", file.display(), svg.display());
        let ended = Ended::of(connscope(&words)).exits(0);
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
        fs::read_to_string(svg).expect("a file")
    };
    let svg = written("a.svg");
    assert!(svg == written("b.svg"), "two are not the same");
    let words = [
        "burn_long (",
        "burn_in_child (",
        "wait_for_lock (",
        "asleep: lock (",
        "asleep: timer (",
        "waiting for a CPU (",
        "by the books",
    ];
    for word in words {
        assert!(svg.contains(word), "no {word}");
    }
}

/// What cannot be named or followed is shown for what it is, with all its time.
#[test]
fn without_names_and_frame_pointers_the_time_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = built(folder.path(), &["-fomit-frame-pointer", "-s"]);
    let (_, stacks) = recorded(folder.path(), &program);
    let books = stacks.books.expect("known in the end");
    let slept: u64 = stacks.seen.iter().map(|seen| seen.asleep_ns).sum();
    assert_near("asleep", slept as f64, books.asleep_ns as f64, 0.01);
    let on_cpu = stacks.seen.iter().filter(|seen| seen.of == SeenAt::OnCpu);
    let (mut all, mut nameless, mut cut_short) = (0, 0, 0);
    for seen in on_cpu {
        let frames = seen.stack.iter().map(|it| &stacks.frames[*it as usize]);
        let mut user = frames.filter(|frame| frame.kind == FrameKind::UserNameless);
        all += seen.times;
        nameless += u64::from(user.any(|frame| frame.name.starts_with("known+0x"))) * seen.times;
        cut_short += u64::from(seen.taken == Taken::CutShort) * seen.times;
    }
    // The rest was in the kernel, as it began or ended.
    assert!(all > 100 && nameless * 20 > all * 19, "{nameless} of {all}");
    assert!(cut_short * 10 > all * 9, "{cut_short} of {all}");
}

#[test]
fn a_record_without_stacks_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("run.connscope");
    let server = Served::start("event-loop");
    let words = format!(
        "record {} --pid {} --duration 300ms --quiet",
        file.display(),
        server.pid()
    );
    Ended::of(connscope(&words)).exits(0);
    let svg = folder.path().join("a.svg");
    let words = format!("report {} --flamegraph {}", file.display(), svg.display());
    Ended::of(connscope(&words)).exits(1).says(
        "connscope: cannot make a flame graph: the record holds no stacks; record it with --stacks",
    );
    assert!(!svg.exists());
}

/// Stacks end by themselves, and the watch goes on.
#[test]
fn stacks_end_when_their_time_is_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let svg = folder.path().join("a.svg");
    let server = Served::start("thread-per-connection");
    let load = server.under_load("--connections 20 --rate 2000 --duration 20s");
    let file = folder.path().join("run.connscope");
    let words = format!(
        "record {} --pid {} --duration 3s --stacks 1s",
        file.display(),
        server.pid()
    );
    let ended = Ended::of(connscope(&words)).exits(0);
    assert!(
        ended.stderr.contains("stacks were taken for 1."),
        "{ended:#?}"
    );
    let words = format!(
        "attach --pid {} --duration 1s --flamegraph {} --quiet",
        server.pid(),
        svg.display()
    );
    let ended = Ended::of(connscope(&words)).exits(0);
    assert!(ended.stdout.contains("run-queue wait"), "{ended:#?}");
    let svg = fs::read_to_string(svg).expect("a file");
    assert!(svg.contains("asleep: socket"), "the server's threads read");
    drop(load);
}
