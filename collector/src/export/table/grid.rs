//! Columns of figures that fit the screen: names broken at hyphens where that is needed, and what
//! still does not fit below.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Table};

use super::super::Style;
use super::text::{Pen, columns};

/// Columns between two columns of figures.
const GAP: u16 = 2;

/// A table without lines: the first column holds labels, the others figures.
#[derive(Clone, Debug, Default)]
pub(in crate::export) struct Grid {
    /// Names of the columns, that of the labels included.
    pub(in crate::export) header: Vec<String>,
    /// From top to bottom.
    pub(in crate::export) rows: Vec<Row>,
    /// Columns besides the first one that hold words, to be aligned left.
    pub(in crate::export) words: Vec<usize>,
}

/// One row of a grid.
#[derive(Clone, Debug)]
pub(in crate::export) enum Row {
    /// Opens a group of rows.
    Heading(String),
    /// A label and its figures, as many as there are names in the header.
    Figures(Vec<String>),
}

impl Grid {
    /// The lines of the grid. Where it is too wide, columns move to further grids below the first,
    /// each with the labels and at least one column.
    pub(super) fn lines(&self, style: &Style) -> Vec<String> {
        let Some(width) = style.width.map(usize::from) else {
            return self.draw(style);
        };
        if self.total_width() <= width {
            return self.draw(style);
        }
        let narrow = self.with_narrow_header();
        let widths = narrow.widths();
        let mut lines = Vec::new();
        let mut first = 1;
        while first < widths.len() {
            let mut used = widths[0];
            let fits = widths[first..].iter().take_while(|column| {
                used += *column + usize::from(GAP);
                used <= width
            });
            let end = first + fits.count().max(1);
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.extend(narrow.part(first..end).draw(style));
            first = end;
        }
        lines
    }

    /// Whether all columns fit side by side, with names broken where that is needed.
    pub(super) fn fits(&self, style: &Style) -> bool {
        style
            .width
            .is_none_or(|width| self.with_narrow_header().total_width() <= width.into())
    }

    fn total_width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + widths.len().saturating_sub(1) * usize::from(GAP)
    }

    /// Of each column the width of its widest cell.
    fn widths(&self) -> Vec<usize> {
        let widest = |text: &str| text.lines().map(columns).max().unwrap_or(0);
        let mut widths: Vec<_> = self.header.iter().map(|name| widest(name)).collect();
        for row in &self.rows {
            match row {
                Row::Heading(title) => widths[0] = widths[0].max(widest(title)),
                Row::Figures(cells) => {
                    for (width, cell) in widths.iter_mut().zip(cells) {
                        *width = (*width).max(widest(cell));
                    }
                }
            }
        }
        widths
    }

    /// Names broken after hyphens to the width of the figures below them.
    fn with_narrow_header(&self) -> Self {
        let body = Self {
            header: vec![String::new(); self.header.len()],
            ..self.clone()
        };
        let header = self.header.iter().zip(body.widths());
        let header: Vec<_> = header
            .map(|(name, width)| break_at_hyphens(name, width))
            .collect();
        let height = header
            .iter()
            .map(|name| name.lines().count())
            .max()
            .unwrap_or(0);
        // Names stand on the rule below them, whatever their height.
        let lowered = |name: &String| " \n".repeat(height - name.lines().count().max(1)) + name;
        let header = header.iter().map(lowered).collect();
        Self {
            header,
            ..self.clone()
        }
    }

    /// The labels and some of the other columns.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let pick = |cells: &[String]| {
            std::iter::once(&cells[0])
                .chain(&cells[range.clone()])
                .cloned()
                .collect::<Vec<_>>()
        };
        Self {
            header: pick(&self.header),
            rows: self
                .rows
                .iter()
                .map(|row| match row {
                    Row::Heading(title) => Row::Heading(title.clone()),
                    Row::Figures(cells) => Row::Figures(pick(cells)),
                })
                .collect(),
            words: self
                .words
                .iter()
                .filter(|column| range.contains(column))
                .map(|column| column - range.start + 1)
                .collect(),
        }
    }

    fn draw(&self, style: &Style) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        if style.color {
            table.enforce_styling();
        }
        let bold = |text: &str| Cell::new(text).add_attribute(Attribute::Bold);
        table.set_header(self.header.iter().map(|name| bold(name)));
        for row in &self.rows {
            match row {
                Row::Heading(title) => table.add_row([bold(title)]),
                Row::Figures(cells) => table.add_row(cells.iter().map(|cell| figure(cell))),
            };
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            let words = index == 0 || self.words.contains(&index);
            column.set_padding((if index == 0 { 0 } else { GAP }, 0));
            column.set_cell_alignment(if words {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            });
        }
        let mut lines: Vec<_> = table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        let header_height = self
            .header
            .iter()
            .map(|name| name.lines().count())
            .max()
            .unwrap_or(1);
        let rule = Pen { color: style.color }.faint(&"─".repeat(self.total_width()));
        lines.insert(header_height.clamp(1, lines.len()), rule);
        lines
    }
}

/// A figure; one that could not be had is fainter than the rest.
fn figure(text: &str) -> Cell {
    let cell = Cell::new(text);
    if text.starts_with('-') && !text[1..].starts_with(|next: char| next.is_ascii_digit()) {
        return cell.add_attribute(Attribute::Dim);
    }
    cell
}

/// Breaks a name after hyphens into lines of at most `width` columns, where its parts allow it.
fn break_at_hyphens(name: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in name.split_inclusive('-') {
        match lines.last_mut() {
            Some(line) if columns(line) + columns(part) <= width => line.push_str(part),
            _ => lines.push(part.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let cells = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        Grid {
            header: cells(["", "one-model-name", "other"]),
            rows: vec![
                Row::Heading("group".to_owned()),
                Row::Figures(cells(["  label", "1.00 ms", "-¹"])),
            ],
            words: Vec::new(),
        }
    }

    fn lines(width: Option<u16>) -> Vec<String> {
        grid().lines(&Style {
            color: false,
            width,
        })
    }

    #[test]
    fn figures_are_aligned_right_below_their_names() {
        let expected = [
            "         one-model-name  other",
            "──────────────────────────────",
            "group",
            "  label         1.00 ms     -¹",
        ];
        assert_eq!(lines(None), expected);
        assert_eq!(lines(Some(30)), expected);
    }

    #[test]
    fn names_are_broken_before_columns_are_moved_below() {
        let expected = [
            "            one-",
            "          model-",
            "            name  other",
            "───────────────────────",
            "group",
            "  label  1.00 ms     -¹",
        ];
        assert_eq!(lines(Some(29)), expected);
        let narrow = lines(Some(20));
        assert!(narrow.iter().all(|line| columns(line) <= 20), "{narrow:#?}");
        assert_eq!(
            narrow.iter().filter(|line| line.contains("label")).count(),
            2,
            "{narrow:#?}"
        );
        assert!(
            narrow.iter().any(|line| line.ends_with("-¹")),
            "{narrow:#?}"
        );
    }

    #[test]
    fn emphasis_is_escapes_only_where_asked_for() {
        let plain = lines(None).concat();
        let coloured = grid()
            .lines(&Style {
                color: true,
                width: None,
            })
            .concat();
        assert!(!plain.contains('\x1b'));
        assert!(coloured.contains("\x1b["));
    }
}
