//! What reports say of snapshots whose right answers are known by other means.

mod alerts;
mod around;
mod calibration;
mod claims;
mod connections;
mod counters;
mod creations;
mod dashboards;
mod diff;
mod documentation;
mod faults;
mod figures;
mod findings;
#[path = "../support/grafana.rs"]
mod grafana;
mod histograms;
mod in_kernel;
mod marginal;
mod otlp;
#[path = "../support/otlp.rs"]
mod otlp_support;
mod pages;
#[path = "../support/pftrace.rs"]
mod pftrace;
mod profiles;
mod prometheus;
mod queries;
mod ranking;
mod records;
mod repeats;
mod rules;
mod sample;
mod server;
mod side_by_side;
mod stacks;
mod switch_latency;
mod tables;
mod timeline;
mod top;
mod user_space;
mod watch;
mod wrong;
