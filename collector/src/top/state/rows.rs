//! Which rows are shown, in which order, and which of them is selected.

use super::super::figures::{Key, Row, Times, Watched};
use super::{State, View};
use std::cmp::Ordering;

impl State {
    /// All lines of the view that pass the filter, in their order.
    #[must_use]
    pub fn rows(&self) -> Vec<&Row> {
        let targets = self.frame.targets.iter();
        let mut rows: Vec<&Row> = match self.view {
            View::Targets => targets.filter_map(|it| it.whole.as_ref()).collect(),
            View::Roles => targets.flat_map(|it| &it.roles).collect(),
            View::Connections => targets.flat_map(|it| &it.tasks).collect(),
        };
        if !self.filter.is_empty() {
            let wanted = self.filter.to_lowercase();
            rows.retain(|row| self.holds(row, &wanted));
        }
        let (column, is_descending) = self.sorting();
        rows.sort_by(|one, other| {
            let order = match column.compare(one, other) {
                order if is_descending => order.reverse(),
                order => order,
            };
            order.then_with(|| one.key.cmp(&other.key))
        });
        rows
    }

    /// Whether a row's words hold a text, whatever its case.
    fn holds(&self, row: &Row, wanted: &str) -> bool {
        let tid = row.tid.map(|tid| tid.to_string()).unwrap_or_default();
        let target = self.target_of(row.key).map_or("", |it| it.name.as_str());
        let reason = row.figures.blocked.first().map_or("", |it| it.0);
        [&row.name, &row.role, &row.doing, &tid, target, reason]
            .iter()
            .any(|words| words.to_lowercase().contains(wanted))
    }

    /// The target that a row is of.
    #[must_use]
    pub fn target_of(&self, key: Key) -> Option<&Watched> {
        match key {
            Key::Nobody => None,
            Key::Target(target) | Key::Role(target, _) | Key::Task { target, .. } => {
                self.frame.targets.get(target)
            }
        }
    }

    /// The lines that fit, and the place of the selected one among them.
    #[must_use]
    pub fn page<'a, 'b>(&self, rows: &'a [&'b Row]) -> (&'a [&'b Row], usize) {
        let (first, place) = (self.table().first.min(rows.len()), self.place(rows));
        let end = rows.len().min(first + self.page);
        (&rows[first..end], place.saturating_sub(first))
    }

    /// The row whose figures are shown in full.
    #[must_use]
    pub fn selected<'a>(&self, rows: &[&'a Row]) -> Option<&'a Row> {
        rows.get(self.place(rows)).copied()
    }

    /// The row whose waits and slices are known one by one: this one, or the role of this task.
    #[must_use]
    pub fn timed<'a>(&'a self, row: &'a Row) -> Option<&'a Row> {
        match &row.times {
            Times::None => None,
            Times::Own { .. } => Some(row),
            Times::OfRole(key) => {
                let roles = &self.target_of(*key)?.roles;
                roles.iter().find(|role| role.key == *key)
            }
        }
    }

    fn place(&self, rows: &[&Row]) -> usize {
        let table = self.table();
        let found = rows.iter().position(|row| row.key == table.selected);
        found
            .unwrap_or(table.place)
            .min(rows.len().saturating_sub(1))
    }

    /// Selects the row so many lines further down.
    pub(super) fn select(&mut self, lines: isize) {
        let rows = self.rows();
        let place = self.place(&rows).saturating_add_signed(lines);
        let place = place.min(rows.len().saturating_sub(1));
        let key = rows.get(place).map_or(Key::Nobody, |row| row.key);
        let table = self.table_mut();
        (table.selected, table.place) = (key, place);
    }

    /// Keeps the selected row selected, and within what is shown.
    pub(super) fn settle(&mut self) {
        let rows = self.rows();
        let (place, count, page) = (self.place(&rows), rows.len(), self.page);
        let key = rows.get(place).map(|row| row.key);
        let table = self.table_mut();
        table.place = place;
        // Nobody has selected the first line: whoever comes there is shown.
        if table.selected != Key::Nobody
            && let Some(key) = key
        {
            table.selected = key;
        }
        let last_first = count.saturating_sub(page);
        let lowest = (place + 1).saturating_sub(page);
        table.first = match table.first.cmp(&place) {
            Ordering::Greater => place,
            _ => table.first.max(lowest),
        }
        .min(last_first.max(lowest));
    }
}
