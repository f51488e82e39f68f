//! The table of targets, roles or tasks.

use super::super::columns::Column;
use super::super::figures::Row;
use super::super::state::State;
use super::{Theme, clean};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{self, Cell, Paragraph, Table, Wrap};

/// Lines for rows, below the titles.
pub(super) fn lines(area: Rect) -> usize {
    area.height.saturating_sub(1).into()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, rows: &[&Row], theme: Theme) {
    let (sorted_by, _) = state.sorting();
    let columns = Column::that_fit(state.view, sorted_by, area.width);
    let titles = columns.iter().map(|(column, _)| {
        let style = match *column == sorted_by {
            true => theme.sorted(),
            false => theme.title(),
        };
        cell(*column, column.title()).style(style)
    });
    let (shown, selected) = state.page(rows);
    let lines = shown.iter().enumerate().map(|(place, row)| {
        let cells = columns
            .iter()
            .map(|(column, _)| cell(*column, &clean(&column.text(row))));
        match place == selected {
            true => widgets::Row::new(cells).style(theme.chosen()),
            false => widgets::Row::new(cells),
        }
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
    let table = Table::new(lines, widths)
        .header(widgets::Row::new(titles))
        .column_spacing(1);
    frame.render_widget(table, area);
    if rows.is_empty() {
        let below = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        let text = Paragraph::new(why_empty(state)).wrap(Wrap { trim: true });
        frame.render_widget(text, below);
    }
}

fn cell(column: Column, text: &str) -> Cell<'static> {
    let line = Line::from(text.to_owned());
    Cell::from(Text::from(match column.is_text() {
        true => line,
        false => line.alignment(Alignment::Right),
    }))
}

fn why_empty(state: &State) -> String {
    if state
        .frame
        .targets
        .iter()
        .all(|target| target.whole.is_none())
    {
        return "The first figures come when one interval is over.".to_owned();
    }
    match state.filter.as_str() {
        "" => "There are none.".to_owned(),
        filter => format!(
            "None has “{}” in its words. Esc clears the filter.",
            clean(filter)
        ),
    }
}
