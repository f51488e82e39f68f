//! The command line: types only.

mod load;
mod manuals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use self::load::{Format, Load};
pub(crate) use self::manuals::{Completions, Man};

use self::load::LOAD_EXAMPLES;
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
    /// Print the completions of this command line for a shell
    Completions(Completions),
    /// Write the manual pages: connscope-target(1) and one for each command
    Man(Man),
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

/// Options of `models`.
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// Form of the list; as JSON it says too which options each model takes
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// List those that cannot be served here instead, since their programs were not built
    #[arg(long)]
    pub(crate) not_built: bool,
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

fn window(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    within(quantity::duration(text)?, bounds, "1ms to 1h")
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
