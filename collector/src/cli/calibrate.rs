//! The basic operations.

use super::{Output, Recorded};
use clap::Args;

/// `connscope calibrate`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Takes about 25 s, with --quick about 10 s; on two CPUs that others use too it may take twice that. Only probe_cost, the
cost of connscope's own probes, needs root; without, the report says that it is missing. Forks of
up to 1 GB are left out where that is more than a quarter of the free memory.

Examples:
  connscope calibrate
  connscope calibrate --only thread_switch,process_switch
  sudo connscope calibrate --format json --out host.json")]
pub struct Calibrate {
    /// Operations to measure; all by default (see --list)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub only: Vec<String>,
    /// Say which operations there are, and how each is measured
    #[arg(long)]
    pub list: bool,
    /// Fewer and shorter samples
    #[arg(long)]
    pub quick: bool,
    /// Where the report goes
    #[command(flatten)]
    pub output: Output,
    /// Where what it is made of goes
    #[command(flatten)]
    pub recorded: Recorded,
}

/// `connscope calibrate-operation`
#[derive(Clone, Debug, Args)]
pub struct CalibrateOperation {
    /// Name of the operation
    pub name: String,
    /// Fewer and shorter samples
    #[arg(long)]
    pub quick: bool,
}
