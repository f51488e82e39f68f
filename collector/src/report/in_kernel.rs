//! What was measured of functions of the kernel itself, where they can be entered.

use super::calls::Called;
use super::distribution::Distribution;
use super::error::Problem;
use super::histogram::Samples;
use crate::snapshot::{Histogram, Role};

/// What a group of tasks called in a window, or in several; none where it could not be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct InKernel {
    pub(super) called: Called,
    page_table_copy: Option<Samples>,
    shootdown_latency: Option<Samples>,
}

impl InKernel {
    /// Creations from `before`, all else from `start`, to `end`.
    ///
    /// # Errors
    /// [`Problem::Backwards`] if a count decreased.
    pub(super) fn between(before: &Role, start: &Role, end: &Role) -> Result<Self, Problem> {
        let samples = |from: &Option<Histogram>, to: &Option<Histogram>, what: &str| {
            let none = Histogram::default();
            let from = from.as_ref().unwrap_or(&none);
            let name = format!("{what} of role {}", end.name);
            let between = |to| Samples::between(from, to, &name);
            to.as_ref().map(between).transpose()
        };
        Ok(Self {
            called: Called::between(before.kernel_calls.as_ref(), end.kernel_calls.as_ref())?,
            page_table_copy: samples(
                &before.page_table_copy,
                &end.page_table_copy,
                "page_table_copy",
            )?,
            shootdown_latency: samples(
                &start.shootdown_latency,
                &end.shootdown_latency,
                "shootdown_latency",
            )?,
        })
    }

    /// Takes in what another group called.
    ///
    /// # Errors
    /// If the histograms do not have the same buckets.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), Problem> {
        self.called.add(&other.called)?;
        add(
            &mut self.page_table_copy,
            other.page_table_copy.as_ref(),
            "page_table_copy",
        )?;
        add(
            &mut self.shootdown_latency,
            other.shootdown_latency.as_ref(),
            "shootdown_latency",
        )
    }

    /// The part of forks that copied the address space.
    pub(super) fn page_table_copy(&self, method: String) -> Option<Distribution> {
        let samples = self.page_table_copy.as_ref()?;
        Some(Distribution::of(samples, method))
    }

    /// How long shootdowns held their senders up.
    pub(super) fn shootdown_latency(&self, method: String) -> Option<Distribution> {
        let samples = self.shootdown_latency.as_ref()?;
        Some(Distribution::of(samples, method))
    }
}

fn add(sum: &mut Option<Samples>, other: Option<&Samples>, what: &str) -> Result<(), Problem> {
    other.map_or(Ok(()), |other| sum.get_or_insert_default().add(other, what))
}
