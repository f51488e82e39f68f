//! A real Prometheus, ended when dropped, and what it answers.
#![allow(dead_code, unreachable_pub)]

use super::exporter::{Answer, connect};
use super::program::{Running, wait_for};
use super::servers::daemon::free_port;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

pub struct Prometheus {
    // Before the folder, which it works in.
    pub running: Running,
    address: SocketAddr,
    _folder: TempDir,
}

/// What a query found: of each series its labels and its values.
#[derive(Clone, Debug, Default)]
pub struct Found(pub Vec<(BTreeMap<String, String>, Vec<f64>)>);

impl Prometheus {
    /// Scrapes these each second as job `connscope`, with a file of rules.
    #[track_caller]
    pub fn start(scraped: &[SocketAddr], rules: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scraped: Vec<_> = scraped.iter().map(|it| format!("\"{it}\"")).collect();
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n\
             - job_name: connscope\n  static_configs: [{{targets: [{}]}}]\n",
            rules.display(),
            scraped.join(", ")
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).expect("a file of ours");
        // It cannot tell which port it was given, if it is to choose.
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=warn", "--storage.tsdb.retention.time=1h"]);
        let mut running = Running::start(command);
        wait_for("Prometheus", || {
            assert!(running.is_running(), "{}", running.said());
            drop(TcpStream::connect(address).ok()?);
            (ask(address, "/-/ready").status == 200).then_some(())
        });
        Self {
            running,
            address,
            _folder: folder,
        }
    }

    /// The data of an answer.
    #[track_caller]
    pub fn get(&self, path: &str, arguments: &[(&str, &str)]) -> Value {
        let mut all = path.to_owned();
        for (number, (name, value)) in arguments.iter().enumerate() {
            let before = if number == 0 { '?' } else { '&' };
            let _ = write!(all, "{before}{}={}", coded(name), coded(value));
        }
        let answer = ask(self.address, &all);
        assert_eq!(answer.status, 200, "{arguments:?}: {}", answer.text());
        let mut json: Value = serde_json::from_str(&answer.text()).expect("JSON");
        assert_eq!(json["status"], "success", "{arguments:?}: {json:#}");
        assert_eq!(json.get("warnings"), None, "{arguments:?}");
        json["data"].take()
    }

    /// What a query finds at a moment, in seconds since the epoch.
    #[track_caller]
    pub fn at(&self, query: &str, time: f64) -> Found {
        let time = time.to_string();
        Found::of(&self.get("/api/v1/query", &[("query", query), ("time", &time)]))
    }

    /// What a query finds second by second.
    #[track_caller]
    pub fn over(&self, query: &str, (start, end): (f64, f64)) -> Found {
        let (start, end) = (start.to_string(), end.to_string());
        let arguments = [
            ("query", query),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        Found::of(&self.get("/api/v1/query_range", &arguments))
    }

    /// Values of a label of the series that a selector matches.
    #[track_caller]
    pub fn label(&self, label: &str, selector: &str) -> Vec<String> {
        let path = format!("/api/v1/label/{label}/values");
        let found = self.get(&path, &[("match[]", selector)]);
        let values = found.as_array().expect("a list").iter();
        values
            .map(|it| it.as_str().expect("text").to_owned())
            .collect()
    }
}

impl Found {
    fn of(data: &Value) -> Self {
        let series = data["result"].as_array().expect("a result").iter();
        let read = |series: &Value| {
            let labels = serde_json::from_value(series["metric"].clone()).expect("labels");
            let one = [series["value"].clone()];
            let values = series["values"].as_array().map_or(&one[..], Vec::as_slice);
            let number = |it: &Value| it[1].as_str().and_then(|it| it.parse().ok());
            let values = values.iter().map(|it| number(it).expect("a number"));
            (labels, values.collect())
        };
        Self(series.map(read).collect())
    }

    /// Values that can be drawn.
    pub fn finite(&self) -> impl Iterator<Item = f64> {
        let all = self.0.iter().flat_map(|(_, values)| values);
        all.copied().filter(|it| it.is_finite())
    }

    /// The values of a label, in order, each once.
    pub fn labels(&self, label: &str) -> Vec<&str> {
        let mut values: Vec<_> = self
            .0
            .iter()
            .filter_map(|(labels, _)| labels.get(label))
            .collect();
        values.sort();
        values.dedup();
        values.into_iter().map(String::as_str).collect()
    }
}

#[track_caller]
fn ask(address: SocketAddr, path: &str) -> Answer {
    // By the older version it answers in one piece, and closes.
    let request = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
    Answer::to(connect(address), request.as_bytes())
}

fn coded(text: &str) -> String {
    let mut coded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => coded.push(byte.into()),
            _ => {
                let _ = write!(coded, "%{byte:02X}");
            }
        }
    }
    coded
}
