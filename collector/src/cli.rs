//! The command line: clap types only.

mod calibrate;
mod claims;
mod compare;
mod manuals;
mod records;

pub use calibrate::{Calibrate, CalibrateOperation};
pub use claims::Claims;
pub use compare::Compare;
pub use manuals::{Completions, Man};
pub use records::{Diff, Record, Recorded, Report};

use crate::export::Format;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Measures what a client connection really costs in the Linux kernel, per concurrency model
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// No progress bar and no remarks on stderr; errors are still shown
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo connscope compare
  sudo connscope compare --models event-loop,thread-per-connection --connections 10,1000
  sudo connscope attach --pid 4711 --duration 10s
  sudo connscope record run.connscope --postgres 5432 --duration 1m
  connscope report run.connscope --html run.html
  connscope diff before.connscope after.connscope
  sudo connscope serve --config connscope.toml
  sudo connscope top --postgres 5432
  connscope calibrate
  sudo connscope claims --quick
  connscope doctor";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start reference servers, one per concurrency model, drive load, watch, report side by side
    Compare(Compare),
    /// Watch running processes for a while, then report
    Attach(Attach),
    /// Watch running processes and keep what was seen in a file, snapshot by snapshot
    Record(Record),
    /// Report what is in a record, or in several side by side
    Report(Report),
    /// Say what differs between two records, and what was not seen to
    Diff(Diff),
    /// Watch for ever, and let Prometheus read what was seen
    Serve(Serve),
    /// Watch running processes live, in the terminal
    Top(Top),
    /// Measure what the basic operations cost on this host: switches, forks, threads, faults
    Calibrate(Calibrate),
    /// Measures one operation for `calibrate`, in a process of its own
    #[command(hide = true)]
    CalibrateOperation(CalibrateOperation),
    /// Put folklore about processes, threads, tasks and databases to the test on this host
    Claims(Claims),
    /// Say what this host allows, and what to do about the rest
    Doctor(Doctor),
    /// Print the completions of this command line for a shell
    Completions(Completions),
    /// Write the manual pages: connscope(1) and one for each command
    Man(Man),
}

/// Where a report goes and how it looks.
#[derive(Clone, Debug, Args)]
pub struct Output {
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the report to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Where the reference servers are.
#[derive(Clone, Debug, Args)]
pub struct Servers {
    /// The `connscope-target` binary; by default the one beside this program, or in PATH
    #[arg(long, value_name = "FILE")]
    pub target_binary: Option<PathBuf>,
}

/// What is too dear to be measured always, and for everybody.
#[derive(Clone, Copy, Debug, Args)]
pub struct Extent {
    /// What is looked at in windows only
    #[command(flatten)]
    pub windows: Windows,
    /// Count with the kernel's and the CPU's perf counters too: an event on each task, which costs each of
    /// its context switches some 0.4 us while it is measured (see docs/measures.md)
    #[arg(long)]
    pub counters: bool,
}

/// The share of the time that measures too dear to run always are given.
#[derive(Clone, Copy, Debug, Args)]
pub struct Windows {
    /// Share of the time in which page faults are looked at one by one, 0 to 100; 0 for never
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = share)]
    pub fault_windows: f64,
    /// Share of the time in which the latency of context switches is measured, 0 to 100
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = share)]
    pub switch_windows: f64,
    /// Time that may be spent after the measured time on sampling what processes hold of their own,
    /// as a share of the measured time, 0 to 100; 0 for never. Of what runs already as much again while it is
    /// measured, whenever its connections have become more or fewer
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = share)]
    pub own_memory_budget: f64,
}

impl Windows {
    /// The same for the probes.
    #[must_use]
    pub fn options(&self) -> probe_ebpf::Options {
        probe_ebpf::Options {
            fault_share: self.fault_windows,
            switch_share: self.switch_windows,
            ..probe_ebpf::Options::default()
        }
    }
}

