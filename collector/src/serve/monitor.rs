//! Reads the probes into what scrapers see, interval by interval, over changes of the configuration.

mod told;

use super::config::Config;
use super::places::Places;
use super::search::plan;
use crate::attach::{choice::Host, running};
use crate::export::metrics::exposition::Exposition;
use crate::export::metrics::family::Series;
use crate::export::metrics::host::{self, Pushed, Shown, Work};
use crate::export::metrics::ledger::{Ledger, of_target};
use crate::export::metrics::{budget, targets};
use crate::interrupt::Interrupt;
use crate::rest::Rest;
use crate::snapshot::{Host as Machine, Snapshot, Unavailable};
use anyhow::Result;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use told::Told;

/// The account of what is of no target.
const HOST: &str = "";
/// How often new tasks are asked what they are.
const TELL: Duration = Duration::from_secs(1);

/// All that is watched, and what was shown of it.
pub struct Monitor {
    config: Config,
    places: Places,
    ledger: Ledger,
    work: Work,
    machine: Machine,
    told: Told,
    /// From looking for targets, from loading the probes anew, and from counting connections.
    searched: Rest,
    loaded: Rest,
    counted: Rest,
}

impl Monitor {
    /// Loads the probes.
    ///
    /// # Errors
    /// If the kernel refuses them.
    pub fn load(config: Config, machine: Machine, is_quiet: bool) -> Result<Self> {
        let processes = running::all()?;
        let planned = plan(&config, &Host::new(&processes), &[]);
        let mut places = Places::load(&config, planned)?;
        if let Some(first) = places.sampler.read()?.first() {
            places.of_host.skip(&host::since_boot(first));
        }
        Ok(Self {
            places,
            config,
            ledger: Ledger::default(),
            work: Work::default(),
            machine,
            told: Told::new(is_quiet),
            searched: Rest::none(),
            loaded: Rest::none(),
            counted: Rest::none(),
        })
    }

    /// What it watches, and how.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks for what is missing and reads the probes; nothing if they cannot be read, which is said once. What has
    /// become of what was `pushed` is shown too.
    pub fn tick(&mut self, pushed: Option<Pushed>) -> Option<Exposition> {
        self.work.pushed = pushed;
        if let Err(error) = self.search() {
            self.told
                .trouble(&format!("cannot look for targets: {error:#}"));
        }
        let begun = Instant::now();
        let read = self
            .places
            .tell()
            .and_then(|()| Ok(self.places.sampler.read()?));
        self.work.took_seconds = begun.elapsed().as_secs_f64();
        match read {
            Ok(snapshots) => {
                self.work.reads += 1;
                self.work.interval_seconds = self.config.interval.as_secs_f64();
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = now.map_or(0, |since| since.as_nanos());
                self.work.read_unix_ns = u64::try_from(now).unwrap_or(u64::MAX);
                self.told.no_trouble();
                if self.counted.is_over() {
                    ((), self.counted) = Rest::after(|| self.places.count(&snapshots));
                }
                Some(self.show(&snapshots))
            }
            Err(error) => {
                self.work.failed += 1;
                self.told
                    .trouble(&format!("cannot read the probes: {error:#}"));
                None
            }
        }
    }

