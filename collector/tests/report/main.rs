//! What reports say of snapshots whose right answers are known by other means.

mod around;
mod calibration;
mod claims;
mod connections;
mod counters;
mod creations;
mod documentation;
mod faults;
mod figures;
mod findings;
mod histograms;
mod in_kernel;
mod marginal;
mod profiles;
mod prometheus;
mod ranking;
mod repeats;
mod rules;
mod sample;
mod server;
mod switch_latency;
mod tables;
mod top;
mod user_space;
mod watch;
mod wrong;
