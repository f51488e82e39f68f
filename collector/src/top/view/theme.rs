//! Colours, or the same without.

use ratatui::style::{Color, Modifier, Style};

/// What sets parts of the screen apart. Without colour that is weight alone (see no-color.org).
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether there may be colour.
    pub color: bool,
}

impl Theme {
    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The line whose figures are shown in full, the view that is shown.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The column that is sorted by.
    pub(super) fn sorted(self) -> Style {
        self.title().add_modifier(Modifier::UNDERLINED)
    }

    /// What makes figures doubtful.
    pub(super) fn warning(self) -> Style {
        self.colored(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bars(self) -> Style {
        self.colored(Color::Cyan)
    }

    fn colored(self, color: Color) -> Style {
        match self.color {
            true => Style::new().fg(color),
            false => Style::new(),
        }
    }
}
