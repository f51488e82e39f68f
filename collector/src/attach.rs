//! Whom to watch: the one list of kinds of target.

pub mod bound;
pub mod cgroup;
pub mod launched;
pub mod models;
pub mod process;
