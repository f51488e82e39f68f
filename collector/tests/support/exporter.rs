//! Runs `connscope serve` and scrapes it, over connections of our own making.
#![allow(dead_code, unreachable_pub)]

use super::program::*;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// How often the probes are read.
const OFTEN: &str = "200ms";
/// A request takes no longer, whatever the host does.
const LIMIT: Duration = Duration::from_secs(30);

/// What it says of a configuration that it has taken.
pub const READ_ANEW: &str = "connscope: the configuration was read anew";

/// An exporter with a configuration of its own; ends with the test.
pub struct Exporter {
    pub running: Running,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Exporter {
    /// With these lines of configuration, on a port that is free, reading the probes five times a second.
    #[track_caller]
    pub fn start(configuration: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), configuration)
    }

    /// The same, with what lies in a folder already.
    #[track_caller]
    pub fn start_in(folder: TempDir, configuration: &str) -> Self {
        Self::start_as(folder, OFTEN, configuration)
    }

    /// The same, reading the probes that often.
    #[track_caller]
    pub fn start_every(interval: &str, configuration: &str) -> Self {
        Self::start_as(
            tempfile::tempdir().expect("a folder"),
            interval,
            configuration,
        )
    }

    #[track_caller]
    fn start_as(folder: TempDir, interval: &str, configuration: &str) -> Self {
        let file = folder.path().join("serve.toml");
        write(&file, configuration, interval);
        target();
        let mut command = Command::new(CONNSCOPE);
        command.args(["serve", "--config"]).arg(&file);
        let mut running = Running::start(command);
        let address = wait_for("an exporter", || {
            assert!(running.is_running(), "{}", running.said());
            let said = running.said();
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix("connscope: listening on "));
            line?.parse().ok()
        });
        let exporter = Self {
            running,
            address,
            folder,
        };
        // Who asks for TLS gives this no answer.
        wait_for("a reading", || {
            [200, 0]
                .contains(&exporter.get("/readyz").status)
                .then_some(())
        });
        exporter
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("serve.toml")
    }

    /// Has it read another configuration; waits until it has said what became of it.
    #[track_caller]
    pub fn reload(&mut self, configuration: &str) -> String {
        self.reload_every(OFTEN, configuration)
    }

    /// The same, and from then on it reads the probes that often.
    #[track_caller]
    pub fn reload_every(&mut self, interval: &str, configuration: &str) -> String {
        write(&self.file(), configuration, interval);
        let before = self.running.said().len();
        kill(self.running.pid(), libc::SIGHUP);
        wait_for("an answer to SIGHUP", || {
            let said = self.running.said();
            let mut new = said[before..].lines();
            let line = new.find(|it| it.ends_with("read anew") || it.ends_with("all is as it was"));
            line.map(str::to_owned)
        })
    }

    /// Has it read the probes once more and then not for an hour; returns what it shows meanwhile.
    #[track_caller]
    pub fn freeze(&mut self, configuration: &str) -> String {
        let taken = |metrics: &Metrics| {
            metrics.sum("connscope_config_reloads_total", &["result=\"taken\""])
        };
        let before = taken(&self.scrape());
        assert_eq!(self.reload_every("1h", configuration), READ_ANEW);
        wait_for("the last reading", || {
            let shown = self.get("/metrics").text();
            (taken(&Metrics::read(&shown)) > before).then_some(shown)
        })
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
    }

    #[track_caller]
    pub fn get_as(&self, path: &str, header: &str) -> Answer {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n");
        self.ask(&request)
    }

    /// The answer to these bytes.
    #[track_caller]
    pub fn ask(&self, request: &str) -> Answer {
        Answer::to(connect(self.address), request.as_bytes())
    }

    #[track_caller]
    pub fn scrape(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::read(&answer.text())
    }

    /// What it shows after it has read the probes anew, twice.
    #[track_caller]
    pub fn scrape_later(&self) -> Metrics {
        let reads = |metrics: &Metrics| metrics.sum("connscope_snapshots_total", &[]);
        let before = reads(&self.scrape());
        wait_for("a newer reading", || {
            let now = self.scrape();
            (reads(&now) >= before + 2.0).then_some(now)
        })
    }
}

fn write(file: &PathBuf, configuration: &str, interval: &str) {
    let text = format!("interval = \"{interval}\"\nlisten = \"127.0.0.1:0\"\n{configuration}");
    fs::write(file, text).expect("a file of ours");
}

#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.set_write_timeout(Some(LIMIT)).expect("a time-out");
    stream
}

/// An answer that came, until the connection ended.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// One whose connection was closed without a word has status 0.
    #[track_caller]
    pub fn to(mut stream: impl Read + Write, request: &[u8]) -> Self {
        // It may close before it has read all.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return Self::default();
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a status"),
            body: bytes[end + 4..].to_vec(),
            head: head.to_lowercase(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }
}

/// Values by series, as text has them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        };
        Self(lines.map(value).collect())
    }

    /// The sum over the series of a name with all of these labels, such as `kind="voluntary"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = self.0.iter().filter(|(series, _)| {
            let (its, rest) = series.split_once('{').unwrap_or((series, ""));
            its == name && labels.iter().all(|label| rest.contains(label))
        });
        of_name.map(|(_, value)| value).sum()
    }

    pub fn has(&self, name: &str, label: &str) -> bool {
        let mut series = self.0.keys();
        series.any(|series| series.starts_with(&format!("{name}{{")) && series.contains(label))
    }

    /// Series of a target.
    pub fn series_of(&self, target: &str) -> usize {
        let label = format!("target=\"{target}\"");
        self.0
            .keys()
            .filter(|series| series.contains(&label))
            .count()
    }

    /// Fails if any counter of `before` is less than it was. Those of a target that is away have no value.
    #[track_caller]
    pub fn assert_none_went_back(&self, before: &mut Self) {
        for (series, now) in &self.0 {
            let name = series.split('{').next().unwrap_or_default();
            let is_counter = ["_total", "_bucket", "_count", "_sum"];
            if !is_counter.iter().any(|suffix| name.ends_with(suffix)) {
                continue;
            }
            let then = before.0.insert(series.clone(), *now).unwrap_or(0.0);
            assert!(*now >= then, "{series} went from {then} to {now}");
        }
    }
}