/// Whom to watch, of what already runs.
#[derive(Clone, Debug, Args)]
pub struct Targets {
    /// Processes to watch, with their threads and all that descends from them
    #[arg(long, value_delimiter = ',', value_name = "PID,...",
          value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: Vec<u32>,
    /// PostgreSQL servers
    #[arg(long, value_delimiter = ',', value_name = "SERVER,...", value_parser = NonEmptyStringValueParser::new())]
    pub postgres: Vec<String>,
    /// MySQL or MariaDB servers
    #[arg(long, value_delimiter = ',', value_name = "SERVER,...", value_parser = NonEmptyStringValueParser::new())]
    pub mysql: Vec<String>,
    /// Redis or Valkey servers
    #[arg(long, value_delimiter = ',', value_name = "SERVER,...", value_parser = NonEmptyStringValueParser::new())]
    pub redis: Vec<String>,
    /// PgBouncers
    #[arg(long, value_delimiter = ',', value_name = "SERVER,...", value_parser = NonEmptyStringValueParser::new())]
    pub pgbouncer: Vec<String>,
    /// Servers of any kind, by the TCP port that they listen at in their own network namespace
    #[arg(long, value_delimiter = ',', value_name = "PORT,...",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,
    /// All that runs in a systemd unit now, and what descends from it
    #[arg(long, value_delimiter = ',', value_name = "UNIT,...", value_parser = NonEmptyStringValueParser::new())]
    pub unit: Vec<String>,
    /// All that runs in a cgroup now, or below it, and what descends from that
    #[arg(long, value_delimiter = ',', value_name = "PATH,...", value_parser = NonEmptyStringValueParser::new())]
    pub cgroup: Vec<String>,
    /// Log in to watched PostgreSQL servers for names and waits: a URL, or words like `user=watch dbname=postgres`.
    /// Without a DSN, as PGUSER and its like, a service file and ~/.pgpass say. A DSN without host and port is for
    /// every one that is watched (see docs/attach.md)
    #[arg(long, value_name = "DSN", num_args = 0..=1, default_missing_value = "")]
    pub postgres_dsn: Vec<String>,
    /// The same for MySQL and MariaDB; without a DSN, as ~/.my.cnf and MYSQL_PWD say
    #[arg(long, value_name = "DSN", num_args = 0..=1, default_missing_value = "")]
    pub mysql_dsn: Vec<String>,
    /// Name the connections of MySQL and MariaDB that are at work too, without a login, by the socket that each
    /// thread was seen to wait at before (see docs/attach.md)
    #[arg(long)]
    pub busy_connections: bool,
}

/// Whom to watch, for how long, and what of it.
#[derive(Clone, Debug, Args)]
pub struct Watched {
    /// Whom
    #[command(flatten)]
    pub targets: Targets,
    /// How long to watch; until Ctrl-C by default
    #[arg(long, value_name = "TIME", value_parser = measured_time)]
    pub duration: Option<Duration>,
    /// What is looked at besides
    #[command(flatten)]
    pub extent: Extent,
}

/// `connscope attach`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without a word on what to watch, it is the one database server that runs here; if there are several, they
are listed with what chooses each. A SERVER is a port that it listens at, its pid, its data directory or its
systemd unit. All of these can be given more than once, and each is a target of its own.

Examples:
  sudo connscope attach --duration 10s
  sudo connscope attach --postgres 5432 --postgres 5433 --pgbouncer 6432 --duration 1m
  sudo connscope attach --postgres /var/lib/postgresql/15/main --format json --out run.json
  sudo connscope attach --port 8080 --duration 10s --flamegraph busy.svg
  sudo connscope attach --port 8080 --duration 5s --timeline run.pftrace
  sudo PGUSER=watch PGPASSWORD=... connscope attach --postgres 5432
  sudo connscope attach --pid 4711,4712")]
