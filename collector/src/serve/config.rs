//! The configuration of `connscope serve`: a TOML file, or what is true without one.

mod otlp;
mod raw;

use super::web_config::WebConfig;
use crate::attach::choice::Asked;
use crate::errors::in_words;
use crate::export::metrics::targets::measures;
use anyhow::{Context as _, Result, anyhow, bail};
pub use otlp::{Headers, Identity, Otlp};
use probe_ebpf::Options;
use raw::{Place, RawConfig, RawTarget};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where it listens if nothing else is said.
const LISTEN: &str = "127.0.0.1:9964";

/// What to watch and how to show it.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often the probes are read.
    pub interval: Duration,
    /// Where scrapers come.
    pub listen: SocketAddr,
    /// TLS and passwords.
    pub web: WebConfig,
    /// Where metrics are pushed to, if anywhere.
    pub otlp: Option<Otlp>,
    /// Bounds for clients.
    pub limits: Limits,
    /// What is watched, by name.
    pub targets: Vec<Wanted>,
    /// How many database servers are watched that are found; none where they are not looked for.
    pub found_targets: usize,
    /// Share of the time in which faults are looked at one by one, 0 to 1.
    pub fault_share: f64,
    /// The same for the latency of switches.
    pub switch_share: f64,
    /// Measures that are not shown.
    pub left_out: Vec<String>,
}

/// A target by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The label that it has.
    pub name: String,
    /// What it is.
    pub asked: Asked,
}

/// Bounds for what is shown, and for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series of one target.
    pub series_per_target: usize,
    /// Clients at one time.
    pub connections: usize,
    /// Until a request has come with all its headers.
    pub header_time: Duration,
}

impl Config {
    /// Reads it from a file; what is true without one otherwise.
    ///
    /// # Errors
    /// What is wrong with it, with the line and the key.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Self::parse("", Path::new("."));
        };
        let place = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| anyhow!("cannot read {place}: {}", in_words(&error)))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|error| anyhow!("{place}{error:#}"))
    }

    /// The same from its text; paths in it start at `folder`. Errors begin with `:LINE: KEY: `.
    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let raw = RawConfig::parse(text)?;
        let place = Place::in_text(text);
        let targets = targets(&raw, &place)?;
        let listen = match &raw.listen {
            Some(listen) => listen.get_ref().parse().map_err(|_| {
                place.of(
                    listen,
                    "listen",
                    "not an address with a port, such as 127.0.0.1:9964",
                )
            })?,
            None => LISTEN.parse().context("the default address")?,
        };
        let web = match &raw.web_config_file {
            None => WebConfig::default(),
            Some(file) => WebConfig::load(&folder.join(file.get_ref()))
                .map_err(|error| place.of(file, "web_config_file", &format!("{error:#}")))?,
        };
        let known = measures();
        let left_out = raw.measures.leave_out.iter();
        let left_out = left_out.map(|name| match known.contains(&name.get_ref().as_str()) {
            true => Ok(name.get_ref().clone()),
            false => Err(place.of(
                name,
                "leave_out",
                &format!(
                    "no measure {}; there are {}",
                    name.get_ref(),
                    known.join(", ")
                ),
            )),
        });
        let finds = raw.discovery.databases.unwrap_or(targets.is_empty());
        Ok(Self {
            interval: place.time(raw.interval.as_ref(), "interval", (100, 3_600_000), 10_000)?,
            listen,
            web,
            otlp: match &raw.otlp {
                Some(otlp) => otlp::otlp(otlp, &place, folder)?,
                None => None,
            },
            limits: Limits {
                series_per_target: place.number(
                    &raw.limits.series_per_target,
                    "series_per_target",
                    (100, 100_000),
                    2_000,
                )?,
                connections: place.number(
                    &raw.limits.connections,
                    "connections",
                    (1, 100_000),
                    256,
                )?,
                header_time: place.time(
                    raw.limits.header_time.as_ref(),
                    "header_time",
                    (100, 60_000),
                    5_000,
                )?,
            },
            targets,
            found_targets: match finds {
                true => place.number(&raw.discovery.max_targets, "max_targets", (1, 100), 8)?,
                false => 0,
            },
            fault_share: place.share(&raw.measures.fault_windows, "fault_windows", 2.0)?,
            switch_share: place.share(&raw.measures.switch_windows, "switch_windows", 1.0)?,
            left_out: left_out.collect::<Result<_>>()?,
        })
    }

    /// How many targets there may be at one time.
    #[must_use]
    pub fn places(&self) -> usize {
        self.targets.len() + self.found_targets
    }

    /// The same for the probes.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            fault_share: self.fault_share,
            switch_share: self.switch_share,
            ..Options::default()
        }
    }

    /// Whether what is watched, and how, is the same, so that a watch can be kept.
    #[must_use]
    pub fn watches_the_same(&self, other: &Self) -> bool {
        let shares = |config: &Self| (config.fault_share, config.switch_share);
        self.targets == other.targets
            && self.found_targets == other.found_targets
            && shares(self) == shares(other)
    }
}

