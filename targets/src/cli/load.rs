//! Options of `load`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{window, within};
use crate::load::{Booking, Workload};
use crate::quantity;

/// What is to be known beside the options.
pub(super) const LOAD_EXAMPLES: &str = "\
Open loop (the default): requests fall due on a fixed schedule whatever the answers do, and latency
counts from when each was due, so a stall is charged to everyone it delayed. Closed loop (--closed):
each connection sends its next request on the answer, for peak throughput; its latency hides stalls.

Status 0: the run was complete. 1: it ended early, lost a connection, or got an error reply or a
wrong answer; the result says which. Requests left unanswered are counted, in the latency too, and
are no failure. 2: bad usage.

With --paced, one JSON object per line goes to standard output, and a newline on standard input is
waited for where said; the end of standard input ends the run at once:
  {\"event\":\"connected\",\"connections\":n}   after each ramp step; waits
  {\"event\":\"measuring\"}                   the measured window opens
  {\"event\":\"measured\"}                    it closes; waits, and goes on offering load meanwhile
  {\"event\":\"done\",\"result\":{...}}         the end
  {\"event\":\"failed\",\"reason\":\"...\"}       in case of failure, before done (if there is a result)

Examples:
  connscope-target load --connect 127.0.0.1:7000 --connections 1000 --rate 50000 --duration 10s
  connscope-target load --connect 127.0.0.1:7000 --workload ping --closed --format json
  connscope-target load --connect 127.0.0.1:7000 --workload idle --connections 10000 \\
      --ramp-steps 10 --touch 64KiB --paced";

/// Options of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Server to load
    #[arg(long, default_value = "127.0.0.1:7000")]
    pub(crate) connect: SocketAddr,
    /// Connections to hold (1 to 60000)
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) connections: u32,
    /// Requests per second over all connections together (up to 10 million)
    #[arg(long, default_value_t = 1000.0, value_parser = rate, conflicts_with = "closed")]
    pub(crate) rate: f64,
    /// Length of the measured window (up to 1h)
    #[arg(long, default_value = "5s", value_parser = window)]
    pub(crate) duration: Duration,
    /// Load offered before the window, not counted (up to 1h)
    #[arg(long, default_value = "1s", value_parser = warm_up)]
    pub(crate) warm_up: Duration,
    /// Threads that send and receive, each on its share of the connections (1 to 64). One, unless it is said to be
    /// the bottleneck and the server has CPUs of its own: on one host each more takes CPU time from the server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// What to request
    #[arg(long, value_enum, default_value_t = Workload::GetSet)]
    pub(crate) workload: Workload,
    /// What keeps a seat of `booking` from being sold twice
    #[arg(long, value_enum, default_value_t = Booking::Lock)]
    pub(crate) booking: Booking,
    /// Send the next request on the answer instead of on a schedule
    #[arg(long)]
    pub(crate) closed: bool,
    /// Private memory that each connection makes the server hold (up to 1GiB)
    #[arg(long, value_parser = touch)]
    pub(crate) touch: Option<usize>,
    /// Steps in which the connections are made
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) ramp_steps: u32,
    /// Try in the end how long 100 ms of CPU time for one connection hold the others up
    #[arg(long)]
    pub(crate) stall: bool,
    /// Try at the very end what a handler that crashes takes with it (serve with --allow-crash)
    #[arg(long)]
    pub(crate) crash: bool,
    /// How long the server may take to serve again after that (up to 1h)
    #[arg(long, default_value = "2s", value_parser = window)]
    pub(crate) recovery: Duration,
    /// Report phases and wait for a newline between them (see below)
    #[arg(long)]
    pub(crate) paced: bool,
    /// Form of the result
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Load a server on another machine
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn touch(text: &str) -> Result<usize, String> {
    within(quantity::bytes(text)?, 1..=1 << 30, "1 to 1GiB")
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let bounds = f64::MIN_POSITIVE..=10e6;
    within(rate, bounds, "more than 0 up to 10000000")
}

fn warm_up(text: &str) -> Result<Duration, String> {
    within(
        quantity::duration(text)?,
        Duration::ZERO..=Duration::from_secs(3600),
        "0 to 1h",
    )
}
