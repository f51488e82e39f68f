//! What a connection really costs in the Linux kernel, per concurrency model.
//!
//! The data goes one way: probes and cgroups into a [`snapshot`], snapshots into a [`report`],
//! a report out through [`export`].

pub mod snapshot;
pub mod export;
pub mod report;