fn targets(raw: &RawConfig, place: &Place<'_>) -> Result<Vec<Wanted>> {
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    let mut targets = Vec::new();
    for target in &raw.target {
        let (described, asked) = asked(target.get_ref())
            .map_err(|error| place.of(target, "[[target]]", &format!("{error:#}")))?;
        let name = target.get_ref().name.clone().unwrap_or(described);
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            let why = "name: between 1 and 100 characters, none of them a control character";
            return Err(place.of(target, "[[target]]", why));
        }
        if let Some(line) = wanted.insert(name.clone(), place.line(target.span().start)) {
            let why = format!("name: another target is called {name} already, in line {line}");
            return Err(place.of(target, "[[target]]", &why));
        }
        targets.push(Wanted { name, asked });
    }
    Ok(targets)
}

/// What is asked for, and a name for it.
fn asked(target: &RawTarget) -> Result<(String, Asked)> {
    let mut chosen: Vec<(String, Asked)> = Vec::new();
    if let Some(pid) = target.pid {
        let pids = vec![pid];
        chosen.push((
            format!("pid {pid}"),
            Asked {
                pids,
                ..Asked::default()
            },
        ));
    }
    if let Some(port) = target.port {
        let ports = vec![port];
        chosen.push((
            format!("port {port}"),
            Asked {
                ports,
                ..Asked::default()
            },
        ));
    }
    let databases = [
        ("--postgres", &target.postgres),
        ("--mysql", &target.mysql),
        ("--redis", &target.redis),
        ("--pgbouncer", &target.pgbouncer),
    ];
    for (option, which) in databases {
        if let Some(which) = which {
            let databases = vec![(option, which.0.clone())];
            let name = format!("{} {}", option.trim_start_matches('-'), which.0);
            chosen.push((
                name,
                Asked {
                    databases,
                    ..Asked::default()
                },
            ));
        }
    }
    if let Some(unit) = target.unit.clone() {
        let units = vec![unit.clone()];
        chosen.push((
            format!("unit {unit}"),
            Asked {
                units,
                ..Asked::default()
            },
        ));
    }
    if let Some(cgroup) = target.cgroup.clone() {
        let cgroups = vec![cgroup.clone()];
        chosen.push((
            format!("cgroup {cgroup}"),
            Asked {
                cgroups,
                ..Asked::default()
            },
        ));
    }
    if let Some(process) = target.process.clone() {
        let names = vec![process.clone()];
        chosen.push((
            format!("process {process}"),
            Asked {
                names,
                ..Asked::default()
            },
        ));
    }
    match (chosen.pop(), chosen.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => bail!(
            "names nothing to watch; give one of pid, port, postgres, mysql, redis, pgbouncer, unit, cgroup, process"
        ),
        (Some((second, _)), _) => {
            let first = chosen.pop().map(|it| it.0).unwrap_or_default();
            bail!("names several ({first} and {second}); give each a [[target]] of its own")
        }
    }
}

/// Where the example of a configuration is told about.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    let path = PathBuf::from("/etc/connscope/connscope.toml");
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests;
