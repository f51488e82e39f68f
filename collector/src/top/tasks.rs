//! The rows of tasks, with the names of the connections that they serve.

use super::figures::{Figures, Key, Row, Times, mean, ranked, share};
use crate::report::detail::{TaskWindow, tasks_of};
use crate::report::{Problem, Report};
use crate::snapshot::{REASONS, Run, connections::Connection};
use std::collections::HashMap;

/// Those of the target of this number.
pub(super) fn rows(number: usize, report: &Report, run: &Run) -> Result<Vec<Row>, Problem> {
    let mut served: HashMap<u32, Vec<&Connection>> = HashMap::new();
    for connection in run.connected.iter().flat_map(|it| &it.named) {
        served.entry(connection.tid).or_default().push(connection);
    }
    let seconds = report.window_seconds.unwrap_or_default();
    let has = |measure: &str| !report.unavailable.iter().any(|it| it.measure == measure);
    let roles: HashMap<&str, usize> = run
        .end
        .roles
        .iter()
        .enumerate()
        .map(|(place, role)| (role.name.as_str(), place))
        .collect();
    let row = |it: &TaskWindow<'_>| {
        let connections = served.get(&it.task.tid).map_or(&[][..], Vec::as_slice);
        Row {
            key: Key::Task {
                target: number,
                tid: it.task.tid,
                started_ns: it.task.started_ns,
            },
            name: name(it, connections),
            role: it.role.to_owned(),
            tid: Some(it.task.tid),
            doing: doing(connections),
            figures: figures(it, seconds, has),
            times: Times::OfRole(Key::Role(number, roles[it.role])),
        }
    };
    Ok(tasks_of(run)?.iter().map(row).collect())
}

/// Who its connection is, if that is known; else what the kernel calls the task.
fn name(it: &TaskWindow<'_>, connections: &[&Connection]) -> String {
    match connections {
        [] => it.task.comm.to_string(),
        [one] => {
            let user = one.user.as_deref().unwrap_or("?");
            let database = one.database.iter().map(|database| format!("@{database}"));
            let words = [&one.peer, &one.application].into_iter().flatten();
            let rest = words.map(|word| format!(" {word}"));
            format!("{user}{}", database.chain(rest).collect::<String>())
        }
        many => format!("{} ({} connections)", it.task.comm, many.len()),
    }
}

fn doing(connections: &[&Connection]) -> String {
    let [one] = connections else {
        return String::new();
    };
    let wait = match (&one.wait, &one.wait_event) {
        (Some(class), Some(event)) => Some(format!("{class}: {event}")),
        (class, _) => class.clone(),
    };
    let words = one.state.iter().cloned().chain(wait);
    words.collect::<Vec<_>>().join(", ")
}

fn figures(it: &TaskWindow<'_>, seconds: f64, has: impl Fn(&str) -> bool) -> Figures {
    let did = &it.did;
    let per_second = |measure: &str, count: u64| has(measure).then(|| count as f64 / seconds);
    let [running, waiting] = [did.running_ns, did.runnable_ns].map(|ns| ns as f64 / 1e9);
    let reasons = REASONS.into_iter().zip(did.blocked_ns.map(|ns| ns as f64));
    let has_times = has("time_in_state");
    let pages = it
        .task
        .memory
        .map_or(0, |memory| memory.anonymous_bytes + memory.page_table_bytes);
    let has_memory = has("memory") && has("memory_accounted");
    Figures {
        tasks: 1,
        cpu: has("cpu").then(|| did.cpu_ns as f64 / 1e9 / seconds),
        voluntary: per_second("context_switches", did.voluntary),
        involuntary: per_second("context_switches", did.involuntary),
        wait_share: share(waiting, running).filter(|_| has_times),
        wait_median: None,
        wait_p99: None,
        wait_mean: mean(waiting, did.arrivals).filter(|_| has_times && has("context_switches")),
        blocked: match has_times {
            true => ranked(reasons),
            false => Vec::new(),
        },
        faults: per_second("faults", did.minor_faults + did.major_faults),
        creations: None,
        memory: has_memory.then(|| (pages + it.task.kernel_stack_bytes) as f64),
    }
}
