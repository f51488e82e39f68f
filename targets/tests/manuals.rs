//! Completions and manual pages know every command and option that there is.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connscope-target"));
    command.args(words).output().expect("it runs")
}

#[track_caller]
fn said(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Options in the help of a command, each on a line that begins with it.
fn options(command: &str) -> BTreeSet<String> {
    let help = said(&[command, "--help"]);
    let options = help.lines().filter_map(|line| {
        let word = line
            .trim_start()
            .strip_prefix("-h, ")
            .unwrap_or(line.trim_start());
        let name = word.strip_prefix("--")?;
        Some(name.split([' ', '=', '[']).next()?.to_owned())
    });
    options.collect()
}

const COMMANDS: [&str; 5] = ["serve", "load", "models", "completions", "man"];

#[test]
fn completions_know_every_command_and_option() {
    assert!(options("load").contains("ramp-steps") && options("serve").contains("pool-size"));
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: no {command}");
            for option in options(command) {
                assert!(
                    script.contains(&option),
                    "{shell}: no --{option} of {command}"
                );
            }
        }
    }
}

#[test]
fn every_command_has_a_page() {
    let pages = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages/man1");
    let _ = fs::remove_dir_all(&pages);
    said(&["man", pages.to_str().expect("a path")]);
    for command in COMMANDS {
        let page = fs::read_to_string(pages.join(format!("connscope-target-{command}.1")));
        let text = page.expect("a page").replace("\\-", "-");
        for option in options(command) {
            assert!(
                text.contains(&format!("--{option}")),
                "{command}: no --{option} in {text}"
            );
        }
    }
    let page = fs::read_to_string(pages.join("connscope-target.1")).expect("a page");
    assert!(
        page.replace("\\-", "-")
            .contains("connscope-target-load(1)"),
        "{page}"
    );
    let output = run(&["man", "/dev/null/man1"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.starts_with("connscope-target: cannot write /dev/null/man1: "),
        "{error}"
    );
}
