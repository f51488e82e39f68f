//! Pushes readings to a receiver of OTLP, from a thread of its own: however slow that is, or away, nobody else waits.
//! So many readings wait as the configuration has room for.

mod client;
mod pause;
mod queue;

use super::config::Otlp;
use crate::command::say;
use crate::export::metrics::exposition::Exposition;
use crate::export::metrics::host::Pushed;
use crate::export::otlp::{Source, encode};
use anyhow::{Context as _, Result};
use client::{Client, Failure};
use flate2::Compression;
use flate2::write::GzEncoder;
use pause::Pause;
use queue::{Queue, Reading};
use std::io::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// At the end, so long at most until what waits has been sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// A way out by OTLP, which outlives what is configured of it.
pub struct Push {
    queue: Arc<Queue>,
    since_unix_ns: u64,
    is_quiet: bool,
    to: Option<To>,
}

/// Where readings go now.
struct To {
    config: Otlp,
    source: Source,
    next: Instant,
}

impl Push {
    /// To nowhere yet. All counters were zero when this was made.
    #[must_use]
    pub fn new(is_quiet: bool) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            queue: Arc::default(),
            since_unix_ns: since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX)),
            is_quiet,
            to: None,
        }
    }

    /// Pushes there from now on, what waits already too; to nowhere if there is no configuration. The port that scrapers
    /// come to tells this exporter from others of the host.
    ///
    /// # Errors
    /// If the system refuses a thread: all is as it was.
    pub fn configure(&mut self, config: Option<&Otlp>, port: u16) -> Result<()> {
        let Some(config) = config else {
            self.queue.close();
            self.to = None;
            return Ok(());
        };
        let source = self.source(config, port);
        if self
            .to
            .as_ref()
            .is_some_and(|to| to.config == *config && to.source == source)
        {
            return Ok(());
        }
        let sender = Sender {
            client: Client::new(config),
            queue: self.queue.clone(),
            url: config.url.clone(),
            is_quiet: self.is_quiet,
        };
        let generation = self.queue.next_generation();
        let run = move || sender.run(generation);
        let thread = thread::Builder::new().name("otlp".into()).spawn(run);
        // It ends by itself, when there is another one or nothing to send any more.
        thread.context("cannot start a thread")?;
        self.queue.open(generation, config.queue);
        self.to = Some(To {
            config: config.clone(),
            source,
            next: Instant::now(),
        });
        Ok(())
    }

    /// Lets a reading wait to be sent, if it is time for one.
    pub fn offer(&mut self, exposition: &Exposition) {
        let Some(to) = &mut self.to else { return };
        let now = Instant::now();
        if let Some(interval) = to.config.interval {
            if now < to.next {
                return;
            }
            // Readings are not on time to the millisecond.
            to.next = now + interval.mul_f64(0.95);
        }
        let body = encode(exposition, &to.source);
        self.queue.put(match to.config.gzip {
            true => Reading::gzip(&body),
            false => Reading {
                body,
                is_gzip: false,
            },
        });
    }

    /// What has become of all that was offered; none where nothing is pushed.
    #[must_use]
    pub fn pushed(&self) -> Option<Pushed> {
        self.to.is_some().then(|| self.queue.pushed())
    }

    fn source(&self, config: &Otlp, port: u16) -> Source {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let instance = format!("{host}:{port}");
        let mut resource = vec![
            ("service.name", "connscope"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &instance),
            ("host.name", &host),
            ("os.type", "linux"),
        ];
        resource.retain(|(name, _)| config.resource.iter().all(|(given, _)| given != name));
        let resource = resource
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Source {
            resource: resource.chain(config.resource.iter().cloned()).collect(),
            since_unix_ns: self.since_unix_ns,
            histograms: config.histograms,
        }
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        if self.to.is_some() {
            self.queue.finish(FAREWELL);
        }
    }
}

impl Reading {
    fn gzip(body: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(body).and_then(|()| encoder.finish());
        match written {
            Ok(body) => Self {
                body,
                is_gzip: true,
            },
            Err(_) => Self {
                body: body.to_vec(),
                is_gzip: false,
            },
        }
    }
}

/// The thread's part.
struct Sender {
    client: Client,
    queue: Arc<Queue>,
    url: String,
    is_quiet: bool,
}

impl Sender {
    fn run(self, generation: u64) {
        let mut pause = Pause::default();
        let mut trouble = None;
        while let Some(reading) = self.queue.take(generation, pause.until()) {
            match self.client.send(&reading) {
                Ok(answer) => {
                    self.queue.sent(answer.rejected_points);
                    pause = Pause::default();
                    match answer.warning {
                        Some(why) => self.tell(
                            &mut trouble,
                            format!("{} took a reading in part: {why}", self.url),
                        ),
                        None => self.tell_of_end(&mut trouble),
                    }
                }
                Err(Failure::Refused(why)) => {
                    self.queue.refused();
                    pause = Pause::default();
                    self.tell(
                        &mut trouble,
                        format!("{} refuses readings: {why}", self.url),
                    );
                }
                Err(Failure::Unreached { why, after }) => {
                    self.tell(
                        &mut trouble,
                        format!("cannot push to {}: {why}; it is tried again", self.url),
                    );
                    pause.grow(after);
                    self.queue.again(reading);
                }
            }
        }
    }

    /// Once, until it changes.
    fn tell(&self, trouble: &mut Option<String>, why: String) {
        if trouble.as_ref() != Some(&why) {
            say(&why);
        }
        *trouble = Some(why);
    }

    fn tell_of_end(&self, trouble: &mut Option<String>) {
        if trouble.take().is_some() && !self.is_quiet {
            say(&format!("{} takes readings again", self.url));
        }
    }
}
