//! `connscope serve`: watch for ever, and let Prometheus read.

use super::{output::print, say};
use crate::{
    cli::Serve,
    export::metrics::{exposition::Exposition, family::Series, host::Pushed},
    host,
    interrupt::Interrupt,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    serve::{
        config::{Config, default_path},
        monitor::Monitor,
        out::Out,
    },
};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Serves until a signal comes.
///
/// # Errors
/// If the configuration is wrong, the kernel refuses a probe, or it cannot listen.
pub fn run(args: &Serve, is_quiet: bool) -> Result<ExitCode> {
    let path = args.config.clone().or_else(default_path);
    let config = load(args, path.as_ref())?;
    if args.check_config {
        return describe(&config);
    }
    let interrupt = Interrupt::install_with_reload().context("cannot handle signals")?;
    let limit = raise_open_files();
    let needed = SPARE_DESCRIPTORS + config.limits.connections as u64;
    if limit < needed {
        bail!(too_few_files(
            "load the probes and serve clients",
            limit,
            needed
        ));
    }
    if args.dry_run {
        return dry_run(config);
    }
    let mut out = Out::start(&config, is_quiet)?;
    let mut monitor = Monitor::load(config, host::describe(None), is_quiet)?;
    if !is_quiet {
        say(&format!("listening on {}", out.address()));
    }
    loop {
        let begun = Instant::now();
        let interval = monitor.config().interval;
        if let Some(exposition) = monitor.tick(out.pushed()) {
            out.show(exposition, interval);
        }
        if monitor.wait(&interrupt, rest(interval, begun)) {
            return Ok(ExitCode::SUCCESS);
        }
        if interrupt.is_reload_asked() {
            let taken = reload(args, path.as_ref(), &mut monitor, &mut out);
            monitor.reloaded(taken.is_ok());
            match taken {
                Ok(()) if is_quiet => {}
                Ok(()) => say("the configuration was read anew"),
                Err(error) => say(&format!("{error:#}; all is as it was")),
            }
        }
    }
}

/// A reading that took long puts off the next one, so that reading never takes all the time.
fn rest(interval: Duration, begun: Instant) -> Duration {
    interval.saturating_sub(begun.elapsed()).max(interval / 10)
}

fn load(args: &Serve, path: Option<&PathBuf>) -> Result<Config> {
    let mut config = Config::load(path.map(PathBuf::as_path))?;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    Ok(config)
}

fn reload(
    args: &Serve,
    path: Option<&PathBuf>,
    monitor: &mut Monitor,
    out: &mut Out,
) -> Result<()> {
    let config = load(args, path)?;
    let before = monitor.config().listen;
    out.reconfigure(before, &config.clone(), || monitor.reload(config))
}

fn describe(config: &Config) -> Result<ExitCode> {
    let mut text = String::new();
    let targets = config.targets.iter().map(|it| it.name.as_str());
    let targets: Vec<_> = targets.collect();
    let _ = writeln!(
        text,
        "the configuration is sound: every {}, on {}{}{}",
        humantime::format_duration(config.interval),
        config.listen,
        if config.web.tls.is_some() {
            ", TLS"
        } else {
            ""
        },
        if config.web.users.is_empty() {
            ""
        } else {
            ", passwords"
        },
    );
    if !targets.is_empty() {
        let _ = writeln!(text, "targets: {}", targets.join(", "));
    }
    if config.found_targets > 0 {
        let _ = writeln!(
            text,
            "database servers that are found: {} at most",
            config.found_targets
        );
    }
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What would be shown now, and at most.
fn dry_run(config: Config) -> Result<ExitCode> {
    let (places, per_target) = (config.places(), config.limits.series_per_target);
    let pushed = config.otlp.is_some().then(Pushed::default);
    let mut monitor = Monitor::load(config, host::describe(None), true)?;
    let exposition = monitor.tick(pushed).context("the probes cannot be read")?;
    let mut text = String::new();
    let mut of_targets: BTreeMap<&str, usize> = BTreeMap::new();
    let mut others = 0;
    for series in exposition.series() {
        match target(series) {
            Some(name) => *of_targets.entry(name).or_default() += series.family.lines(),
            None => others += series.family.lines(),
        }
    }
    for (name, number) in &of_targets {
        let _ = writeln!(text, "{name}: {number} series");
    }
    let _ = writeln!(text, "connscope itself: {others} series");
    let _ = writeln!(
        text,
        "{} series in all now; {} at most ({places} targets with {per_target} each, and {} of connscope itself)",
        lines(&exposition),
        (per_target + OF_EACH_TARGET) * places + others,
        OF_EACH_TARGET * places + others,
    );
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// `connscope_target_up`, `connscope_target_info`, `connscope_series_left_out`, `connscope_connections`.
const OF_EACH_TARGET: usize = 4;

fn lines(exposition: &Exposition) -> usize {
    exposition.lines()
}

fn target(series: &Series) -> Option<&str> {
    let label = series.labels.iter().find(|(name, _)| *name == "target");
    label.map(|(_, value)| value.as_ref())
}
