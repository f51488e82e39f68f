//! What reports say of snapshots whose right answers are known by other means.

mod around;
mod creations;
mod documentation;
mod faults;
mod figures;
mod histograms;
mod marginal;
mod repeats;
mod sample;
mod tables;
mod watch;
mod wrong;
