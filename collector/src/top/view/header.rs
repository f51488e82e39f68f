//! The lines above the table and the one below all: what is watched, what is shown, what keys do.

use super::super::state::{State, View};
use super::{Theme, clean};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::Duration;

/// More troubles than this are only counted.
const TROUBLES_MAX: usize = 3;

const KEYS: &str = "q quit  ? help  / filter  space pause  tab view  ←→ sort  r reverse  ↑↓ select";

/// How many lines it needs.
pub(super) fn height(state: &State) -> u16 {
    2 + troubles(state).len() as u16
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, rows: usize, theme: Theme) {
    let mut lines = vec![first(state, theme), views(state, rows, theme)];
    let troubles = troubles(state).into_iter();
    lines.extend(troubles.map(|trouble| Line::styled(trouble, theme.warning())));
    frame.render_widget(Paragraph::new(lines), area);
}

fn first(state: &State, theme: Theme) -> Line<'static> {
    let shown = &state.frame;
    let mut words = vec![format!(
        "watched {}",
        humantime::format_duration(Duration::from_secs(shown.watched.as_secs()))
    )];
    if shown.seconds > 0.0 {
        words.push(format!("figures of {:.2} s", shown.seconds));
    }
    if let Some(cpu) = shown.own_cpu {
        words.push(format!("itself {:.1} % CPU", cpu * 100.0));
    }
    let lost: u64 = shown.targets.iter().map(|target| target.lost).sum();
    if lost > 0 {
        words.push(format!("{lost} events not seen"));
    }
    if !shown.unavailable.is_empty() {
        words.push(format!("{} not measured, see ?", shown.unavailable.len()));
    }
    let mut spans = vec![
        Span::styled("connscope top", theme.title()),
        Span::raw(format!("  {}", words.join(" · "))),
    ];
    if state.is_paused {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(" paused ", theme.chosen()));
    }
    Line::from(spans)
}

fn views(state: &State, rows: usize, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, view) in (1..).zip(View::ALL) {
        let text = format!(" {number} {} ", view.name());
        spans.push(match view == state.view {
            true => Span::styled(text, theme.chosen()),
            false => Span::raw(text),
        });
    }
    let (column, is_descending) = state.sorting();
    let arrow = if is_descending { "▼" } else { "▲" };
    spans.push(Span::raw(format!(
        "  {rows} shown, by {} {arrow}",
        column.title()
    )));
    if !state.filter.is_empty() {
        let filter = format!("  with “{}”", clean(&state.filter));
        spans.push(Span::styled(filter, theme.title()));
    }
    Line::from(spans)
}

fn troubles(state: &State) -> Vec<String> {
    let targets = state.frame.targets.iter();
    let mut troubles: Vec<String> = targets
        .filter_map(|target| {
            Some(format!(
                "{}: {}",
                clean(&target.name),
                target.trouble.as_ref()?
            ))
        })
        .collect();
    if troubles.len() > TROUBLES_MAX {
        let others = troubles.len() - (TROUBLES_MAX - 1);
        troubles.truncate(TROUBLES_MAX - 1);
        troubles.push(format!("and {others} targets more"));
    }
    troubles
}

pub(super) fn draw_footer(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let line = match state.is_typing {
        true => Line::from(vec![
            Span::styled("filter: ", theme.title()),
            Span::raw(clean(&state.filter)),
            Span::styled(" ", theme.chosen()),
            Span::styled("  Enter keeps it, Esc clears it", theme.faint()),
        ]),
        false => Line::styled(KEYS, theme.faint()),
    };
    frame.render_widget(Paragraph::new(line), area);
}
