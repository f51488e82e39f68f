//! Folklore, put to the test.

use super::{Output, Recorded, Servers};
use clap::{Args, builder::NonEmptyStringValueParser};
use std::path::PathBuf;

/// `connscope claims`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without sudo, what needs to watch other tasks is said to be not measurable here, and the rest is measured.
See docs/claims.md.

Examples:
  sudo connscope claims
  sudo connscope claims --quick --only fork-50mb,thread-create
  sudo connscope claims --postgres 5432 --mysql mysql://root@127.0.0.1:3306
  sudo connscope claims --file my-claims.toml --format json --out claims.json
  sudo connscope claims --record claims.connscope
  connscope claims --list")]
pub struct Claims {
    /// Claims to put to the test; all by default
    #[arg(long, value_delimiter = ',', value_name = "ID,...")]
    pub only: Vec<String>,
    /// Claims of your own, put to the test after ours: a file of the same form as ours (see docs/claims.md)
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// PostgreSQL to put claims on databases to the test on: a port of this host, or a URL. They get a database of
    /// their own, which is removed afterwards
    #[arg(long, value_name = "PORT|URL", value_parser = NonEmptyStringValueParser::new())]
    pub postgres: Option<String>,
    /// MySQL or MariaDB, likewise
    #[arg(long, value_name = "PORT|URL", value_parser = NonEmptyStringValueParser::new())]
    pub mysql: Option<String>,
    /// List the claims, and what there is to judge others by; measure nothing
    #[arg(long)]
    pub list: bool,
    /// Three rounds instead of five, and shorter windows: up to two minutes instead of six, and wider intervals
    #[arg(long)]
    pub quick: bool,
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
