//! The files of the workspace, and the crate-level modules that a source file names.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below `root`, relative to it and sorted; without hidden folders and without what
/// Cargo built.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                files.push(path.strip_prefix(root)?.to_owned());
            } else if !is_hidden(&path) && !path.join("CACHEDIR.TAG").exists() {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The paths that start at the crate, as (line from 1, `crate::` and the first name), also those in
/// braces: `crate::{attach, report::rate}` names `crate::attach` and `crate::report`. Comments do
/// not count.
pub(crate) fn crate_paths(source: &str) -> Vec<(usize, String)> {
    let code = without_comments(source);
    let mut found = Vec::new();
    for (start, key) in code.match_indices("crate::") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let after = start + key.len();
        for (offset, name) in first_names(&code[after..]) {
            let line = code[..after + offset].matches('\n').count() + 1;
            found.push((line, format!("crate::{name}")));
        }
    }
    found
}

/// Lines (from 1) that contain `word` as a word, outside comments.
pub(crate) fn lines_with(source: &str, word: &str) -> Vec<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let holds = |line: &str| {
        line.match_indices(word).any(|(start, _)| {
            !line[..start].ends_with(is_part) && !line[start + word.len()..].starts_with(is_part)
        })
    };
    let code = without_comments(source);
    let lines = code.lines().enumerate().filter(|(_, line)| holds(line));
    lines.map(|(index, _)| index + 1).collect()
}

/// The names at the start of a path: one, or those of the outermost braces, with their offsets.
fn first_names(path: &str) -> Vec<(usize, &str)> {
    let name_at = |start: usize| {
        let rest = &path[start..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        (start, &rest[..end])
    };
    if !path.starts_with('{') {
        return vec![name_at(0)];
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_start = false;
    for (index, c) in path.char_indices() {
        match c {
            '{' => {
                depth += 1;
                at_start = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => at_start = true,
            c if at_start && !c.is_whitespace() => {
                names.push(name_at(index));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// The source with every line's comment cut off; lines stay where they are.
fn without_comments(source: &str) -> String {
    source
        .lines()
        .flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"])
        .collect()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<(usize, String)> {
        crate_paths(source)
    }

    #[test]
    fn paths_are_found_in_and_out_of_braces() {
        let source =
            "use crate::report::Rate;\nuse crate::{\n    attach::{self, pid},\n    sample,\n};\n";
        let expected = [
            (1, "crate::report"),
            (3, "crate::attach"),
            (4, "crate::sample"),
        ];
        assert_eq!(
            paths(source),
            expected.map(|(line, path)| (line, path.to_owned()))
        );
    }

    #[test]
    fn comments_and_other_crates_do_not_count() {
        assert!(
            paths("//! [`crate::attach`]\nlet x = 1; // crate::sample\nmycrate::x;").is_empty()
        );
    }

    #[test]
    fn words_are_found_whole() {
        let source = "use probe_ebpf::Probe;\nlet my_probe_ebpf = 1;\n// probe_ebpf\n";
        assert_eq!(lines_with(source, "probe_ebpf"), [1]);
    }
}
