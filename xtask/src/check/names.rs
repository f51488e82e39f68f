//! Names of files and folders say what is inside.

use super::Violation;
use std::path::{Path, PathBuf};

const SAY_NOTHING: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Files whose own name, or a folder's on the way, says nothing.
pub(crate) fn violations(files: &[PathBuf]) -> Vec<Violation> {
    let broken = |file: &PathBuf| {
        let rule = broken_rule(file)?;
        Some(Violation {
            file: file.clone(),
            line: 1,
            rule,
        })
    };
    files.iter().filter_map(broken).collect()
}

fn broken_rule(file: &Path) -> Option<String> {
    if file.file_name()? == "mod.rs" {
        return Some("a module is named after what it holds, not mod.rs".to_owned());
    }
    let parts = file.iter().filter_map(|part| part.to_str());
    let mut stems = parts.map(|part| part.split('.').next().unwrap_or(part));
    let name = stems.find(|stem| SAY_NOTHING.contains(stem))?;
    Some(format!("the name {name} says nothing about what is inside"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[&str]) -> Vec<String> {
        let files: Vec<_> = files.iter().map(PathBuf::from).collect();
        violations(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_say_nothing_are_caught() {
        let found = lines(&[
            "a/src/utils.rs",
            "a/tests/common/server.rs",
            "a/src/report/mod.rs",
            "a/bpf/helpers.bpf.c",
        ]);
        assert_eq!(
            found,
            [
                "a/src/utils.rs:1: the name utils says nothing about what is inside",
                "a/tests/common/server.rs:1: the name common says nothing about what is inside",
                "a/src/report/mod.rs:1: a module is named after what it holds, not mod.rs",
                "a/bpf/helpers.bpf.c:1: the name helpers says nothing about what is inside",
            ]
        );
    }

    #[test]
    fn names_that_say_something_pass() {
        assert!(lines(&["a/src/report.rs", "a/src/commons.rs", "Cargo.toml"]).is_empty());
    }
}
