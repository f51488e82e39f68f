//! What a metric is: a family, which has a name, and its series, which have labels and a value.

use crate::snapshot::Histogram;
use std::borrow::Cow;

/// What all names begin with.
pub const PREFIX: &str = "connscope";

/// All series of one name.
#[derive(Debug)]
pub struct Family {
    /// Its name without `connscope_`, the unit and `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// In what it is counted.
    pub unit: Unit,
    /// What sort of figure it is.
    pub kind: Kind,
    /// What it belongs to, by the name that the configuration has for it; none of what is always shown.
    pub measure: Option<&'static str>,
}

/// In what a family is counted. Series hold nanoseconds for seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    None,
    /// Time.
    Seconds,
    /// Memory.
    Bytes,
}

impl Unit {
    /// What one of what series hold is in the unit.
    #[must_use]
    pub fn scale(self) -> f64 {
        match self {
            Self::Seconds => 1e-9,
            Self::None | Self::Bytes => 1.0,
        }
    }

    /// So many of them as they are shown.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "scrapers have doubles only")]
    pub fn shown(self, number: u64) -> f64 {
        match self {
            // A division rounds once, to what the shortest decimal of it is read back as.
            Self::Seconds => number as f64 / 1e9,
            Self::None | Self::Bytes => number as f64,
        }
    }
}

/// What sort of figure a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Samples, with classic bounds at the powers of two with these exponents: of nanoseconds, or of things.
    Histogram(u32, u32),
}

/// Names and values of labels.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// One figure.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is one of.
    pub family: &'static Family,
    /// What tells it from the others.
    pub labels: Labels,
    /// The figure.
    pub value: Value,
}

/// A figure, in the unit of its family.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a gauge, as it is shown.
    Now(f64),
    /// Of a counter: things, or nanoseconds.
    Total(u64),
    /// Of a histogram, likewise.
    Samples(Histogram),
}

impl Family {
    /// A counter of things.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::of(name, help, Kind::Counter, Unit::None)
    }

    /// A gauge of things.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::of(name, help, Kind::Gauge, Unit::None)
    }

    /// A histogram of times, with bounds from 2^`from` to 2^`to` nanoseconds.
    pub(super) const fn times(
        name: &'static str,
        (from, to): (u32, u32),
        help: &'static str,
    ) -> Self {
        Self::of(name, help, Kind::Histogram(from, to), Unit::Seconds)
    }

    /// The same in another unit.
    pub(super) const fn in_unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// The same as a part of a measure.
    pub(super) const fn measures(mut self, measure: &'static str) -> Self {
        self.measure = Some(measure);
        self
    }

    const fn of(name: &'static str, help: &'static str, kind: Kind, unit: Unit) -> Self {
        Self {
            name,
            help,
            unit,
            kind,
            measure: None,
        }
    }

    /// Its name as scrapers see it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = match self.unit {
            Unit::None => "",
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
        };
        let suffix = if self.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        format!("{PREFIX}_{}{unit}{suffix}", self.name)
    }

    /// Lines of text that each of its series takes.
    #[must_use]
    pub fn lines(&self) -> usize {
        match self.kind {
            // The bounds, infinity, the sum and the count.
            Kind::Histogram(from, to) => (to - from + 1) as usize + 3,
            Kind::Gauge | Kind::Counter => 1,
        }
    }

    /// One of its series.
    pub(super) fn series(&'static self, labels: &Labels, value: Value) -> Series {
        Series {
            family: self,
            labels: labels.clone(),
            value,
        }
    }

    /// One of its series, with one more label.
    pub(super) fn labelled(
        &'static self,
        labels: &Labels,
        name: &'static str,
        label: impl Into<Cow<'static, str>>,
        value: Value,
    ) -> Series {
        let mut series = self.series(labels, value);
        series.labels.push((name, label.into()));
        series
    }
}

/// A number of things, or bytes, that there are now.
#[allow(clippy::cast_precision_loss, reason = "scrapers have doubles only")]
pub(super) fn now(number: u64) -> Value {
    Value::Now(number as f64)
}
