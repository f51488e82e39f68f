//! Metrics for Prometheus: plain functions from snapshots to series, and from series to bytes.
//!
//! [`roles`] and [`targets`] say what is shown of a target and [`host`] what of connscope itself, all as
//! the probes have it: since the watch began. [`ledger`] makes counters of that which never go back,
//! [`budget`] bounds how many series there are, and [`encode`] writes them.

pub mod buckets;
pub mod budget;
pub mod encode;
pub mod family;
pub mod host;
pub mod ledger;
pub mod negotiate;
pub mod roles;
pub mod targets;
