//! What connscope says of a machine, and what it does there, side by side.
#![allow(dead_code, unreachable_pub)]

use super::program::*;
use serde_json::Value;
use std::process::Command;

/// These tests hide and mount what the whole machine uses.
#[track_caller]
pub fn assert_own_machine() {
    let emulated = std::env::var_os("CONNSCOPE_EMULATED").is_some();
    assert!(emulated, "run these by `cargo xtask test-vm`");
}

/// What `doctor` finds, as a table and as JSON, in one and the same machine.
pub struct Findings {
    pub can_compare: bool,
    checks: Vec<Value>,
    measures: Vec<Value>,
    table: String,
}

impl Findings {
    /// Runs `doctor` twice, each in a command that `made` makes of its words.
    #[track_caller]
    pub fn of(made: impl Fn(&str) -> Command) -> Self {
        let json = Ended::of(made("doctor --format json"));
        let table = Ended::of(made("doctor"));
        let report = json.report();
        let can_compare = report["can_compare"].as_bool().expect("a verdict");
        for ended in [&json, &table] {
            assert_eq!(ended.status.success(), can_compare, "{ended:#?}");
            assert_eq!(ended.stderr, "", "{ended:#?}");
        }
        let list = |name: &str| report[name].as_array().expect("a list").clone();
        Self {
            can_compare,
            checks: list("checks"),
            measures: list("measures"),
            table: table.stdout,
        }
    }

    /// A check: its status and what was found, which the table says too.
    #[track_caller]
    pub fn check(&self, name: &str) -> (&str, &str, &str) {
        let check = self.checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no check {name} in {:#?}", self.checks));
        let text = |field: &str| check[field].as_str().unwrap_or_default();
        let (found, remedy) = (text("found"), text("remedy"));
        let line = self.table.lines().find(|line| {
            line.contains(name) && line.ends_with(found) && line.contains(mark(text("status")))
        });
        assert!(line.is_some(), "no line of {name} in\n{}", self.table);
        assert!(self.table.contains(remedy), "{}", self.table);
        (text("status"), found, remedy)
    }

    /// The names of essential checks that failed.
    pub fn missing(&self) -> Vec<&str> {
        let missing = |check: &&Value| check["essential"] == true && check["status"] == "missing";
        let checks = self.checks.iter().filter(missing);
        checks.filter_map(|check| check["name"].as_str()).collect()
    }

    /// Fails if any measure is said to work.
    #[track_caller]
    pub fn assert_no_measure(&self) {
        let works = self.measures.iter().find(|it| it["status"] == "ok");
        assert!(works.is_none(), "{works:?} is said to work");
        assert!(!self.measures.is_empty());
    }
}

fn mark(status: &str) -> &'static str {
    match status {
        "ok" => "ok",
        "missing" => "MISSING",
        _ => "?",
    }
}

/// That connscope refuses to measure, in one line that has all of `words`, and prints no figure.
#[track_caller]
pub fn assert_refuses(made: impl Fn(&str) -> Command, words: &[&str]) {
    let server = Served::start("event-loop");
    for arguments in [
        format!("attach --pid {} --duration 1s", server.pid()),
        "compare --models event-loop --connections 1 --duration 200ms --warm-up 0s".into(),
    ] {
        let ended = Ended::of(made(&arguments)).exits(1);
        assert_eq!(ended.stdout, "", "{ended:#?}");
        let line = ended.line();
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
}
