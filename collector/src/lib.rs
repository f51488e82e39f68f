//! What a connection really costs in the Linux kernel, per concurrency model.
//!
//! The data goes one way: probes and cgroups into a [`snapshot`], snapshots into a [`report`],
//! a report out through [`export`].

pub mod arguments;
pub mod attach;
pub mod calibrate;
pub mod claims;
pub mod cli;
mod clock;
pub mod command;
pub mod counters;
pub mod diff;
pub mod errors;
pub mod export;
pub mod figures;
pub mod host;
pub mod interrupt;
pub mod limits;
pub mod lines;
pub mod load;
mod measure;
pub mod own;
mod place;
pub mod progress;
pub mod record;
pub mod report;
mod rest;
pub mod roles;
pub mod sample;
pub mod series;
pub mod serve;
pub mod side_by_side;
pub mod snapshot;
pub mod stacks;
pub mod top;
mod units;
pub mod user_space;
