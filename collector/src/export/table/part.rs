//! What a report for people is made of, from top to bottom, whatever it is written as.

use std::io;

use super::super::Style;
use super::grid::Grid;
use super::text::{Pen, columns, wrap, wrap_list};

/// A note and what it is about.
pub(in crate::export) type Note = (String, String);

/// A part of a report.
#[derive(Clone, Debug)]
pub(in crate::export) enum Part {
    /// Opens a block of figures.
    Title(String),
    /// What its figures are of.
    Words(Vec<String>),
    /// Figures.
    Grid(Grid),
    /// Figures of the same block, of something else.
    FurtherGrid(Grid),
    /// What to know, below a title.
    Notes(String, Vec<Note>),
}

impl Part {
    /// What to know of the figures above.
    pub(super) fn notes(title: &str, notes: Vec<Note>) -> Self {
        Self::Notes(title.to_owned(), notes)
    }

    /// Writes it as text.
    pub(super) fn write(&self, style: &Style, pen: Pen, out: &mut dyn io::Write) -> io::Result<()> {
        match self {
            Self::Title(title) => writeln!(out, "\n{}", pen.strong(title)),
            Self::Words(words) => {
                for line in wrap_list(words, " · ", style.width) {
                    writeln!(out, "{}", pen.faint(&line))?;
                }
                Ok(())
            }
            Self::Grid(grid) => write_grid(grid, style, out),
            Self::FurtherGrid(grid) => {
                writeln!(out)?;
                write_grid(grid, style, out)
            }
            Self::Notes(_, notes) if notes.is_empty() => Ok(()),
            Self::Notes(title, notes) => {
                writeln!(out, "\n{}", pen.strong(title))?;
                write_notes(notes, style, pen, out)
            }
        }
    }
}

fn write_grid(grid: &Grid, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    for line in grid.lines(style) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn write_notes(notes: &[Note], style: &Style, pen: Pen, out: &mut dyn io::Write) -> io::Result<()> {
    let indent = notes
        .iter()
        .map(|(about, _)| columns(about))
        .max()
        .unwrap_or(0)
        + 4;
    let room = style
        .width
        .unwrap_or(100)
        .saturating_sub(indent as u16)
        .max(20);
    for (about, note) in notes {
        for (index, line) in wrap(note, Some(room)).iter().enumerate() {
            let about = if index == 0 { about } else { "" };
            let left = format!("  {about}{}", " ".repeat(indent - 2 - columns(about)));
            writeln!(out, "{}{line}", pen.faint(&left))?;
        }
    }
    Ok(())
}