    /// Waits; true if a signal has come that asks us to end. Meanwhile tasks that begin are asked what they are.
    pub fn wait(&mut self, interrupt: &Interrupt, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let has_tellers = self.places.has_tellers();
            if interrupt.sleep(if has_tellers { left.min(TELL) } else { left }) {
                return true;
            }
            if left <= TELL || interrupt.is_reload_pending() {
                return false;
            }
            if has_tellers && let Err(error) = self.places.tell() {
                self.told
                    .trouble(&format!("cannot read the probes: {error:#}"));
            }
        }
    }

    fn search(&mut self) -> Result<()> {
        let mut needs_places = self.places.have_changed();
        if self.searched.is_over() && self.places.misses_any(&self.config) {
            let (findings, rest) = Rest::after(|| {
                let processes = running::all()?;
                anyhow::Ok(self.places.search(&self.config, &Host::new(&processes)))
            });
            self.searched = rest;
            let findings = findings?;
            self.told.of_search(&findings);
            needs_places |= findings.needs_places;
        }
        if needs_places && self.loaded.is_over() {
            let (loaded, rest) = Rest::after(|| self.load_anew(self.config.clone()));
            self.loaded = rest;
            loaded?;
        }
        Ok(())
    }

    /// Takes another configuration. Where that needs another watch, it is loaded beside, and goes on where the
    /// one before it ended.
    ///
    /// # Errors
    /// If it cannot be taken: all is as it was.
    pub fn reload(&mut self, config: Config) -> Result<()> {
        match self.config.watches_the_same(&config) {
            true => {
                self.config = config;
                Ok(())
            }
            false => self.load_anew(config),
        }
    }

    fn load_anew(&mut self, config: Config) -> Result<()> {
        let processes = running::all()?;
        let host = Host::new(&processes);
        let planned = plan(&config, &host, &self.places.places);
        let mut next = Places::load(&config, planned)?;
        let findings = next.search(&config, &host);
        let last = self.places.sampler.read()?;
        let _ = self.show(&last);
        next.tell()?;
        let first = next.sampler.read()?;
        let unavailable = next.sampler.unavailable();
        for (place, snapshot) in next.places.iter_mut().zip(&first) {
            let Some(name) = &place.name else { continue };
            let mut before = self.places.places.iter();
            // What was seen of others since they are watched is new.
            if let Some(it) = before.find(|it| it.is_up && it.name.as_ref() == Some(name)) {
                place.connections = it.connections;
                place
                    .seen
                    .skip(&targets::series(&of_target(name), snapshot, &unavailable));
                place.is_up = true;
            }
        }
        if let (Some(last), Some(first)) = (last.first(), first.first()) {
            next.of_host.skip(&host::series(first));
            self.work.gap_ns += first.at_ns.saturating_sub(last.at_ns);
        }
        (self.places, self.config) = (next, config);
        self.told.of_search(&findings);
        Ok(())
    }

    /// Takes down what has become of a reload.
    pub fn reloaded(&mut self, is_taken: bool) {
        let (taken, refused) = &mut self.work.reloads;
        *(if is_taken { taken } else { refused }) += 1;
        self.work.reload_failed = !is_taken;
    }

    fn show(&mut self, snapshots: &[Snapshot]) -> Exposition {
        let unavailable = self.places.sampler.unavailable();
        let methods = self.places.sampler.methods();
        let mut shown = host::probes(&methods, &unavailable);
        shown.extend(host::machine(&self.machine));
        shown.extend(host::work(&self.work));
        if let Some(first) = snapshots.first() {
            let read = host::series(first);
            shown.extend(self.ledger.show(HOST, &mut self.places.of_host, read));
        }
        for (number, snapshot) in snapshots.iter().enumerate() {
            shown.extend(self.show_target(number, snapshot, &unavailable));
        }
        let names = self
            .places
            .places
            .iter()
            .filter_map(|it| it.name.as_deref());
        let names: Vec<_> = names.chain([HOST]).collect();
        self.ledger.forget_all_but(&names);
        Exposition::of(shown, self.work.read_unix_ns)
    }

    fn show_target(
        &mut self,
        number: usize,
        snapshot: &Snapshot,
        unavailable: &[Unavailable],
    ) -> Vec<Series> {
        let Some(place) = self.places.places.get_mut(number) else {
            return Vec::new();
        };
        let Some(name) = place.name.clone() else {
            return Vec::new();
        };
        let labels = of_target(&name);
        let has_gone = place.update(snapshot);
        let read = targets::series(&labels, snapshot, unavailable);
        let mut series = self.ledger.show(&name, &mut place.seen, read);
        series.retain(|it| budget::is_wanted(it.family, &self.config.left_out));
        let left_out = budget::within(&mut series, self.config.limits.series_per_target);
        // Once more when it has gone: the last that it did.
        if !place.is_up && !has_gone {
            series.clear();
        }
        if place.is_up || place.wanted.is_some() {
            let shown = Shown {
                kind: place.kind_name(),
                lives_in: place.lives_in.clone(),
                left_out,
                connections: place.connections.filter(|_| place.is_up),
            };
            series.extend(host::target(&labels, &shown));
        }
        if has_gone {
            self.told.has_ended(&name);
            place.clear();
        }
        series
    }
}
