//! Metrics for those who collect them: plain functions from snapshots to series, which every way out of them writes
//! in its own manner ([`prometheus`](super::prometheus), [`otlp`](super::otlp)).
//!
//! [`roles`] and [`targets`] say what is shown of a target and [`host`] what of connscope itself, all as
//! the probes have it: since the watch began. [`ledger`] makes counters of that which never go back,
//! [`budget`] bounds how many series there are, and [`buckets`] are the forms that histograms have outside.

pub mod buckets;
pub mod budget;
pub mod exposition;
pub mod family;
pub mod host;
pub mod ledger;
pub mod roles;
pub mod targets;
