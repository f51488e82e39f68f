//! The costliest connections of a server, and what a new one costs it.

use super::grid::{Grid, Row};
use super::part::Note;
use super::units;
use crate::report::detail::TaskDetail;
use crate::report::new_connection::{Made, NewConnection, Times};
use crate::report::{Report, Target};

/// Names and states are cut to this many columns: ten connections are to fit a screen.
const WORDS_MAX: usize = 16;

/// Whether the detail is of connections, rather than of the busiest tasks.
pub(super) fn known(target: &Target) -> bool {
    let named = |task: &TaskDetail| task.user.is_some() || task.state.is_some();
    target.connections_detail.iter().any(named)
}

/// The costliest ones, one line each.
pub(super) fn costliest(target: &Target) -> Grid {
    let threads = target
        .connections_detail
        .iter()
        .any(|task| task.tid != task.pid);
    let id = if threads {
        "costliest tid"
    } else {
        "costliest pid"
    };
    let details = &target.connections_detail;
    // Without a login there is a class at best, which says little more than the state.
    let waits = details.iter().any(|task| task.wait_event.is_some());
    let words = ["user", "database", "state"].into_iter();
    let words: Vec<_> = words.chain(waits.then_some("waits for")).collect();
    let figures = ["CPU %", "waiting", "switches", "memory"];
    let header = [&[id], &words[..], &figures].concat();
    let window = target.window_seconds / target.repeats.max(1) as f64;
    let rows = details.iter();
    Grid {
        header: header.into_iter().map(str::to_owned).collect(),
        rows: rows.map(|task| costly(task, waits, window)).collect(),
        words: (1..=words.len()).collect(),
    }
}

fn costly(task: &TaskDetail, waits: bool, window: f64) -> Row {
    let word = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), cut);
    let figure = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let id = match task.new {
        true => format!("{} (new)", task.tid),
        false => task.tid.to_string(),
    };
    let measures = &task.measures;
    let switches = measures.context_switches.as_ref();
    let accounted = &measures.memory.accounted;
    let pages = accounted.anonymous_bytes.zip(accounted.page_table_bytes);
    let accounted = pages.map(|(pages, tables)| pages + tables + accounted.kernel_stack_bytes);
    let memory = match (measures.memory.own_bytes, accounted) {
        (Some(own), _) => units::bytes(own as f64),
        (None, Some(accounted)) => format!("≤ {}", units::bytes(accounted as f64)),
        (None, None) => "-".to_owned(),
    };
    let cpu = measures.cpu.as_ref();
    let names = [&task.user, &task.database, &task.state].map(word);
    let figures = [
        figure(cpu.map(|cpu| units::percent(cpu.seconds / window))),
        figure(measures.run_queue_wait_share.map(units::percent)),
        figure(switches.map(|switches| units::rate(switches.per_second))),
        memory,
    ];
    let waits = waits.then(|| word(&task.wait_event));
    Row::Figures(
        [id].into_iter()
            .chain(names)
            .chain(waits)
            .chain(figures)
            .collect(),
    )
}

/// The beginning of a long word.
fn cut(text: &str) -> String {
    match text.chars().count() > WORDS_MAX {
        true => text.chars().take(WORDS_MAX - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// What a new one costs, a figure to a line.
pub(super) fn cost(target: &Target, new: &NewConnection) -> Grid {
    let what = match (target.kind, new.made) {
        (crate::snapshot::TargetKind::Process, Made::Process) => "What a new process costs",
        (crate::snapshot::TargetKind::Process, Made::Thread) => "What a new thread costs",
        _ => "What a new connection costs",
    };
    let figure = |label: &str, value: Option<String>| {
        value.map(|value| Row::Figures(vec![format!("  {label}"), value]))
    };
    let memory = &new.memory;
    let bytes = |bytes: Option<f64>| bytes.map(units::bytes);
    let rows = making(new).into_iter().chain([
        ("own memory, median", bytes(memory.own_bytes)),
        ("of it, page tables", bytes(memory.page_table_bytes)),
        ("its kernel stack", bytes(memory.kernel_stack_bytes)),
        ("one more adds", bytes(memory.marginal_bytes)),
    ]);
    let rows = rows.filter_map(|(label, value)| figure(label, value));
    Grid {
        header: vec![what.to_owned(), String::new()],
        rows: rows.collect(),
        words: Vec::new(),
    }
}

type Line = (&'static str, Option<String>);

/// What it takes to make one.
fn making(new: &NewConnection) -> Vec<Line> {
    let time = |times: &Option<Times>, figure: fn(&Times) -> Option<f64>| {
        times.as_ref().and_then(figure).map(units::time)
    };
    let (made, p50, p99) = match new.made {
        Made::Process => ("processes made for them", "fork call p50", "fork call p99"),
        Made::Thread => (
            "threads made for them",
            "pthread_create p50",
            "pthread_create p99",
        ),
    };
    let connections = new.created - new.of_other_roles;
    let others = (new.of_other_roles > 0).then(|| units::count(new.of_other_roles as f64));
    vec![
        (made, Some(units::count(connections as f64))),
        ("a second", new.connections_per_second.map(units::rate)),
        ("made for other roles", others),
        (p50, time(&new.call, |call| call.p50_seconds)),
        (p99, time(&new.call, |call| call.p99_seconds)),
        (
            "calls' share of a core",
            new.calls_share_of_a_core().map(units::percent),
        ),
        (
            "first run after p50",
            time(&new.first_run, |first| first.p50_seconds),
        ),
        (
            "first run after p99",
            time(&new.first_run, |first| first.p99_seconds),
        ),
        ("pages copied for each", copied(new)),
    ]
}

/// `310 ±12 %`; none where no connection was made that could have copied them.
fn copied(new: &NewConnection) -> Option<String> {
    let copied = new.copied_pages.as_ref()?;
    let each = copied.per_connection?;
    let [lower, upper] = copied.confidence_95;
    let total = copied.estimated_total;
    let margin = (upper - total).max(total - lower) / total;
    Some(match margin {
        _ if total <= 0.0 => "0".to_owned(),
        margin if margin > 0.0 => format!("{} ±{}", units::count(each), units::percent(margin)),
        _ => units::count(each),
    })
}

/// How many connections there were, and of how many it is known whose they are.
pub(super) fn notes(report: &Report) -> Vec<Note> {
    let of_target = |target: &Target| {
        let connected = target.connected.as_ref()?;
        let count = |count: u64| units::count(count as f64);
        let idle = connected
            .idle
            .map(|idle| format!(", {} did nothing in the window", count(idle)));
        let note = format!(
            "{}: {} open, {} named, {} not{}; {}",
            target.name,
            count(connected.open),
            count(connected.named),
            count(connected.unnamed),
            idle.unwrap_or_default(),
            connected.method,
        );
        Some(("connections".to_owned(), note))
    };
    report.targets.iter().filter_map(of_target).collect()
}
