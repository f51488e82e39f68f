//! What `connscope doctor` found, for people: no wider than the terminal.

use super::{Findings, Status};
use crate::export::{columns, wrap};
use std::fmt::Write;

/// A longer name stands on a line of its own where lines end.
const ALIGNED: usize = 24;

/// As wide as the terminal, or without end where lines are for programs.
pub(super) fn table(findings: &Findings, width: Option<u16>) -> String {
    let mut text = String::new();
    let names = || findings.checks.iter().map(|check| columns(&check.name));
    let aligned = names().filter(|&name| name <= ALIGNED).max().unwrap_or(0);
    let aligned = match width {
        Some(_) => aligned,
        None => names().max().unwrap_or(0),
    };
    for check in &findings.checks {
        let said = [Some(&check.found), check.remedy.as_ref()];
        let said = said.into_iter().flatten().map(String::as_str);
        text += &entry(mark(check.status), (&check.name, aligned), said, width);
    }
    let names = findings.measures.iter().map(|m| columns(&m.measure));
    let aligned = names.max().unwrap_or(0);
    text += "\nMeasures\n";
    for measure in &findings.measures {
        let named = (measure.measure.as_str(), aligned);
        text += &entry(
            mark(measure.status),
            named,
            [measure.method.as_str()],
            width,
        );
    }
    let verdict = if findings.can_compare {
        "can run here"
    } else {
        "cannot run here, as this user"
    };
    let _ = writeln!(text, "\nThe main job, `connscope compare`, {verdict}.");
    text
}

/// A mark, a name, and what is said of it: beside the name, or below one that is too long for that.
fn entry<'a>(
    mark: &str,
    (name, aligned): (&str, usize),
    said: impl IntoIterator<Item = &'a str>,
    width: Option<u16>,
) -> String {
    let room = |indent: usize| width.map(|width| width.saturating_sub(indent as u16).max(20));
    let mut left = format!("{mark:<8} {name:<aligned$}  ");
    let indent = 8 + 1 + aligned + 2;
    let mut text = String::new();
    if columns(name) > aligned {
        for (number, line) in wrap(name, room(9)).iter().enumerate() {
            let mark = if number == 0 { mark } else { "" };
            let _ = writeln!(text, "{mark:<8} {line}");
        }
        left = " ".repeat(indent);
    }
    for line in said.into_iter().flat_map(|said| wrap(said, room(indent))) {
        let _ = writeln!(text, "{left}{line}");
        left = " ".repeat(indent);
    }
    text
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Missing => "MISSING",
        Status::Unknown => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::{Check, Measure};

    fn findings() -> Findings {
        let refused = "cannot load probe tlb: the kernel's verifier refused it; its log is in \
                       /tmp/connscope-verifier-tlb-4711.log";
        let hooks = "probe creation_latency on uprobe.multi, uretprobe.multi, tp_btf/task_newtask";
        let measure = |name: &str| Measure {
            measure: name.into(),
            method: "one word after another ".repeat(12),
            probe: "tlb".into(),
            status: Status::Missing,
        };
        Findings {
            schema: 1,
            can_compare: true,
            checks: vec![
                Check::new("kernel", false).ok("6.18.44"),
                Check::new("probe tlb on tp_btf/tlb_flush", false).missing("refused", refused),
                Check::new(hooks, false).ok("loads and attaches"),
            ],
            measures: vec![
                measure("tlb_flushes"),
                measure("marginal_bytes_per_connection"),
            ],
        }
    }

    /// Whatever is said is all there, and no line is wider than the terminal.
    #[test]
    fn the_table_fits_the_terminal() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let wide = table(&findings(), None);
        for width in [80, 100, 200] {
            let table = table(&findings(), Some(width));
            let widest = table.lines().map(columns).max().expect("lines");
            assert!(widest <= width.into(), "{widest} of {width}:\n{table}");
            let (mut all, mut seen) = (words(&wide), words(&table));
            all.sort();
            seen.sort();
            assert_eq!(seen, all);
        }
        assert!(wide.contains("refused\n"), "{wide}");
        let narrow = table(&findings(), Some(80));
        assert!(narrow.starts_with("ok       kernel  6.18.44\n"), "{narrow}");
    }
}
