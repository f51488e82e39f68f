//! What is shown of the figures, and what keys change of it. Nothing here draws, measures or waits.

use super::columns::Column;
use super::figures::{Frame, Key, Row};
use super::history::{History, Point};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

mod rows;

/// What the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum View {
    Targets,
    Roles,
    Connections,
}

impl View {
    /// In their order.
    pub const ALL: [Self; 3] = [Self::Targets, Self::Roles, Self::Connections];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Roles => "roles",
            Self::Connections => "connections",
        }
    }
}

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but to be drawn anew.
    Draw,
    /// To draw all of the screen, whatever is thought to be on it.
    Redraw,
    /// To stop until it is continued by the shell.
    Suspend,
    /// To end.
    Quit,
}

/// What is shown.
#[derive(Clone, Debug)]
pub struct State {
    /// The figures shown.
    pub frame: Frame,
    /// While they stand still, the newest.
    later: Option<Frame>,
    /// Intervals that are not shown.
    skipped: u64,
    history: History,
    /// Whether they stand still.
    pub is_paused: bool,
    /// Whether help is shown.
    pub is_help: bool,
    /// Text that rows have to hold.
    pub filter: String,
    /// Whether keys are letters of it.
    pub is_typing: bool,
    /// What the lines are.
    pub view: View,
    /// By view.
    tables: [Table; View::ALL.len()],
    /// Lines of the table that the screen has room for.
    page: usize,
}

/// How one view is shown.
#[derive(Clone, Copy, Debug)]
struct Table {
    sorted_by: Column,
    /// From large to small.
    is_descending: bool,
    selected: Key,
    /// Where that was when it was last seen.
    place: usize,
    /// The first line that is shown.
    first: usize,
}

impl State {
    /// Of so many targets: with one of them, its roles come first.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        let table = Table {
            sorted_by: Column::Cpu,
            is_descending: true,
            selected: Key::Nobody,
            place: 0,
            first: 0,
        };
        Self {
            frame: Frame::default(),
            later: None,
            skipped: 0,
            history: History::default(),
            is_paused: false,
            is_help: false,
            filter: String::new(),
            is_typing: false,
            view: match targets {
                1 => View::Roles,
                _ => View::Targets,
            },
            tables: [table; View::ALL.len()],
            page: 1,
        }
    }

    /// Takes in the figures of another interval.
    pub fn add(&mut self, frame: Frame) {
        self.history.add(&frame);
        if self.is_paused {
            self.skipped += 1;
            self.later = Some(frame);
        } else {
            self.frame = frame;
        }
        self.settle();
    }

    /// Says for how many lines of the table there is room.
    pub fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        self.settle();
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if with_control => return Action::Quit,
            KeyCode::Char('z') if with_control => return Action::Suspend,
            KeyCode::Char('l') if with_control => return Action::Redraw,
            KeyCode::Char('u') if with_control && self.is_typing => self.filter.clear(),
            KeyCode::Char(_) if with_control => {}
            _ if self.is_help => self.is_help = false,
            code if self.is_typing && self.typed(code) => {}
            KeyCode::Char('q') => return Action::Quit,
            code => self.command(code),
        }
        self.settle();
        Action::Draw
    }

    /// Takes a key as part of the filter; false if it is none.
    fn typed(&mut self, code: KeyCode) -> bool {
        match code {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => return false,
        }
        true
    }

    fn command(&mut self, code: KeyCode) {
        let (page, last) = (self.page as isize, isize::MAX);
        match code {
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.is_help = true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char(' ') => self.pause_or_go_on(),
            KeyCode::Char('1') => self.view = View::Targets,
            KeyCode::Char('2') => self.view = View::Roles,
            KeyCode::Char('3') => self.view = View::Connections,
            KeyCode::Tab => self.view = self.other_view(1),
            KeyCode::BackTab => self.view = self.other_view(View::ALL.len() - 1),
            KeyCode::Left | KeyCode::Char('<') => self.sort_by_another(-1),
            KeyCode::Right | KeyCode::Char('>') => self.sort_by_another(1),
            KeyCode::Char('r') => self.table_mut().is_descending ^= true,
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::PageUp => self.select(-page),
            KeyCode::PageDown => self.select(page),
            KeyCode::Home | KeyCode::Char('g') => self.select(-last),
            KeyCode::End | KeyCode::Char('G') => self.select(last),
            _ => {}
        }
    }

    fn pause_or_go_on(&mut self) {
        self.is_paused ^= true;
        if let Some(later) = self.later.take() {
            self.frame = later;
        }
        self.skipped = 0;
    }

    fn other_view(&self, steps: usize) -> View {
        View::ALL[(self.view as usize + steps) % View::ALL.len()]
    }

    /// The column next to the one that is sorted by; text begins with A, figures with the largest.
    fn sort_by_another(&mut self, step: isize) {
        let columns = Column::of(self.view);
        let table = self.table_mut();
        let place = columns.iter().position(|it| *it == table.sorted_by);
        let place = place.unwrap_or(0).saturating_add_signed(step);
        table.sorted_by = columns[place.min(columns.len() - 1)];
        table.is_descending = !table.sorted_by.is_text();
    }

    /// The column that is sorted by, and whether from large to small.
    #[must_use]
    pub fn sorting(&self) -> (Column, bool) {
        let table = self.table();
        (table.sorted_by, table.is_descending)
    }

    /// The last minutes of a row, as far as they are shown, oldest first; none where there were no figures.
    #[must_use]
    pub fn history(&self, row: &Row) -> Vec<Option<Point>> {
        self.history.of(row.key, self.skipped)
    }

    fn table(&self) -> &Table {
        &self.tables[self.view as usize]
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.tables[self.view as usize]
    }
}
