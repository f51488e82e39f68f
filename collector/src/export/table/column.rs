//! A column of a table: what its figures are of, and what they may be missing for.

use super::figures::{Figure, why_unavailable};
use super::units::{self, Unit};
use crate::report::client::Latency;
use crate::report::distribution::Distribution;
use crate::report::measures::KernelMeasures;
use crate::report::spread::Spread;
use crate::report::{Report, Target};
use crate::snapshot::TargetKind;

/// What the figures of a column are of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    pub(super) report: &'a Report,
    pub(super) target: &'a Target,
    /// Of the target, or of one of its roles.
    pub(super) kernel: &'a KernelMeasures,
    pub(super) tasks: u64,
    /// The column is of a role: figures of the whole target are absent.
    pub(super) is_role: bool,
    /// Of several repeats the smallest and largest are shown beside the median.
    pub(super) ranges: bool,
}

impl Column<'_> {
    /// The mean over repeats of what the report sums over them.
    pub(super) fn per_repeat(&self, sum: f64) -> f64 {
        sum / self.target.repeats.max(1) as f64
    }

    /// Clients' figures are of whole targets of ours.
    pub(super) fn has_clients(&self) -> bool {
        !self.is_role
            && (self.target.measures.client.is_some() || self.target.kind == TargetKind::Reference)
    }

    pub(super) fn client_latency(&self) -> Option<&Latency> {
        self.target.measures.client.as_ref()?.latency.as_ref()
    }

    pub(super) fn no_client(&self) -> String {
        match &self.target.measures.client {
            None => "the load generator did not report".to_owned(),
            Some(_) => "no request was answered".to_owned(),
        }
    }

    pub(super) fn unavailable(&self, measures: &[&str]) -> String {
        why_unavailable(self.report, measures).unwrap_or_else(|| "not measured".to_owned())
    }

    /// Client figures of the target with their spread, if this column has them.
    pub(super) fn client_spread(&self, spread: Option<&Spread>, unit: Unit) -> Figure {
        if !self.has_clients() {
            return Figure::Absent;
        }
        Figure::spread(spread, unit, self.ranges, || self.no_client())
    }

    /// A figure of a distribution; `measure` is its name in the report.
    pub(super) fn distribution(
        &self,
        distribution: Option<&Distribution>,
        measure: &str,
        figure: fn(&Distribution) -> Option<f64>,
    ) -> Figure {
        let Some(distribution) = distribution else {
            return Figure::Missing(self.unavailable(&[measure]));
        };
        Figure::of(
            figure(distribution).map(units::time),
            || match distribution.count {
                0 => "no sample in the window".to_owned(),
                _ => "longer than the histogram reaches".to_owned(),
            },
        )
    }
}
