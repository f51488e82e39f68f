//! Completions and manual pages know every command and option that there is.

#[path = "support/program.rs"]
mod program;

use clap::CommandFactory;
use connscope::cli::Cli;
use program::*;
use std::{fs, path::Path, process::Command};

/// Commands that users see, each with the long names of its options.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut command = Cli::command();
    command.build();
    let shown = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set() && it.get_name() != "help");
    shown
        .map(|command| {
            let options = command.get_opts().filter_map(|option| option.get_long());
            let options = options.map(str::to_owned).collect();
            (command.get_name().to_owned(), options)
        })
        .collect()
}

#[test]
fn completions_know_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Ended::of(connscope(&format!("completions {shell}")))
            .exits(0)
            .stdout;
        for (command, options) in commands() {
            assert!(script.contains(&command), "{shell}: no {command}");
            for option in options {
                assert!(
                    script.contains(&option),
                    "{shell}: no --{option} of {command}"
                );
            }
        }
    }
}

/// Bash itself completes by them.
#[test]
fn bash_completes() {
    let script = r#"
        source <($CONNSCOPE completions bash)
        words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _connscope connscope "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[*]}"; }
        words connscope rec
        words connscope attach --post
        words connscope report --format ""
    "#;
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("CONNSCOPE", CONNSCOPE);
    assert_eq!(
        Ended::of(command).exits(0).stdout,
        "record\n--postgres --postgres-dsn\ntable json html\n"
    );
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man1");
    Ended::of(connscope(&format!("man {}", pages.display()))).exits(0);
    let mut expected: Vec<_> = commands()
        .iter()
        .map(|(name, _)| format!("connscope-{name}.1"))
        .collect();
    expected.push("connscope.1".to_owned());
    for (name, options) in commands() {
        let text = words(&pages.join(format!("connscope-{name}.1")));
        for option in options {
            assert!(
                text.contains(&format!("--{option}")),
                "{name}: no --{option} in {text}"
            );
        }
        assert!(text.contains(&format!(".TH connscope-{name} 1")), "{text}");
    }
    let text = words(&pages.join("connscope.1"));
    assert!(text.contains("connscope-compare(1)"), "{text}");
    assert!(text.contains("Examples:"), "{text}");
    let mut found: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// A folder that cannot be made is named.
#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let ended = Ended::of(connscope("man /dev/null/man1")).exits(1);
    assert_eq!(
        ended.line(),
        "connscope: cannot write /dev/null/man1: not a directory"
    );
}

/// The words of a page, without what makes them bold.
fn words(page: &Path) -> String {
    let page = fs::read_to_string(page).expect("a page");
    let plain = page.replace("\\-", "-");
    ["\\fB", "\\fI", "\\fR"]
        .iter()
        .fold(plain, |text, font| text.replace(font, ""))
}
