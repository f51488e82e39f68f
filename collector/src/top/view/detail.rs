//! The selected row: all its figures, how its waits and slices are spread, and its last minutes.

use super::super::figures::{Figures, Key, Row};
use super::super::history::Point;
use super::super::short;
use super::super::state::State;
use super::{Theme, charts, clean};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Block, Borders, Paragraph};
use std::time::Duration;

/// Lines of all, where there is little room: the title, two of figures, six of charts.
pub(super) const LOW: u16 = 9;
/// Where there is much: twelve of charts.
pub(super) const HIGH: u16 = 15;

/// Reasons to sleep that are told.
const REASONS_MAX: usize = 3;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, row: &Row, theme: Theme) {
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(theme.faint())
        .title(format!(" {} ", title(state, row)))
        .title_style(theme.title());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [words, charts] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1)]).areas(inner);
    frame.render_widget(Paragraph::new(figures(&row.figures).join("\n")), words);
    let [wait, slice, last] = Layout::horizontal([Constraint::Fill(1); 3])
        .spacing(2)
        .areas(charts);
    let timed = state.timed(row);
    let whose = match row.key {
        Key::Task { .. } => " (role)",
        _ => "",
    };
    charts::times(frame, [wait, slice], timed, whose, theme);
    let interval = state.frame.seconds;
    minutes(frame, last, &state.history(row), interval, theme);
}

/// Its name, whole.
fn title(state: &State, row: &Row) -> String {
    let mut words = vec![row.name.clone()];
    let target = state.target_of(row.key);
    if let Key::Task { .. } = row.key {
        words.extend(row.tid.map(|tid| format!("tid {tid}")));
        words.extend([row.role.clone(), row.doing.clone()]);
    }
    if let Some(target) = target {
        if row.key != Key::Nobody && !words[0].contains(&target.name) {
            words.push(target.name.clone());
        }
        words.extend(target.connections.map(|(open, named)| match row.key {
            Key::Target(_) => format!("{open} connections, {named} of them known"),
            _ => String::new(),
        }));
    }
    words.retain(|word| !word.is_empty());
    clean(&words.join(" · "))
}

/// All of them, in two lines. What could not be had is left out.
fn figures(it: &Figures) -> [String; 2] {
    let with = |figure: Option<f64>, words: &dyn Fn(f64) -> String| figure.map(words);
    let first = [
        Some(match it.tasks {
            1 => "1 task".to_owned(),
            tasks => format!("{tasks} tasks"),
        }),
        with(it.cpu, &|cpu| format!("CPU {} %", short::percent(cpu))),
        with(it.voluntary, &|rate| format!("vol {}/s", short::rate(rate))),
        with(it.involuntary, &|rate| {
            format!("inv {}/s", short::rate(rate))
        }),
        with(it.faults, &|rate| format!("faults {}/s", short::rate(rate))),
        with(it.creations, &|rate| format!("new {}/s", short::rate(rate))),
    ];
    // A mean says little beside the percentiles; a task has it alone.
    let mean = it.wait_mean.filter(|_| it.wait_median.is_none());
    let waits = [
        with(it.wait_share, &|share| {
            format!("wait {} %", short::percent(share))
        }),
        with(it.wait_median, &|time| format!("p50 {}", short::time(time))),
        with(it.wait_p99, &|time| format!("p99 {}", short::time(time))),
        with(mean, &|time| format!("mean {}", short::time(time))),
    ];
    let waits: Vec<String> = waits.into_iter().flatten().collect();
    let reasons = it.blocked.iter().take(REASONS_MAX);
    let reasons: Vec<String> = reasons
        .map(|(reason, share)| format!("{reason} {} %", short::percent(*share)))
        .collect();
    let second = [
        (!waits.is_empty()).then(|| waits.join(" ")),
        with(it.memory, &|bytes| format!("mem {}", short::bytes(bytes))),
        (!reasons.is_empty()).then(|| format!("asleep: {}", reasons.join(", "))),
    ];
    [&first[..], &second[..]].map(|words| {
        let words: Vec<String> = words.iter().flatten().cloned().collect();
        words.join(" · ")
    })
}

/// The last minutes, one chart below the other.
fn minutes(
    frame: &mut Frame<'_>,
    area: Rect,
    points: &[Option<Point>],
    interval: f64,
    theme: Theme,
) {
    let length = Duration::from_secs((points.len() as f64 * interval).round() as u64);
    let length = humantime::format_duration(length);
    let of = |value: fn(Point) -> f32| points.iter().map(|it| it.map(value)).collect::<Vec<_>>();
    let percent = |share: f64| format!("{} %", short::percent(share));
    let rate = |rate: f64| format!("{}/s", short::rate(rate));
    let say: [&dyn Fn(f64) -> String; 3] = [&percent, &rate, &percent];
    let charts = [
        ("CPU", of(|point| point.cpu)),
        ("switches", of(|point| point.switches)),
        ("waiting", of(|point| point.wait)),
    ];
    let parts: [Rect; 3] = Layout::vertical([Constraint::Fill(1); 3]).areas(area);
    for ((part, show), (name, values)) in parts.into_iter().zip(say).zip(charts) {
        let most = values.iter().copied().flatten().fold(0.0, f32::max);
        let label = format!("{name}, {length}, max {}", show(most.into()));
        charts::last(frame, part, &label, &values, theme);
    }
}
