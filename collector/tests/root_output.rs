//! Where reports go, and where they cannot.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use leftovers::Before;
use program::*;
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};

const SHORT: &str =
    "compare --models event-loop --connections 1 --duration 100ms --warm-up 0s --format json";
const INSTEAD: &str = "no space left on device; the report is on stdout instead";

/// The names of the files in a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is ours").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[track_caller]
fn is_report(text: &str) {
    let report: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(
        report["targets"].as_array().map(Vec::len),
        Some(1),
        "{report:#}"
    );
}

#[test]
fn a_file_is_there_whole_and_alone() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run.json");
    fs::write(&out, "an older report\n".repeat(10_000)).expect("room");
    let ended = Ended::of(connscope(&format!(
        "{SHORT} --quiet --out {}",
        out.display()
    )))
    .exits(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    is_report(&fs::read_to_string(&out).expect("a report"));
    assert_eq!(files(folder.path()), ["run.json"]);
    before.assert_nothing_left();
}

#[test]
fn a_link_is_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, link) = (
        folder.path().join("run.json"),
        folder.path().join("latest.json"),
    );
    fs::write(&out, "an older report").expect("room");
    std::os::unix::fs::symlink(&out, &link).expect("room");
    Ended::of(connscope(&format!("{SHORT} --out {}", link.display()))).exits(0);
    assert!(link.is_symlink());
    is_report(&fs::read_to_string(&out).expect("a report"));
    assert_eq!(files(folder.path()), ["latest.json", "run.json"]);

    let script = format!("$CONNSCOPE {SHORT} --out /dev/stdout > {}", out.display());
    Ended::of(shell(&script)).exits(0);
    is_report(&fs::read_to_string(&out).expect("a report"));
    assert!(Path::new("/dev/stdout").is_symlink());
    assert_eq!(files(folder.path()), ["latest.json", "run.json"]);
}

#[test]
fn a_bad_place_costs_no_measurement() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::write(place("file"), "").expect("room");
    let fifo = place("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .is_ok_and(|status| status.success())
    );
    let missing = "no such file or directory; make its folder first";
    for (out, why) in [
        (place("missing/run.json"), missing),
        (place("missing/"), "is a directory"),
        (place("file/run.json"), "not a directory"),
        (folder.path().display().to_string(), "is a directory"),
        (fifo, "no such device or address"),
    ] {
        let ended = Ended::of(connscope(&format!("compare --duration 30s --out {out}"))).exits(1);
        assert!(ended.took < Duration::from_secs(3), "{ended:#?}");
        let ended = ended.says(&format!("connscope: cannot write {out}: {why}"));
        assert_eq!(ended.stdout, "");
        let own = std::process::id();
        let attach = format!("attach --pid {own} --duration 30s --out {out}");
        let ended = Ended::of(connscope(&attach)).exits(1);
        ended.says(&format!("connscope: cannot write {out}: {why}"));
    }
    assert_eq!(files(folder.path()), ["fifo", "file"]);
    before.assert_nothing_left();
}

#[test]
fn a_full_disk() {
    let before = Before::now();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().display();
    let script = format!(
        "mount -t tmpfs -o size=4k none {folder} && \
         {{ $CONNSCOPE {SHORT} --repeat 2 --out {folder}/run.json; status=$?; ls -A {folder} >&2; \
            umount {folder}; exit $status; }}"
    );
    let mut command = Command::new("unshare");
    target();
    command
        .args(["--mount", "sh", "-c", &script])
        .env("CONNSCOPE", CONNSCOPE);
    let ended = Ended::of(command).exits(1);
    let ended = ended.says(&format!(
        "connscope: cannot write {folder}/run.json: {INSTEAD}"
    ));
    is_report(&ended.stdout);

    let ended = Ended::of(connscope(&format!("{SHORT} --out /dev/full"))).exits(1);
    let ended = ended.says(&format!("connscope: cannot write /dev/full: {INSTEAD}"));
    is_report(&ended.stdout);
    before.assert_nothing_left();
}

