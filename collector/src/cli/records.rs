//! The commands around records.

use super::{Output, Watched, interval, share, time_within};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Where what reports are made of goes.
#[derive(Clone, Debug, Args)]
pub struct Recorded {
    /// Keep what the report is made of in a file too, for `connscope report` and `connscope diff`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// `connscope record`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Targets are chosen as by `connscope attach`. What is in FILE can be read at any time, also while it is written,
and after the disk was full or connscope was killed. See docs/records.md.

Examples:
  sudo connscope record before.connscope --duration 5m
  sudo connscope record night.connscope --postgres 5432 --duration 10h --interval 10s
  sudo connscope record busy.connscope --port 8080 --duration 1m --stacks 20s
  sudo connscope record run.connscope --postgres 5432 --duration 5s --timeline
  connscope report night.connscope
  connscope report busy.connscope --flamegraph busy.svg
  connscope diff before.connscope after.connscope")]
pub struct Record {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whom, and what of them
    #[command(flatten)]
    pub watched: Watched,
    /// How often a snapshot is kept
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Keep what tasks do one by one too, from the beginning for so long at most, 10s by default: switches, creations,
    /// shootdowns (see docs/records.md)
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "10s", value_parser = bounded_time)]
    pub timeline: Option<Duration>,
    /// Take stacks too, of tasks that run and of those that leave a CPU, from the beginning for at most so long; not
    /// together with a timeline, which would time their programs along with switches
    /// [default of TIME: 30s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s", value_parser = bounded_time, conflicts_with = "timeline")]
    pub stacks: Option<Duration>,
}

/// Up to ten minutes.
fn bounded_time(text: &str) -> Result<Duration, String> {
    time_within(text, Duration::from_millis(100), Duration::from_secs(600))
}

/// `connscope report`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
FILE is what `connscope record` or `--record FILE` has written, on this or another host. No privileges are needed.
Several of `calibrate`, or of `compare`, are laid side by side, a column for each host; their reports in JSON too. Of
different kinds one page can be written, with a chapter for each. See docs/records.md.

Examples:
  connscope report run.connscope
  connscope report run.connscope --format json --out run.json
  connscope report run.connscope --html run.html
  connscope report laptop.connscope server.connscope
  connscope report compare.connscope calibrate.connscope claims.connscope --html page.html
  connscope report run.connscope --flamegraph run.svg
  connscope report run.connscope --timeline run.pftrace")]
pub struct Report {
    /// The record to read; several for one report of all, or reports of `compare` or `calibrate` in JSON
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Write one page for a browser, which needs nothing besides itself: --format html --out PAGE
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["format", "out", "explain"])]
    pub html: Option<PathBuf>,
    /// Write the stacks of a record that was made with --stacks as flame graphs, for a browser
    #[arg(long, value_name = "SVG", conflicts_with_all = ["html", "format", "out", "explain", "timeline"])]
    pub flamegraph: Option<PathBuf>,
    /// Write what tasks did one by one, of a record with --timeline, for ui.perfetto.dev
    #[arg(long, value_name = "OUT", conflicts_with_all = ["format", "out", "explain", "html"])]
    pub timeline: Option<PathBuf>,
    /// Show each rule of the findings at the end, as `connscope attach --explain` does
    #[arg(long)]
    pub explain: bool,
    /// Where the report goes
    #[command(flatten)]
    pub output: Output,
}

/// `connscope diff`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Compares the repeats of two `compare --repeat N` (4 or more each), or stretches of time of two records of what ran
already. In at most 5 % of diffs of what does not differ something is said to. The more figures, the larger a
difference must be to be told from chance: ask for what matters. See docs/records.md.

Exit status: 0 no difference seen, 3 something differs, 1 nothing can be told, 2 bad usage.

Examples:
  connscope diff before.connscope after.connscope
  connscope diff before.connscope after.connscope --only latency_p99_seconds,cpu_per_request_seconds
  connscope diff before.connscope after.connscope --least-change 10% --all --format json")]
pub struct Diff {
    /// A record
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// A change of less than this is of no interest, 0 to 100
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = share)]
    pub least_change: f64,
    /// Figures to compare, by their names in the JSON; all by default
    #[arg(long, value_delimiter = ',', value_name = "FIGURE,...")]
    pub only: Vec<String>,
    /// Show the figures too of which no difference is seen (JSON always has them)
    #[arg(long)]
    pub all: bool,
    /// Where the report goes
    #[command(flatten)]
    pub output: Output,
}
