//! The main job.

use super::{Extent, Output, Recorded, Servers, measured_time, time_within};
use clap::Args;
use std::time::Duration;

/// `connscope compare`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sudo connscope compare
  sudo connscope compare --models event-loop,thread-per-connection --connections 1,100 --repeat 3
  sudo connscope compare --workload ping --rate 20000 --duration 10s --format json --out run.json")]
pub struct Compare {
    /// Concurrency models to compare; all by default (see `connscope-target models`)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub models: Vec<String>,
    /// Numbers of connections to hold
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_values_t = [1, 10, 100, 1000],
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub connections: Vec<u32>,
    /// Measured time for each model and number of connections
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = measured_time)]
    pub duration: Duration,
    /// Time under load before it is measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = warm_up_time)]
    pub warm_up: Duration,
    /// Work profile of the load generator (see `connscope-target load --help`)
    #[arg(long, value_name = "NAME", default_value = "get-set")]
    pub workload: String,
    /// What keeps a seat of the profile `booking` from being sold twice: none, lock or optimistic
    #[arg(long, value_name = "MODE", default_value = "lock")]
    pub booking: String,
    /// Requests offered a second, over all connections, whatever the answers do
    #[arg(long, value_name = "N", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub rate: u32,
    /// How often to measure each; the spread is reported
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Private memory that the server writes for each connection, such as 1MiB
    #[arg(long, value_name = "SIZE")]
    pub touch: Option<String>,
    /// Try after each window how long 100 ms of CPU time for one connection hold the others up
    #[arg(long)]
    pub stall: bool,
    /// Try at the very end what a handler that crashes takes with it, and when the server serves again
    #[arg(long)]
    pub crash: bool,
    /// What is looked at besides
    #[command(flatten)]
    pub extent: Extent,
    /// Where the servers are
    #[command(flatten)]
    pub servers: Servers,
    /// Where the report goes
    #[command(flatten)]
    pub output: Output,
    /// Where what it is made of goes
    #[command(flatten)]
    pub recorded: Recorded,
}

fn warm_up_time(text: &str) -> Result<Duration, String> {
    time_within(text, Duration::ZERO, Duration::from_secs(3_600))
}
