//! Which module of the collector may name which: the way of the data, seen from its ends.

use super::Violation;
use super::source::{crate_paths, lines_with};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A module and what it must not name.
struct Rule {
    /// `collector/src/report.rs` and all below `collector/src/report/`.
    module: &'static str,
    /// Other crates, or modules at the root of ours.
    forbidden: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        module: "collector/src/report",
        forbidden: &[
            "probe_ebpf",
            "crate::attach",
            "crate::sample",
            "crate::command",
        ],
        why: "report is a function of plain data",
    },
    Rule {
        module: "collector/src/export",
        forbidden: &[
            "probe_ebpf",
            "crate::attach",
            "crate::sample",
            "crate::command",
        ],
        why: "export is a function of plain data",
    },
    Rule {
        module: "collector/src/attach",
        forbidden: &["crate::export"],
        why: "attach and export never meet",
    },
];

/// Imports that break a rule, in any of these files.
pub(crate) fn violations(root: &Path, files: &[PathBuf]) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
    {
        for rule in RULES.iter().filter(|rule| rule.covers(file)) {
            let path = root.join(file);
            let source = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            violations.extend(rule.broken_by(file, &source));
        }
    }
    Ok(violations)
}

impl Rule {
    fn covers(&self, file: &Path) -> bool {
        file.with_extension("") == Path::new(self.module) || file.starts_with(self.module)
    }

    fn broken_by(&self, file: &Path, source: &str) -> Vec<Violation> {
        let paths = crate_paths(source);
        let mut broken = Vec::new();
        for name in self.forbidden {
            let lines = match name.starts_with("crate::") {
                true => paths
                    .iter()
                    .filter(|(_, path)| path == name)
                    .map(|(line, _)| *line)
                    .collect(),
                false => lines_with(source, name),
            };
            broken.extend(lines.into_iter().map(|line| Violation {
                file: file.to_owned(),
                line,
                rule: format!("{}: it must not name {name}", self.why),
            }));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, source: &str) -> Vec<String> {
        let file = Path::new(file);
        let rules = RULES.iter().filter(|rule| rule.covers(file));
        rules
            .flat_map(|rule| rule.broken_by(file, source))
            .map(|it| it.to_string())
            .collect()
    }

    #[test]
    fn a_report_that_knows_the_kernel_is_caught() {
        let source = "use crate::snapshot::Snapshot;\nuse probe_ebpf::Probe;\nuse crate::{sample, report};\n";
        let expected = [
            "collector/src/report/rates.rs:2: report is a function of plain data: \
             it must not name probe_ebpf",
            "collector/src/report/rates.rs:3: report is a function of plain data: \
             it must not name crate::sample",
        ];
        assert_eq!(broken("collector/src/report/rates.rs", source), expected);
    }

    #[test]
    fn the_module_file_itself_is_covered() {
        assert_eq!(
            broken("collector/src/export.rs", "use crate::attach::Pid;").len(),
            1
        );
        assert_eq!(
            broken("collector/src/attach.rs", "use crate::export::json;").len(),
            1
        );
    }

    #[test]
    fn commands_may_know_everyone() {
        let source = "use crate::{attach, export};\nuse probe_ebpf::Probe;";
        assert!(broken("collector/src/command/compare.rs", source).is_empty());
        assert!(broken("collector/src/reporter.rs", source).is_empty());
    }
}
