//! `cargo xtask`: sets the machine up, then checks, tests, measures or shows the project. It only
//! runs programs, and knows none of our crates.

mod apt;
mod bench;
mod cargo;
mod check;
mod claims;
mod demo;
mod fuzz;
mod host;
mod manuals;
mod npm;
mod package;
mod runtimes;
mod servers;
mod setup;
mod soak;
mod test;
mod vm;
mod workspace;

use clap::{Args, Parser, Subcommand};
use manuals::Prefix;
use setup::Purpose;
use std::process::ExitCode;
use test::Tier;
use workspace::Workspace;

const EXAMPLES: &str = "\
Examples:
  cargo xtask build                   install what is missing, build every program
  cargo xtask demo                    install what is missing, build, show a short comparison
  cargo xtask test                    install what is missing, run every test, root ones included
  cargo xtask test --tier pure        only the tests that need neither root nor real servers
  cargo xtask test histogram          only the tests whose path contains `histogram`
  cargo xtask test-vm                 the kernel half's root tests on the oldest and newest kernels
  cargo xtask check                   formatting, lints, who may know whom
  cargo xtask claims -- --quick       every claim, on databases of its own
  cargo xtask package                 a Debian package: programs, manual pages, completions, dashboards
  cargo xtask fuzz --seconds 3600     any bytes for the reference servers' protocol, for an hour
  cargo xtask soak --minutes 20       the exporter, while everything it watches comes and goes
  cargo xtask bench                   every benchmark, one after another
  cargo xtask bench --peer runqlat.bt another tracer beside our probes";

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the system packages that the build and the tests need and this host lacks
    Setup,
    /// Set up and build every program, the reference servers in Go and Java too, and the manual pages and
    /// completions of connscope and connscope-target
    Build(SetupArgs),
    /// Set up, build, and run a short `connscope compare` (as root, through sudo where needed)
    Demo(SetupArgs),
    /// Set up, build, and run `connscope claims` with a PostgreSQL and a MariaDB that are started for it
    Claims(ClaimsArgs),
    /// Set up and run the tests, root ones included; the last line counts them all
    Test(TestArgs),
    /// Set up and run tests on other kernels, in emulated machines: the kernel half's root tests,
    /// and what connscope says where something is missing
    TestVm(TestVmArgs),
    /// Check formatting, lints (warnings denied), crate edges, imports and file names
    Check(SetupArgs),
    /// Set up, build, and make a Debian package in target/debian/: connscope and connscope-target with manual
    /// pages, completions for bash, zsh and fish, dashboards and documentation; not the servers in Go and Java
    Package(SetupArgs),
    /// Set up and look for input that breaks a session of the reference servers
    Fuzz(FuzzArgs),
    /// Set up and run the exporter while everything it watches comes and goes: nothing of it may grow
    Soak(SoakArgs),
    /// Set up and run the benchmarks as root, one after another
    Bench(BenchArgs),
}

#[derive(Args)]
struct SetupArgs {
    /// Install nothing: the packages are here already, by other means than apt
    #[arg(long)]
    no_setup: bool,
}

#[derive(Args)]
#[command(after_help = "\
Tiers, by the name of the test file:
  root     tests/root_*.rs: need root, one at a time, they own the machine's CPUs
  servers  tests/servers_*.rs: need root and real servers, one at a time
  pure     all the rest: unit tests, documentation tests, other integration tests
tests/vm_*.rs are left to `cargo xtask test-vm`: they change the machine they run on.

A tier without any test fails; with FILTER, only if no tier had a test that matches.

Examples:
  cargo xtask test
  cargo xtask test --tier root switches")]
struct TestArgs {
    /// Run only the tests whose path contains this
    filter: Option<String>,
    /// Run only this tier (may be repeated) [default: all]
    #[arg(long = "tier", value_enum, value_name = "TIER")]
    tiers: Vec<Tier>,
    #[command(flatten)]
    setup: SetupArgs,
}

#[derive(Args)]
#[command(after_help = "\
Kernels are Debian's, downloaded into target/vm/. The machines are emulated by QEMU: neither root
nor hardware virtualisation is needed. tests/vm_locked_down.rs has a boot of its own, with
lockdown=confidentiality. What is known of each kernel: docs/kernels.md.

Examples:
  cargo xtask test-vm
  cargo xtask test-vm 6.1 6.12 newest
  cargo xtask test-vm 6.12 --only root_exits
  cargo xtask test-vm 6.1 --only vm_")]
