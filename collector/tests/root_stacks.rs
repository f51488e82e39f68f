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
    functions.is_empty() || names.windows(functions.len()).any(|some| some == functions)
}

fn samples(stacks: &Stacks, functions: &[&str]) -> f64 {
    let seen = stacks.seen.iter();
    let seen = seen.filter(|seen| seen.of == SeenAt::OnCpu && has(stacks, seen, functions));
    seen.map(|seen| seen.times).sum::<u64>() as f64
}

/// Fails unless who has these functions in its stacks is off a CPU all the time, within that share, and sleeps for
/// these reasons alone.
#[track_caller]
fn assert_sleeps(stacks: &Stacks, reasons: &[&str], functions: &[&str], share: f64) {
    let (mut off, mut asleep, mut for_others) = (0, 0, 0);
    for seen in stacks
        .seen
        .iter()
        .filter(|seen| has(stacks, seen, functions))
    {
        off += seen.asleep_ns + seen.waiting_ns;
        match &seen.of {
            SeenAt::Slept(reason) if reasons.contains(&&**reason) => asleep += seen.asleep_ns,
            _ => for_others += seen.asleep_ns,
        }
    }
    let length = stacks.length_ns();
    assert_near(&functions.join(" "), off as f64, length as f64, share);
    // On a busy host they wait for a CPU too.
    assert!(
        asleep > length / 4,
        "{functions:?} slept {asleep} of {length}"
    );
    assert!(
        for_others * 100 <= asleep,
        "{functions:?}: {for_others} of {asleep}"
    );
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
    assert!(length >= 4.0, "{length} s");
    // Three to one, within four standard deviations.
    let long = samples(&stacks, &["burner", "burn_both", "burn_long", "spin"]);
    let short = samples(&stacks, &["burner", "burn_both", "burn_short", "spin"]);
    let (all, share) = (long + short, long / (long + short));
    let allowed = 4.0 * (0.25 * 0.75 / all).sqrt();
    assert!(all >= 20.0, "{all} samples");
    assert!(
        (share - 0.75).abs() <= allowed,
        "{long} and {short} samples"
    );
    // Children that lived for some milliseconds, by the address space of the process that forked them.
    let in_child = samples(&stacks, &["main", "burn_in_child", "spin"]);
    assert!(in_child >= 5.0, "{in_child} samples in children");
    let books = stacks.books.expect("known in the end");
    // A count of samples has a standard deviation of its root.
    let all = samples(&stacks, &[]);
    let sampled = all * stacks.period_ns as f64;
    let allowed = 0.03 + 3.0 / all.sqrt();
    // A clock that the hypervisor holds up ticks less, and not as much less as is charged.
    let (least, most) = (books.cpu_ns as f64, books.running_ns as f64);
    assert!(
        sampled >= least * (1.0 - allowed) && sampled <= most * (1.0 + allowed),
        "{sampled} ns sampled, {least} to {most} by the books"
    );
    let timer = ["timer"];
    assert_sleeps(
        &stacks,
        &timer,
        &["sleeper", "sleep_for_ever", "sleep_a_while"],
        0.05,
    );
    assert_sleeps(&stacks, &timer, &["holder", "hold_lock"], 0.05);
    assert_sleeps(&stacks, &["lock"], &["waiter", "wait_for_lock"], 0.05);
    // It forks too.
    let parent = stacks.seen.iter().filter(|seen| seen.role == "main");
    let parent: u64 = parent.map(|seen| seen.asleep_ns + seen.waiting_ns).sum();
    assert_near("parent", parent as f64 / 1e9, length, 0.1);
    let waits = |seen: &&Seen| has(&stacks, seen, &["main", "wait_for_child"]);
    let mut waits = stacks.seen.iter().filter(waits).map(|seen| &seen.of);
    assert!(waits.any(|of| *of == SeenAt::Slept("child".to_owned())));
    let of_all = |time: fn(&Seen) -> u64| stacks.seen.iter().map(time).sum::<u64>() as f64;
    let slept = of_all(|seen| seen.asleep_ns);
    assert_near("asleep", slept, books.asleep_ns as f64, 0.02);
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
    assert_near("asleep", slept as f64, books.asleep_ns as f64, 0.02);
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
    assert!(all > 20 && nameless * 10 > all * 9, "{nameless} of {all}");
    // Others skip to where their thread began, by what functions without frame pointers leave alone.
    assert!(cut_short * 4 > all, "{cut_short} of {all}");
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
        ended.stderr.contains("stacks were taken for "),
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