pub struct Attach {
    /// Whom, and what of them
    #[command(flatten)]
    pub watched: Watched,
    /// Show each rule of the findings at the end: its threshold and why, the figure, and what could not
    /// be measured (see docs/findings.md)
    #[arg(long)]
    pub explain: bool,
    /// Take stacks of tasks that run and of those that leave a CPU, as long as it watches (30s without --duration, 10min
    /// at most), and write them as flame graphs, for a browser (see docs/records.md)
    #[arg(long, value_name = "SVG")]
    pub flamegraph: Option<PathBuf>,
    /// Write what tasks do one by one for ui.perfetto.dev, as long as it watches (10s without --duration, 10min at most):
    /// switches, creations, shootdowns; not together with stacks, since their programs would be in the times
    #[arg(long, value_name = "OUT", conflicts_with = "flamegraph")]
    pub timeline: Option<PathBuf>,
    /// Where the report goes
    #[command(flatten)]
    pub output: Output,
    /// Where what it is made of goes
    #[command(flatten)]
    pub recorded: Recorded,
}

/// `connscope serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without a configuration it watches the database servers that it finds, and listens on 127.0.0.1:9964. SIGHUP
reads the configuration anew; one that is wrong changes nothing. See docs/serve.md.

Examples:
  sudo connscope serve
  connscope serve --config dashboards/connscope.example.toml --check-config
  sudo connscope serve --config connscope.toml --dry-run
  sudo connscope serve --config connscope.toml
  curl -s http://127.0.0.1:9964/metrics")]
pub struct Serve {
    /// The configuration; /etc/connscope/connscope.toml by default, if that is there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen there, whatever the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Only say whether the configuration is sound
    #[arg(long)]
    pub check_config: bool,
    /// Load the probes, look for the targets, and only print how many series there would be
    #[arg(long, conflicts_with = "check_config")]
    pub dry_run: bool,
}

/// `connscope top`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Targets are chosen as by `connscope attach`: without a word on them, it is the one database server that runs here.
Press ? in it for its keys and for what the columns mean. It draws on a terminal; for a report in a file or a pipe
use `connscope attach`.

Examples:
  sudo connscope top
  sudo connscope top --postgres 5432 --pgbouncer 6432
  sudo connscope top --pid 4711 --interval 500ms
  sudo NO_COLOR=1 connscope top --unit nginx.service")]
pub struct Top {
    /// Whom
    #[command(flatten)]
    pub targets: Targets,
    /// How often the figures are taken anew; each is of one such interval
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

/// `connscope doctor`
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// How the findings are written
    #[arg(long, default_value = "table", value_parser = table_or_json())]
    pub format: Format,
}

/// Of what has no page.
fn table_or_json() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["table", "json"]).map(|name| match name.as_str() {
        "json" => Format::Json,
        _ => Format::Table,
    })
}

/// From a tenth of a second, below which nothing settles, to a day.
fn measured_time(text: &str) -> Result<Duration, String> {
    time_within(
        text,
        Duration::from_millis(100),
        Duration::from_secs(86_400),
    )
}

/// Reading 10,000 tasks takes some 10 ms; what is a minute old is not live.
fn interval(text: &str) -> Result<Duration, String> {
    time_within(text, Duration::from_millis(100), Duration::from_secs(60))
}

/// A share of 1 from a percentage.
fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent: f64 = number
        .parse()
        .map_err(|_| "not a number; write a percentage, such as 2 or 100%".to_owned())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent / 100.0),
        false => Err("out of range; between 0 and 100".to_owned()),
    }
}

fn time_within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|_| "not a time; write a number and a unit, such as 500ms, 5s or 2m".to_owned())?;
    if (least..=most).contains(&time) {
        return Ok(time);
    }
    let (least, most) = (
        humantime::format_duration(least),
        humantime::format_duration(most),
    );
    Err(format!("out of range; between {least} and {most}"))
}
