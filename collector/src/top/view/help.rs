//! What keys do, what columns say, and what could not be measured.

use super::super::columns::Column;
use super::super::state::State;
use super::{Theme, clean};
use crate::export::wrap;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Padding, Paragraph};

const KEYS: [(&str, &str); 6] = [
    ("1 2 3, tab", "targets, roles, connections (tasks)"),
    (
        "↑ ↓ pgup pgdn home end",
        "select: its figures and charts are below the table",
    ),
    ("← →, r", "sort by another column, reverse"),
    (
        "/, Esc",
        "only rows with this text in their words, all rows",
    ),
    ("space", "figures stand still; the watch goes on"),
    (
        "q, Ctrl-C, Ctrl-Z",
        "quit, stop until the shell continues it",
    ),
];

/// Room for the names of keys and of columns.
const KEYS_WIDTH: usize = 23;
const TITLES_WIDTH: usize = 8;

const MEMORY: &str = "* A page shared after a fork is in the account of each process; that of an \
                      address space is listed with one of its threads.";

pub(super) fn draw(frame: &mut Frame<'_>, screen: Rect, state: &State, theme: Theme) {
    let block = Block::bordered()
        .title(" connscope top: help; any key goes back ")
        .padding(Padding::horizontal(1));
    let inner = block.inner(screen);
    let mut lines = lines(state, inner.width, theme);
    let room = usize::from(inner.height);
    if lines.len() > room {
        lines.truncate(room.saturating_sub(1));
        lines.push(Line::raw("… there is more on a higher screen"));
    }
    frame.render_widget(Paragraph::new(lines).block(block), screen);
}

fn lines(state: &State, width: u16, theme: Theme) -> Vec<Line<'static>> {
    let entry = |name: &str, room: usize, words: &str| {
        let name = format!("{name:room$}");
        Line::from(vec![
            Span::styled(name, theme.title()),
            Span::raw(words.to_owned()),
        ])
    };
    let mut lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(keys, words)| entry(keys, KEYS_WIDTH, words))
        .collect();
    for column in Column::of(state.view) {
        lines.push(entry(column.title(), TITLES_WIDTH, column.meaning()));
    }
    lines.extend(wrap(MEMORY, Some(width)).into_iter().map(Line::raw));
    for missing in &state.frame.unavailable {
        let text = clean(&format!("{}: {}", missing.measure, missing.reason));
        let text = wrap(&text, Some(width)).into_iter();
        lines.extend(text.map(|line| Line::styled(line, theme.warning())));
    }
    lines
}
