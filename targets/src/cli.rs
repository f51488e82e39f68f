//! The command line: types only.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::load::{Booking, Workload};
use crate::models::{self, MODELS, Pool, PoolMode};
use crate::{quantity, store};

/// Reference servers, one per concurrency model, and a load generator for them.
#[derive(Debug, Parser)]
#[command(name = "connscope-target", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  connscope-target serve --model event-loop --listen 127.0.0.1:7000
  connscope-target load --connect 127.0.0.1:7000 --connections 100 --rate 20000
  redis-cli -p 7000 info";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve one concurrency model until SIGTERM or SIGINT
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Offer load to a server and report what its clients saw
    #[command(after_help = LOAD_EXAMPLES)]
    Load(Load),
    /// List the concurrency models, one per line
    Models(Models),
}

const SERVE_EXAMPLES: &str = "\
Prints `listening on ADDRESS` when clients are served. Ends with status 0 within 2 s of SIGTERM or
SIGINT, after answering the requests already read.

Examples:
  connscope-target serve --model process-per-connection --resident 512MiB
  connscope-target serve --model thread-per-connection --listen 127.0.0.1:0 --max-connections 100
  connscope-target serve --model async-tasks --workers 4 --counters /dev/shm/async.counters
  connscope-target serve --model pooler --backend 127.0.0.1:7000 --listen 127.0.0.1:7001";

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Concurrency model
    #[arg(long, value_parser = PossibleValuesParser::new(MODELS.iter().map(|model| model.name)))]
    pub(crate) model: String,
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:7000")]
    pub(crate) listen: SocketAddr,
    /// Connections that may wait to be accepted (capped by net.core.somaxconn)
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(i32).range(1..=65535))]
    pub(crate) backlog: i32,
    /// Connections served at a time; one more gets an error reply [default: no limit]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,
    /// Size of the state that all connections share
    #[arg(long, default_value = "64MiB", value_parser = shared_state)]
    pub(crate) shared_state: usize,
    /// Stack of each thread and each coroutine (address space; what is not touched takes no memory)
    #[arg(long, default_value = "1MiB", value_parser = stack_size)]
    pub(crate) stack_size: usize,
    /// Heap to write before serving: what a fork has to copy page tables for
    #[arg(long, default_value = "0", value_parser = quantity::bytes)]
    pub(crate) resident: usize,
    /// Obey CRASH, which ends what executes it by a null pointer
    #[arg(long)]
    pub(crate) allow_crash: bool,
    /// Threads or processes that serve, in models with a fixed number of them [default: one for each CPU that this
    /// process may use]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Threads of a pool that grows while some of them wait [default: 1024]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=32768))]
    pub(crate) max_workers: Option<u16>,
    /// File to keep counters of a scheduler in user space in (docs/counters.md); best on a tmpfs, or
    /// an open one by its descriptor: /proc/self/fd/3
    #[arg(long, value_name = "FILE")]
    pub(crate) counters: Option<PathBuf>,
    /// Options of the pooler.
    #[command(flatten)]
    pub(crate) pool: PoolOptions,
}

/// Options of the model that stands in front of another server.
#[derive(Debug, Args)]
pub(crate) struct PoolOptions {
    /// Server that a pooler forwards requests to
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) backend: Option<SocketAddr>,
    /// Connections that a pooler makes to it, at most [default: 20]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pool_size: Option<u16>,
    /// How long a client of a pooler holds such a connection [default: transaction]
    #[arg(long, value_enum)]
    pub(crate) pool_mode: Option<PoolMode>,
    /// Clients of a pooler that may wait for one; one more gets an error reply [default: no limit]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue_limit: Option<u32>,
    /// How long they may wait before they get an error reply (up to 1h) [default: 5s]
    #[arg(long, value_parser = window)]
    pub(crate) queue_timeout: Option<Duration>,
}

impl PoolOptions {
    /// What the pooler is to do, if there is a server behind it.
    pub(crate) fn pool(&self) -> Option<Pool> {
        Some(Pool {
            backend: self.backend?,
            size: self.pool_size.unwrap_or(20).into(),
            mode: self.pool_mode.unwrap_or(PoolMode::Transaction),
            queue_limit: self.queue_limit.map_or(usize::MAX, |limit| limit as usize),
            queue_timeout: self.queue_timeout.unwrap_or(Duration::from_secs(5)),
        })
    }
}

impl Serve {
    /// The options given that not every model takes.
    fn special(&self) -> impl Iterator<Item = &'static str> {
        let pool = &self.pool;
        let given = [
            ("--workers", self.workers.is_some()),
            ("--max-workers", self.max_workers.is_some()),
            ("--counters", self.counters.is_some()),
            ("--backend", pool.backend.is_some()),
            ("--pool-size", pool.pool_size.is_some()),
            ("--pool-mode", pool.pool_mode.is_some()),
            ("--queue-limit", pool.queue_limit.is_some()),
            ("--queue-timeout", pool.queue_timeout.is_some()),
        ];
        given
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
    }

    /// Ends the program with status 2 and a message where an option does not go with the model.
    pub(crate) fn check(&self) {
        let Some(model) = models::find(&self.model) else {
            return;
        };
        for option in self.special() {
            if !model.options.contains(&option) {
                let takers = MODELS
                    .iter()
                    .filter(|model| model.options.contains(&option));
                let takers: Vec<_> = takers.map(|model| model.name).collect();
                refuse(&format!(
                    "{option} has no meaning for --model {}; it is for {}",
                    self.model,
                    takers.join(", ")
                ));
            }
        }
        if model.options.contains(&"--backend") && self.pool.backend.is_none() {
            refuse(&format!(
                "--model {} needs --backend ADDRESS: the server that it forwards requests to",
                self.model
            ));
        }
    }
}

/// Ends the program as bad usage does.
fn refuse(message: &str) -> ! {
    let mut command = Cli::command();
    let mut serve = command.find_subcommand_mut("serve").map(std::mem::take);
    serve
        .get_or_insert_default()
        .error(ErrorKind::ArgumentConflict, message)
        .exit()
}

const LOAD_EXAMPLES: &str = "\
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

/// Options of `models`.
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// Form of the list; as JSON it says too which options each model takes
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn shared_state(text: &str) -> Result<usize, String> {
    within(
        quantity::bytes(text)?,
        store::MIN_BYTES..=store::MAX_BYTES,
        "2MiB to 64GiB",
    )
}

fn stack_size(text: &str) -> Result<usize, String> {
    within(quantity::bytes(text)?, 64 << 10..=1 << 30, "64KiB to 1GiB")
}

fn touch(text: &str) -> Result<usize, String> {
    within(quantity::bytes(text)?, 1..=1 << 30, "1 to 1GiB")
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let bounds = f64::MIN_POSITIVE..=10e6;
    within(rate, bounds, "more than 0 up to 10000000")
}

fn window(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    within(quantity::duration(text)?, bounds, "1ms to 1h")
}

fn warm_up(text: &str) -> Result<Duration, String> {
    within(
        quantity::duration(text)?,
        Duration::ZERO..=Duration::from_secs(3600),
        "0 to 1h",
    )
}

fn within<T: PartialOrd>(
    value: T,
    bounds: std::ops::RangeInclusive<T>,
    words: &str,
) -> Result<T, String> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(format!("not within {words}"))
    }
}
