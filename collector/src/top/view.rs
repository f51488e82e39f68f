//! Draws the state: how the screen is divided, and what is said where it is too small.

mod charts;
mod detail;
mod header;
mod help;
mod table;
mod theme;

pub use theme::Theme;

use super::state::State;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect, Size};
use ratatui::widgets::{Paragraph, Wrap};

/// Columns and lines below which nothing can be read.
pub const LEAST: Size = Size::new(60, 10);

/// What the selected row needs below the table, and what then is left for that.
const WITH_DETAIL: Size = Size::new(80, 20);
/// Lines from which charts are higher.
const WITH_HIGH_CHARTS: u16 = 36;

/// Who has which part of the screen.
#[derive(Clone, Copy, Debug)]
struct Areas {
    header: Rect,
    table: Rect,
    detail: Option<Rect>,
    footer: Rect,
}

impl Areas {
    fn of(screen: Rect, state: &State) -> Self {
        let has_detail = screen.width >= WITH_DETAIL.width && screen.height >= WITH_DETAIL.height;
        let detail = match has_detail {
            true if screen.height >= WITH_HIGH_CHARTS => detail::HIGH,
            true => detail::LOW,
            false => 0,
        };
        let [header, table, detail, footer] = Layout::vertical([
            Constraint::Length(header::height(state)),
            Constraint::Min(2),
            Constraint::Length(detail),
            Constraint::Length(1),
        ])
        .areas(screen);
        Self {
            header,
            table,
            detail: has_detail.then_some(detail),
            footer,
        }
    }
}

/// How many lines of the table a screen of that size has room for.
#[must_use]
pub fn page(size: Size, state: &State) -> usize {
    let areas = Areas::of(Rect::from((ratatui::layout::Position::ORIGIN, size)), state);
    table::lines(areas.table)
}

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, state: &State, theme: Theme) {
    let screen = frame.area();
    if screen.width < LEAST.width || screen.height < LEAST.height {
        return too_small(frame, screen);
    }
    if state.is_help {
        return help::draw(frame, screen, state, theme);
    }
    let areas = Areas::of(screen, state);
    let rows = state.rows();
    header::draw(frame, areas.header, state, rows.len(), theme);
    table::draw(frame, areas.table, state, &rows, theme);
    if let (Some(area), Some(row)) = (areas.detail, state.selected(&rows)) {
        detail::draw(frame, area, state, row, theme);
    }
    header::draw_footer(frame, areas.footer, state, theme);
}

fn too_small(frame: &mut Frame<'_>, screen: Rect) {
    let text = format!(
        "connscope top needs {} columns and {} lines; these are {} and {}. q quits.",
        LEAST.width, LEAST.height, screen.width, screen.height
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), screen);
}

/// Text from elsewhere, of which a terminal must not take a part for orders.
fn clean(text: &str) -> String {
    let shown = |letter: char| match letter.is_control() {
        true => '?',
        false => letter,
    };
    text.chars().map(shown).collect()
}
