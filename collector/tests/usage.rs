//! Bad usage is found before anything is measured: status 2, and a message that names the mistake.

#[path = "support/program.rs"]
mod program;

use program::*;
use std::{process::Command, time::Duration};

/// Fails unless connscope refuses these arguments with a message that has all of `words`.
#[track_caller]
fn refuses(arguments: &[&str], words: &[&str]) -> String {
    let mut command = Command::new(CONNSCOPE);
    target();
    command.args(arguments);
    let ended = Ended::of(command).exits(2);
    assert_eq!(ended.stdout, "", "{ended:#?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in {ended:#?}");
    }
    assert!(ended.took < Duration::from_secs(5), "{ended:#?}");
    ended.stderr
}

/// The same for an option of `compare` and the value it is given; the message is ours, of one line.
#[track_caller]
fn refuses_value(option: &str, value: &str, words: &[&str]) {
    let said = refuses(&["compare", option, value], words);
    assert!(said.starts_with("connscope: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn models() {
    let known =
        "known are process-per-connection, process-pool, thread-per-connection, thread-pool";
    refuses_value("--models", "prefork", &["unknown model \"prefork\"", known]);
    refuses_value("--models", "", &["unknown model \"\"", known]);
    refuses_value("--models", "event-loop,", &["unknown model \"\"", known]);
    refuses_value("--models", "event-loop,,x", &["unknown model \"\"", known]);
    refuses_value("--models", "../sh", &["unknown model \"../sh\""]);
    refuses_value(
        "--models",
        "event-loop,event-loop",
        &["event-loop is given twice in --models", "use --repeat"],
    );
}

/// A reference server of another language's runtime is a program of its own, which may be missing.
#[test]
fn a_model_that_was_not_built_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let alone = folder.path().join("connscope-target");
    std::fs::copy(program::target(), &alone).expect("a copy");
    let alone = alone.to_str().expect("a plain path");
    for model in ["goroutines", "virtual-threads"] {
        let arguments = ["compare", "--target-binary", alone, "--models", model];
        let said = refuses(&arguments, &[model]);
        let expected =
            format!("connscope: the model {model} was not built; build it by: cargo xtask build\n");
        assert_eq!(said, expected);
    }
}

#[test]
fn numbers_of_connections() {
    refuses_value(
        "--connections",
        "1,10,1",
        &["1 is given twice in --connections", "use --repeat"],
    );
    for value in ["", "1,,x", "1,,10", "x", "1.5", "NaN"] {
        refuses(
            &["compare", "--connections", value],
            &["--connections", "invalid value"],
        );
    }
    for value in ["0", "1,0", "1000000000000", "50001", "-1"] {
        let argument = format!("--connections={value}");
        refuses(
            &["compare", &argument],
            &["--connections", "is not in 1..=50000"],
        );
    }
}

#[test]
fn other_numbers() {
    for (option, range) in [("--rate", "1..=10000000"), ("--repeat", "1..=1000")] {
        for value in ["0", "1000000000000", "-5"] {
            let argument = format!("{option}={value}");
            refuses(&["compare", &argument], &[option, range]);
        }
        refuses(&["compare", option, "NaN"], &[option, "invalid digit"]);
    }
}

#[test]
fn times() {
    let (unit, range) = (
        "write a number and a unit",
        "out of range; between 100ms and 1day",
    );
    for (value, words) in [
        ("0s", range),
        ("99ms", range),
        ("2days", range),
        ("1000000000000s", range),
        ("5", unit),
        ("-1s", unit),
        ("inf", unit),
        ("99999999999999999999999s", unit),
        ("", unit),
    ] {
        let argument = format!("--duration={value}");
        refuses(&["compare", &argument], &["--duration", words]);
        refuses(&["attach", "--pid=1", &argument], &["--duration", words]);
    }
    refuses(
        &["compare", "--warm-up=2h"],
        &["--warm-up", "between 0s and 1h"],
    );
    // The load generator allows less than we would.
    refuses_value("--duration", "2h", &["--duration", "not within 1ms to 1h"]);
}

#[test]
fn what_churn_has_no_connections_for() {
    for trial in ["--stall", "--crash"] {
        let words = ["compare", "--workload", "churn", trial];
        refuses(
            &words,
            &["connscope: --workload churn holds no connections"],
        );
    }
}

#[test]
fn what_only_the_load_generator_knows() {
    refuses_value(
        "--workload",
        "tpc-c",
        &[
            "'tpc-c' for '--workload",
            "possible values: ",
            "get-set",
            "ping",
        ],
    );
    refuses_value("--workload", "", &["'--workload"]);
    refuses_value(
        "--booking",
        "hope",
        &["'hope' for '--booking", "optimistic"],
    );
    let example = "write it like 4096, 64KiB";
    refuses_value(
        "--touch",
        "1TiB",
        &["'1TiB' for '--touch", "not a size", example],
    );
    refuses_value(
        "--touch",
        "2GiB",
        &["'2GiB' for '--touch", "not within 1 to 1GiB"],
    );
    refuses_value(
        "--touch",
        "0",
        &["'0' for '--touch", "not within 1 to 1GiB"],
    );
    refuses_value(
        "--touch",
        "lots",
        &["'lots' for '--touch", "not a size", example],
    );
    for word in ["--touch=-1", "--workload=--help"] {
        let said = refuses(
            &["compare", word],
            &[word.split('=').next().expect("a word")],
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn processes_to_attach_to() {
    refuses(
        &["attach", "--port", "0"],
        &["--port", "0 is not in 1..=65535"],
    );
    for value in ["", "x", "1,,2", "1.5"] {
        refuses(&["attach", "--pid", value], &["--pid", "invalid value"]);
    }
    for value in ["0", "-1", "4194305", "1000000000000"] {
        let argument = format!("--pid={value}");
        refuses(&["attach", &argument], &["--pid", "is not in 1..=4194304"]);
    }
    let own = std::process::id();
    let said = refuses(&["attach", "--pid", &format!("{own},{own}")], &[]);
    assert_eq!(said, format!("connscope: pid {own} is given twice\n"));
}

#[test]
fn top_without_a_terminal() {
    let own = std::process::id();
    let said = Ended::of(connscope(&format!("top --pid {own}"))).exits(1);
    said.says(
        "connscope: top needs a terminal, and stdout is none; `connscope attach` writes a report to \
         anything",
    );
    let range = "out of range; between 100ms and 1m";
    for (value, words) in [("99ms", range), ("2m", range), ("1", "a number and a unit")] {
        let argument = format!("--interval={value}");
        refuses(&["top", &argument], &["--interval", words]);
    }
}

#[test]
fn operations_to_calibrate() {
    let known = "known are system_call, wake_up, thread_round_trip";
    for value in ["forks", "", "fork,"] {
        refuses(
            &["calibrate", "--only", value],
            &["unknown operation", known],
        );
    }
    let said = refuses(&["calibrate", "--only", "fork,fork"], &[]);
    assert_eq!(said, "connscope: fork is given twice in --only\n");
}

#[test]
fn claims_to_put_to_the_test() {
    let known = "known are switch-process, switch-thread";
    for value in ["race-condition", "", "race,"] {
        refuses(&["claims", "--only", value], &["unknown claim", known]);
    }
    let said = refuses(&["claims", "--only", "race,race"], &[]);
    assert_eq!(said, "connscope: race is given twice in --only\n");
    refuses(
        &["claims", "--postgres", "70000"],
        &["cannot read --postgres", "give a port, or a URL"],
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.toml");
    let text = "[[claim]]\nid = \"mine\"\nclaim = \"?\"\n[[claim.test]]\nmeasure = \"frok\"\nat_most = 1\n";
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("a path");
    let wrong = format!("connscope: {file}:5: measure: no measure \"frok\"; there are ");
    refuses(&["claims", "--file", file], &[&wrong, "fork, "]);
    refuses(
        &["claims", "--file", "/nowhere/mine.toml"],
        &["cannot read /nowhere/mine.toml: no such file"],
    );
    let list = Ended::of(connscope("claims --list")).exits(0).stdout;
    for line in [
        "\n  fork-50mb ",
        "\n  fork (seconds, by memory of the parent)\n",
    ] {
        assert!(list.contains(line), "{list}");
    }
}

#[test]
fn commands() {
    refuses(&[], &["Usage: connscope", "compare", "attach", "doctor"]);
    refuses(&["measure"], &["unrecognized subcommand 'measure'"]);
    refuses(
        &["compare", "--format", "yaml"],
        &["--format", "table, json"],
    );
    refuses(
        &["compare", "event-loop"],
        &["unexpected argument 'event-loop'"],
    );
}

#[test]
fn too_few_descriptors() {
    let own = std::process::id();
    let limited = |limit: &str, words: &str| {
        let mut command = Command::new("prlimit");
        target();
        command.args([limit, CONNSCOPE]).args(words.split(' '));
        Ended::of(command)
    };
    limited("--nofile=64:256", "compare --connections 10,1000")
        .exits(2)
        .says(
            "connscope: cannot hold 1000 connections: the hard limit of open files \
             (RLIMIT_NOFILE) is 256; raise it with `ulimit -n 1064`, or ask for at most 192",
        );
    limited("--nofile=24:24", "compare --connections 1")
        .exits(2)
        .says(
            "connscope: cannot hold 1 connection: the hard limit of open files (RLIMIT_NOFILE) \
             is 24; raise it with `ulimit -n 65`",
        );
    limited("--nofile=24:24", &format!("attach --pid {own}"))
        .exits(1)
        .says(
            "connscope: cannot load the probes: the hard limit of open files (RLIMIT_NOFILE) is \
             24; raise it with `ulimit -n 64`",
        );
}

#[test]
fn programs_that_are_not_connscope_target() {
    let ended = Ended::of(connscope(
        "compare --target-binary /nowhere/connscope-target",
    ))
    .exits(1);
    ended.says(
        "connscope: cannot find /nowhere/connscope-target: no such file; give the \
         connscope-target binary with --target-binary",
    );
    let ended = Ended::of(connscope("compare --target-binary /bin/true")).exits(1);
    ended.says(
        "connscope: cannot use /bin/true: it serves no models; give the connscope-target \
                binary with --target-binary",
    );
    let ended = Ended::of(connscope("compare --target-binary /etc/passwd")).exits(1);
    ended.says("connscope: cannot run /etc/passwd: permission denied");
}

#[test]
fn records() {
    refuses(&["record"], &["<FILE>"]);
    refuses(
        &["record", "run", "--interval=1ms"],
        &["--interval", "between 100ms and 1m"],
    );
    refuses(
        &["report", "run", "--html", "page", "--format", "json"],
        &["--html <PAGE>", "cannot be used with"],
    );
    let known = "known are throughput_per_second, latency_p50_seconds";
    let said = refuses(
        &["diff", "a", "b", "--only", "speed"],
        &["unknown figure \"speed\"", known],
    );
    assert!(said.starts_with("connscope: "), "{said}");
    refuses(
        &["diff", "a", "b", "--least-change=101"],
        &["between 0 and 100"],
    );
    for (file, why) in [
        ("/no/such", "no such file or directory"),
        ("/", "is a directory"),
        (
            "/dev/null",
            "nothing was recorded before it ended; record it again",
        ),
        (
            "/etc/passwd",
            "it is no record of connscope; `connscope record` and `--record FILE` write them",
        ),
    ] {
        for words in [format!("report {file}"), format!("diff {file} {file}")] {
            let ended = Ended::of(connscope(&words)).exits(1);
            ended.says(&format!("connscope: cannot read {file}: {why}"));
        }
    }
}
