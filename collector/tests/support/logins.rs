//! Watches with a login: how they are asked for, and what they told. The password is shown nowhere.
#![allow(dead_code, unreachable_pub)]

use crate::program::{Ended, connscope};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

pub const PASSWORD: &str = "ca:t\\ch me";

/// A watch by these words and this environment.
pub fn attach(port_option: &str, words: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = connscope(&format!(
        "attach {port_option} --duration 300ms --format json"
    ));
    command.args(words);
    // What is in the environment of the tests is none of ours.
    for name in [
        "PGUSER",
        "PGPASSWORD",
        "PGSERVICE",
        "PGHOST",
        "PGPORT",
        "MYSQL_PWD",
    ] {
        command.env_remove(name);
    }
    command
        .env("HOME", "/nonexistent")
        .envs(environment.iter().copied());
    command
}

/// The first target, and the names of what is missing with the reasons.
#[track_caller]
pub fn watched(command: Command) -> (Value, Vec<String>) {
    let ended = Ended::of(command).exits(0);
    for output in [&ended.stdout, &ended.stderr] {
        assert!(!output.contains(PASSWORD), "{output}");
    }
    let report = ended.report();
    let missing = report["unavailable"].as_array().expect("a list");
    let of_logins = missing.iter().filter(|it| it["measure"] == "login");
    let reasons = of_logins.map(|it| it["reason"].as_str().expect("a reason").to_owned());
    let reasons: Vec<_> = reasons.collect();
    for reason in &reasons {
        assert!(
            ended.stderr.contains(reason),
            "{reason} is not in {}",
            ended.stderr
        );
        assert!(!reason.contains('\n'), "{reason}");
    }
    (report["targets"][0].clone(), reasons)
}

/// What is told of connections, by thread id: user, database, application, state, wait, its event.
pub fn told(target: &Value) -> BTreeMap<u64, [Value; 6]> {
    let names = [
        "user",
        "database",
        "application",
        "state",
        "wait",
        "wait_event",
    ];
    let all = target["connections_detail"].as_array().expect("a list");
    let one = |it: &Value| {
        (
            it["tid"].as_u64().expect("an id"),
            names.map(|name| it[name].clone()),
        )
    };
    all.iter().map(one).collect()
}

/// All are named, those of connscope itself too.
#[track_caller]
pub fn assert_all_named(target: &Value) {
    let connected = &target["connected"];
    assert_eq!(connected["unnamed"], 0, "{connected:#}");
    assert_eq!(connected["named"], connected["open"], "{connected:#}");
    let method = connected["method"].as_str().expect("a method");
    assert!(method.contains("by a login: "), "{method}");
}

/// A file that its owner alone may read.
pub fn secret(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a folder of ours");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of ours");
    path.display().to_string()
}
