//! Where the time of each role's tasks goes: running, waiting for a CPU, asleep.

use super::text;
use crate::report::measures::TimeInState;
use crate::report::{Report, Target};
use crate::snapshot::TargetKind;
use crate::units;

/// A part of the time: its colour, its name, its seconds.
type Part = (&'static str, &'static str, fn(&TimeInState) -> f64);

const PARTS: [Part; 5] = [
    ("running", "running", |it| it.running_seconds),
    ("waiting", "waiting for a CPU", |it| it.runnable_seconds),
    ("lock", "asleep on locks", |it| {
        asleep_on(it, &["lock", "semaphore"])
    }),
    ("disk", "asleep on the disk", |it| {
        asleep_on(it, &["disk", "io_uring", "page_fault"])
    }),
    ("asleep", "asleep on other things", |it| {
        let others = ["lock", "semaphore", "disk", "io_uring", "page_fault"];
        (it.blocked_seconds - asleep_on(it, &others)).max(0.0)
    }),
];

fn asleep_on(it: &TimeInState, reasons: &[&str]) -> f64 {
    let all = it.blocked_by_reason_seconds.iter();
    all.filter(|(reason, _)| reasons.contains(&reason.as_str()))
        .map(|(_, seconds)| seconds)
        .sum()
}

/// A row for each role, of servers at the most connections.
pub(super) fn states(report: &Report) -> String {
    let servers = report
        .targets
        .iter()
        .filter(|it| it.kind == TargetKind::Reference);
    let most = servers.map(|it| it.connections).max().flatten();
    let shown = |it: &&Target| it.kind.ran_already() || it.connections == most;
    let rows: String = report.targets.iter().filter(shown).map(rows).collect();
    if rows.is_empty() {
        return String::new();
    }
    let key = PARTS.map(|(color, name, _)| {
        format!("<li><i style=\"background:var(--{color})\"></i>{name}</li>")
    });
    let heads = PARTS.map(|(_, name, _)| format!("<th scope=\"col\">{name}</th>"));
    format!(
        "<p class=\"soft\">Mean number of tasks in each state, and the share of each in their time. Running, waiting and \
         asleep add up to the time that the tasks lived.</p>\n<ul class=\"key\">{}</ul>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Time in state by role\">\n\
         <table class=\"figures\"><thead><tr><th scope=\"col\">role</th><th scope=\"col\">tasks</th>{}\
         <th scope=\"col\">share of the time</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
        key.concat(),
        heads.concat()
    )
}

/// A mean number of tasks; what is next to nothing has no digits to tell.
fn mean(tasks: f64) -> String {
    match tasks {
        none if none <= 0.0 => units::number(0.0),
        few if few < 0.000_5 => "&lt; 0.001".to_owned(),
        tasks => units::number(tasks),
    }
}

fn rows(target: &Target) -> String {
    let of_interest = |role: &&crate::report::Role| {
        let time = role.measures.time_in_state.as_ref();
        time.is_some_and(|time| PARTS.iter().any(|(.., seconds)| seconds(time) > 0.0))
    };
    let roles = target.roles.iter().filter(of_interest);
    let row = |role: &crate::report::Role| {
        let time = role.measures.time_in_state.as_ref()?;
        let seconds = PARTS.map(|(.., seconds)| seconds(time));
        let all: f64 = seconds.iter().sum();
        let means =
            seconds.map(|seconds| format!("<td>{}</td>", mean(seconds / target.window_seconds)));
        let stack = PARTS.iter().zip(seconds).map(|((color, ..), seconds)| {
            let share = seconds / all * 100.0;
            format!("<span style=\"width:{share:.2}%;background:var(--{color})\"></span>")
        });
        Some(format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td>{}<td><div class=\"stack\">{}</div></td></tr>\n",
            text(&role.role),
            units::count(role.tasks as f64),
            means.concat(),
            stack.collect::<String>()
        ))
    };
    let rows: String = roles.filter_map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<tr><th class=\"group\" scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n{rows}",
        PARTS.len() + 3,
        text(&target.name)
    )
}