#[test]
fn a_full_stdout() {
    let before = Before::now();
    let ended = Ended::of(shell(&format!("$CONNSCOPE {SHORT} > /dev/full"))).exits(1);
    ended.says("connscope: cannot write to stdout: no space left on device");
    let both = format!("$CONNSCOPE {SHORT} --out /dev/full > /dev/full");
    Ended::of(shell(&both)).exits(1).says(
        "connscope: cannot write /dev/full: no space left on device, and cannot write to stdout: \
         no space left on device",
    );
    // Nobody can be told, but the status tells.
    let ended = Ended::of(shell(&format!(
        "$CONNSCOPE {SHORT} > /dev/full 2> /dev/full"
    )))
    .exits(1);
    assert_eq!(ended.stderr, "");
    Ended::of(shell(&format!("$CONNSCOPE {SHORT} >&- 2>&-"))).exits(0);
    before.assert_nothing_left();
}

#[test]
fn a_reader_who_has_seen_enough() {
    let before = Before::now();
    let script = format!("{{ $CONNSCOPE {SHORT}; echo status $? >&2; }} | head -c 1");
    let ended = Ended::of(shell(&script)).exits(0).says("status 0");
    assert_eq!(ended.stdout, "{");
    let script = format!("{{ $CONNSCOPE {SHORT}; echo status $? >&2; }} | true");
    Ended::of(shell(&script)).exits(0).says("status 0");
    before.assert_nothing_left();
}

/// Runs connscope on a terminal and returns what that shows.
fn on_terminal(environment: &str, words: &str) -> String {
    let mut command = Command::new("script");
    target();
    let inner = format!("env {environment} {CONNSCOPE} {words}");
    command.args(["--quiet", "--return", "--command", &inner, "/dev/null"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    Ended::of(command).exits(0).stdout
}

/// Terminal escapes that set a colour or an emphasis: they end with `m`.
fn colors(shown: &str) -> usize {
    let escapes = shown.split("\u{1b}[").skip(1);
    let kinds = escapes.filter_map(|rest| rest.chars().find(char::is_ascii_alphabetic));
    kinds.filter(|kind| *kind == 'm').count()
}

#[test]
fn terminals() {
    let words = SHORT.replace("json", "table");
    let progress = "100ms --warm-up 2s";
    let slow = words.replace("100ms --warm-up 0s", progress);
    let shown = on_terminal("NO_COLOR=1", &slow);
    assert!(
        shown.contains("event-loop at 1 connection"),
        "no progress: {shown}"
    );
    assert_eq!(colors(&shown), 0, "{shown:?}");
    assert!(colors(&on_terminal("A=1", &words)) > 0);
    let shown = on_terminal("NO_COLOR=1", &format!("{slow} --quiet"));
    assert!(
        !shown.contains('\u{1b}') && !shown.contains("at 1 connection"),
        "{shown:?}"
    );
    assert!(shown.contains("throughput"), "{shown}");
}

#[test]
fn windows_in_which_nothing_happens() {
    for format in ["json", "table"] {
        for words in [
            "--rate 1 --duration 100ms",
            "--workload idle --duration 100ms",
            "--touch 1 --duration 100ms --rate 10",
        ] {
            let ended = Ended::of(connscope(&format!(
                "compare --models thread-per-connection --connections 1,3 --warm-up 0s --format {format} {words}"
            )));
            let ended = ended.exits(0);
            // Less than nothing is what a difference of two clocks may be, by a little; docs/json.md.
            let garbage = |word: &&str| {
                ["-0", "-0.0"].contains(word)
                    || ["NaN", "inf", "18446744073"]
                        .iter()
                        .any(|one| word.starts_with(one))
            };
            let mut numbers = ended.stdout.split(|c: char| c.is_whitespace() || c == ',');
            assert_eq!(numbers.find(garbage), None, "{words}: {}", ended.stdout);
            assert_eq!(ended.stderr, "");
        }
    }
}

/// Who is killed cannot tidy up, so there is nothing to tidy up.
#[test]
fn nothing_is_left_of_who_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run.json");
    let mut child = connscope(&format!("calibrate --quiet --out {}", out.display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let descriptors = format!("/proc/{}/fd", child.id());
    let holds_file = || {
        let links = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        let mut paths = links.filter_map(|link| fs::read_link(link.path()).ok());
        paths.any(|path| path.starts_with(folder.path()))
    };
    let begun = std::time::Instant::now();
    while !holds_file() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no file is open");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(
        files(folder.path()).is_empty(),
        "{:?}",
        files(folder.path())
    );
}
