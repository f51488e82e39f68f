//! Running processes: one block for each, its roles side by side, then its costliest connections or
//! busiest tasks, and what a new connection costs.

use super::super::Style;
use super::column::Column;
use super::compare::{length, whole, with_ranges_if_wide};
use super::connections::{cost, costliest, known};
use super::footnotes::Footnotes;
use super::grid::{Grid, Row};
use super::part::Part;
use super::rows::rows;
use super::units;
use crate::report::detail::TaskDetail;
use crate::report::{Report, Target};

/// A block for each process.
pub(super) fn parts(report: &Report, style: &Style, footnotes: &mut Footnotes) -> Vec<Part> {
    let mut parts = Vec::new();
    for target in report
        .targets
        .iter()
        .filter(|target| target.kind.ran_already())
    {
        let (grid, ranges) =
            with_ranges_if_wide(style, |ranges| grid(report, target, ranges, footnotes));
        parts.extend([
            Part::Title(target.name.clone()),
            Part::Words(particulars(target, ranges)),
            Part::Grid(grid),
        ]);
        parts.extend(below(target).into_iter().map(Part::FurtherGrid));
    }
    parts
}

/// What stands below the figures of all roles: one task to a line, and one connection more.
fn below(target: &Target) -> Vec<Grid> {
    let detail = match known(target) {
        _ if target.connections_detail.is_empty() => None,
        true => Some(costliest(target)),
        false => Some(busiest(target)),
    };
    let cost = target.new_connection.as_ref().map(|new| cost(target, new));
    detail.into_iter().chain(cost).collect()
}

fn particulars(target: &Target, ranges: bool) -> Vec<String> {
    let pids: Vec<_> = target.pids.iter().map(u32::to_string).collect();
    let mut words = vec![format!("pid {}", pids.join(", "))];
    words.extend(target.lives_in.iter().map(|place| format!("in {place}")));
    words.extend(
        target
            .connections
            .map(|n| format!("{} connections", units::count(n.into()))),
    );
    words.push(format!("watched for {}", length(target, ranges)));
    words.extend(
        target
            .incomplete
            .as_ref()
            .map(|reason| format!("incomplete: {reason}")),
    );
    words
}

/// All tasks, then those of each role that has any; a single role would repeat the first column.
fn grid(report: &Report, target: &Target, ranges: bool, footnotes: &mut Footnotes) -> Grid {
    let mut header = vec![String::new(), "all".to_owned()];
    let mut columns = vec![whole(report, target, ranges)];
    let of_interest = |role: &&crate::report::Role| role.tasks > 0 || did_anything(role);
    let roles: Vec<_> = target.roles.iter().filter(of_interest).collect();
    if roles.len() > 1 {
        for role in roles {
            header.push(role.role.clone());
            let (kernel, tasks) = (&role.measures, role.tasks);
            columns.push(Column {
                report,
                target,
                kernel,
                tasks,
                is_role: true,
                ranges,
            });
        }
    }
    Grid {
        header,
        rows: rows(&columns, footnotes),
        words: Vec::new(),
    }
}

fn did_anything(role: &crate::report::Role) -> bool {
    let switched = role.measures.context_switches.as_ref();
    let created = role.measures.creations.as_ref();
    let faulted = role.measures.faults.as_ref();
    switched
        .is_some_and(|switches| switches.arrivals + switches.voluntary + switches.involuntary > 0)
        || created.is_some_and(|creations| creations.total() > 0)
        || faulted.is_some_and(|faults| faults.minor + faults.major > 0)
}

fn busiest(target: &Target) -> Grid {
    let header = [
        "busiest",
        "role",
        "pid",
        "tid",
        "CPU",
        "CPU %",
        "waiting",
        "vol.",
        "invol.",
        "anonymous",
    ];
    let window = target.window_seconds / target.repeats.max(1) as f64;
    Grid {
        header: header.map(str::to_owned).to_vec(),
        rows: target
            .connections_detail
            .iter()
            .map(|task| busy(task, window))
            .collect(),
        words: vec![1],
    }
}

fn busy(task: &TaskDetail, window: f64) -> Row {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let time = task.measures.time_in_state.as_ref();
    let cpu = task.measures.cpu.as_ref();
    let switches = task.measures.context_switches.as_ref();
    let anonymous = task.measures.memory.accounted.anonymous_bytes;
    let per_second = |count: u64| units::rate(count as f64 / window);
    let name = if task.new {
        format!("{} (new)", task.label)
    } else {
        task.label.clone()
    };
    Row::Figures(vec![
        name,
        task.role.clone(),
        task.pid.to_string(),
        task.tid.to_string(),
        or_dash(cpu.map(|cpu| units::time(cpu.seconds))),
        or_dash(cpu.map(|cpu| units::percent(cpu.seconds / window))),
        or_dash(time.map(|time| units::time(time.runnable_seconds))),
        or_dash(switches.map(|switches| per_second(switches.voluntary))),
        or_dash(switches.map(|switches| per_second(switches.involuntary))),
        anonymous.map_or_else(String::new, |bytes| units::bytes(bytes as f64)),
    ])
}