struct TestVmArgs {
    /// Kernels: a series such as 6.12, or `newest`
    #[arg(value_name = "KERNEL", default_values = vm::Name::DEFAULT)]
    kernels: Vec<vm::Name>,
    /// Run only the tests whose path contains this
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    #[command(flatten)]
    setup: SetupArgs,
}

#[derive(Args)]
#[command(after_help = "\
With --peer, any other tracer is compared with the default probes, as a black box, on the workload
of the switch benchmarks: what its programs take at a switch above an empty one, by the kernel's
run-time statistics, and how much longer a switch takes with it, statistics off. The command is the
shell's; {pid} in it becomes the pid of the workload, and our own programs come first in its PATH. It
is ended by SIGTERM. Run it on an idle host: everything is timed in turns, but a busy one needs more
rounds than there are.

Examples:
  cargo xtask bench
  cargo xtask bench slow_down
  cargo xtask bench --all-models
  cargo xtask bench --peer runqlat.bt
  cargo xtask bench --peer 'connscope attach --pid {pid}' --peer 'cpudist-bpfcc -p {pid}'")]
struct BenchArgs {
    /// Run only this benchmark [default: all]
    name: Option<String>,
    /// Compare this tracer with our probes instead (may be repeated)
    #[arg(long = "peer", value_name = "COMMAND", conflicts_with = "name")]
    peers: Vec<String>,
    /// Measure the CPU time that a request takes of every reference server, not only of those
    /// which server_cpu holds to a limit
    #[arg(long, conflicts_with_all = ["name", "peers"])]
    all_models: bool,
    #[command(flatten)]
    setup: SetupArgs,
}

#[derive(Args)]
struct ClaimsArgs {
    /// Further arguments of `connscope claims`
    #[arg(last = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    setup: SetupArgs,
}

#[derive(Args)]
struct FuzzArgs {
    /// For so many seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    #[command(flatten)]
    setup: SetupArgs,
}

#[derive(Args)]
struct SoakArgs {
    /// For so many minutes; among the tests it is one
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    #[command(flatten)]
    setup: SetupArgs,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Setup => {
            setup::install_missing(Purpose::All)?;
            runtimes::unpack()?;
            servers::unpack()?;
            eprintln!("every package is installed");
            Ok(ExitCode::SUCCESS)
        }
        Command::Build(setup) => {
            setup.unless_refused(Purpose::Programs)?;
            cargo::build_programs()?;
            let release = Workspace::read()?.target_directory.join("release");
            let share = release.join("share");
            manuals::write(&release, &share, Prefix::Local)?;
            eprintln!("manual pages and completions are in {}", share.display());
            runtimes::build()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(setup) => {
            setup.unless_refused(Purpose::Build)?;
            demo::run()
        }
        Command::Claims(args) => {
            args.setup.unless_refused(Purpose::Servers)?;
            claims::run(&args.arguments)
        }
        Command::Test(args) => {
            let tiers = Tier::chosen(args.tiers);
            test::ensure_possible(&tiers)?;
            args.setup.unless_refused(Tier::purpose(&tiers))?;
            test::run(&tiers, args.filter.as_deref())
        }
        Command::TestVm(args) => {
            args.setup.unless_refused(Purpose::VmTests)?;
            vm::run(&args.kernels, args.only.as_deref())
        }
        Command::Check(setup) => {
            setup.unless_refused(Purpose::Build)?;
            check::run()
        }
        Command::Package(setup) => {
            setup.unless_refused(Purpose::Package)?;
            cargo::build_programs()?;
            let target = Workspace::read()?.target_directory;
            let package = package::build(&target.join("release"), &target.join("debian"))?;
            println!("{}", package.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Fuzz(args) => {
            args.setup.unless_refused(Purpose::Fuzz)?;
            fuzz::run(args.seconds)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Soak(args) => {
            args.setup.unless_refused(Purpose::Build)?;
            soak::run(args.minutes)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(args) => {
            args.setup.unless_refused(Purpose::Build)?;
            bench::run(args.name.as_deref(), &args.peers, args.all_models)
        }
    }
}

impl SetupArgs {
    fn unless_refused(&self, purpose: Purpose) -> anyhow::Result<()> {
        if self.no_setup {
            return Ok(());
        }
        setup::install_missing(purpose)?;
        if purpose.needs_runtimes() {
            runtimes::unpack()?;
        }
        if purpose.needs_servers() {
            servers::unpack()?;
        }
        Ok(())
    }
}
