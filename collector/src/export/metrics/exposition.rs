//! All series of one reading.

use super::family::Series;

/// What was read at one time, as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    series: Vec<Series>,
    /// When it was read, in nanoseconds since the epoch.
    pub at_unix_ns: u64,
}

impl Exposition {
    /// Of these series, read at that time in nanoseconds since the epoch.
    #[must_use]
    pub fn of(mut series: Vec<Series>, at_unix_ns: u64) -> Self {
        series.sort_by_key(|series| series.family.name);
        Self { series, at_unix_ns }
    }

    /// Its series, those of a family together.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// How many series a scraper makes of it in text.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.series.iter().map(|series| series.family.lines()).sum()
    }

    /// The same by family.
    pub(in crate::export) fn families(&self) -> impl Iterator<Item = &[Series]> {
        self.series
            .chunk_by(|left, right| left.family.name == right.family.name)
    }
}
