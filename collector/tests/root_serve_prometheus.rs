//! Real Prometheus servers scrape the exporter in each of its formats: what they then have is what it shows.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/otlp.rs"]
mod otlp;
#[path = "support/program.rs"]
mod program;

use exporter::*;
use otlp::{Values, scraped};
use program::*;
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};
use tempfile::TempDir;

/// What Prometheus adds of its own to the series of each job.
const OF_SCRAPES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
];

/// Hands scrapes on to the exporter with another `Accept`, or with that of the scraper; keeps which formats were
/// answered.
struct Relay {
    address: SocketAddr,
    formats: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    /// It lives as long as the test.
    fn start(exporter: SocketAddr, accept: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let formats: Arc<Mutex<Vec<String>>> = Arc::default();
        let answered = formats.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                hand_on(stream, exporter, accept, &answered);
            }
        });
        Self { address, formats }
    }
}

fn hand_on(
    mut stream: TcpStream,
    exporter: SocketAddr,
    accept: Option<&str>,
    formats: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let theirs = head.lines().find_map(|line| line.strip_prefix("Accept: "));
    let accept = accept.or(theirs).unwrap_or_default();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
    );
    let answer = Answer::to(connect(exporter), request.as_bytes());
    let format = answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    let format = format.unwrap_or_default().to_owned();
    let head = format!(
        "HTTP/1.1 {} OK\r\nContent-Type: {format}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    );
    formats.lock().expect("no panic").push(format);
    let _ = stream.write_all(&[head.as_bytes(), &answer.body].concat());
}

/// A Prometheus with a job for each of these.
struct Prometheus {
    running: Running,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    #[track_caller]
    fn start(jobs: &[(&str, &Relay)], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut configuration =
            "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n".to_owned();
        for (job, relay) in jobs {
            let _ = writeln!(
                configuration,
                "- {{job_name: {job}, static_configs: [{{targets: ['{}']}}]}}",
                relay.address
            );
        }
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, configuration).expect("a file");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("its address");
        drop(port);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=debug"])
            .args(options);
        Self {
            running: Running::start(command),
            address,
            _folder: folder,
        }
    }

    /// The samples of a job, once it has been scraped: with labels of its own left out.
    #[track_caller]
    fn samples(&mut self, job: &str) -> Samples {
        let samples = wait_for("a scrape", || {
            let samples = self.query(&format!("{{job=\"{job}\"}}"))?;
            (samples.floats.get(&("up".to_owned(), Vec::new())) == Some(&1.0)).then_some(samples)
        });
        let said = self.running.said();
        let troubles = said
            .lines()
            .filter(|line| line.contains("level=warn") || line.contains("level=error"));
        assert_eq!(troubles.collect::<Vec<_>>(), Vec::<&str>::new());
        samples
    }

    /// None while it does not answer.
    fn query(&self, query: &str) -> Option<Samples> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let body = format!("query={query}");
        let request = format!(
            "POST /api/v1/query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Answer::to(TcpStream::connect(self.address).ok()?, request.as_bytes());
        if answer.status != 200 {
            return None;
        }
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        Some(Samples::read(
            answer["data"]["result"].as_array().expect("a vector"),
        ))
    }
}

/// What a Prometheus has.
#[derive(Debug, Default)]
struct Samples {
    floats: Values,
    /// Count and sum of native histograms.
    native: Values,
}

impl Samples {
    fn read(result: &[Value]) -> Self {
        let mut samples = Self::default();
        for one in result {
            let labels = one["metric"].as_object().expect("labels");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let mut key = (text(&labels["__name__"]), Vec::new());
            for (name, value) in labels {
                let value = match name.as_str() {
                    "__name__" | "job" | "instance" => continue,
                    "le" => text(value).parse::<f64>().expect("a bound").to_string(),
                    _ => text(value),
                };
                key.1.push((name.clone(), value));
            }
            let number = |value: &Value| text(value).parse::<f64>().expect("a number");
            if let Some(value) = one["value"].as_array() {
                samples.floats.insert(key, number(&value[1]));
            } else {
                let histogram = &one["histogram"][1];
                for (suffix, value) in
                    [("_count", &histogram["count"]), ("_sum", &histogram["sum"])]
                {
                    let key = (format!("{}{suffix}", key.0), key.1.clone());
                    samples.native.insert(key, number(value));
                }
            }
        }
        samples
    }

    /// Without what Prometheus itself says of its scrapes.
    fn of_exporter(mut self) -> Self {
        self.floats
            .retain(|(name, _), _| !OF_SCRAPES.contains(&name.as_str()));
        self
    }
}

#[test]
fn prometheus_has_what_the_exporter_shows_in_every_format() {
    let server = Served::start("thread-per-connection");
    let configuration = format!(
        "[[target]]\nname = \"our \\\"own\\\" \\\\ ö\"\npid = {}\n",
        server.pid()
    );
    let mut exporter = Exporter::start(&configuration);
    let load = server.under_load("--connections 20 --rate 2000 --duration 500ms");
    assert!(load.finish().status.success());
    exporter.scrape_later();
    let shown = scraped(&exporter.freeze(&configuration));
    assert!(shown.len() > 300, "{}", shown.len());
    let relay = |accept| Relay::start(exporter.address, accept);
    let (asked, text) = (relay(None), relay(Some("text/plain;version=0.0.4")));
    let mut plain = Prometheus::start(&[("openmetrics", &asked), ("text", &text)], &[]);
    let protobuf = relay(None);
    let option = ["--enable-feature=native-histograms"];
    let mut with_native = Prometheus::start(&[("protobuf", &protobuf)], &option);

    for job in ["openmetrics", "text"] {
        let samples = plain.samples(job).of_exporter();
        assert!(samples.native.is_empty());
        assert_eq!(samples.floats, shown, "{job}");
    }
    // Histograms are native there; a native one without samples may be told as a classic one.
    let samples = with_native.samples("protobuf").of_exporter();
    let is_bucket = |(name, labels): &(String, Vec<(String, String)>)| {
        name.ends_with("_bucket") && labels.iter().any(|(label, _)| label == "le")
    };
    let mut expected = shown.clone();
    expected.retain(|key, _| !is_bucket(key));
    let mut has = samples.floats;
    has.retain(|key, count| !(is_bucket(key) && *count == 0.0));
    let native = samples.native.len();
    assert!(native >= 20, "{native}");
    has.extend(samples.native);
    assert_eq!(has, expected);

    for (relay, format) in [
        (
            &asked,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (&text, "text/plain; version=0.0.4; charset=utf-8"),
        (
            &protobuf,
            "application/vnd.google.protobuf; proto=io.prometheus.client.metricfamily; encoding=delimited",
        ),
    ] {
        let formats = relay.formats.lock().expect("no panic");
        assert!(
            !formats.is_empty() && formats.iter().all(|it| it == format),
            "{formats:?}"
        );
    }
}
