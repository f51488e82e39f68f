//! Clients at work, by the tools that people know; they end when dropped.

use super::postgresql::installed;
use crate::program::Running;
use std::process::Command;

/// Makes the tables that `pgbench` works on: 100,000 rows for each unit of scale.
#[track_caller]
pub fn pgbench_tables(port: u16, scale: u32) {
    let ended = pgbench(port, &format!("-i -q -s {scale}")).finish();
    ended.exits(0);
}

/// `pgbench` with these options: `-S` reads only, `-C` connects for each transaction, `-c` clients, `-T` for so
/// many seconds, `-t` so many transactions each.
#[track_caller]
pub fn pgbench(port: u16, options: &str) -> Running {
    let mut command = Command::new(installed("pgbench"));
    command
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(options.split_whitespace())
        .arg("postgres")
        .env("LC_ALL", "C.UTF-8");
    Running::start(command)
}

/// `sysbench` on MySQL or MariaDB: a script of it such as `oltp_read_only`, options, and what to do: `prepare`,
/// `run`.
#[track_caller]
pub fn sysbench(port: u16, words: &str) -> Running {
    let mut words = words.split_whitespace();
    let script = words.next().expect("a script");
    let mut command = Command::new("sysbench");
    command
        .args([script, "--db-driver=mysql", "--mysql-host=127.0.0.1"])
        .arg(format!("--mysql-port={port}"))
        .args([
            "--mysql-user=root",
            "--mysql-password=",
            "--mysql-db=sysbench",
        ])
        .args(words);
    Running::start(command)
}

#[track_caller]
pub fn redis_benchmark(port: u16, options: &str) -> Running {
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(options.split_whitespace());
    Running::start(command)
}
