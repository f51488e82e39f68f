//! `connscope serve` pushing to a receiver of OTLP: its figures are those that scrapers see, and one that is away, slow
//! or unwilling costs nothing but what cannot be kept, which is counted.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/otlp.rs"]
mod otlp;
#[path = "support/program.rs"]
mod program;
#[path = "support/receiver.rs"]
mod receiver;

use exporter::*;
use keys::Keys;
use libc::SIGTERM;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use otlp::{metrics, resource, scraped, translated};
use program::*;
use prost::Message as _;
use receiver::*;
use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, crypto::ring::default_provider, server::WebPkiClientVerifier,
};

/// Configuration that pushes there, with more lines of `[otlp]`.
fn pushing(to: SocketAddr, more: &str) -> String {
    format!("[otlp]\nendpoint = \"http://{to}\"\n{more}")
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

/// What became of readings: sent, dropped, refused, waiting; and how many were offered by then.
fn counts(metrics: &Metrics) -> ([f64; 4], f64) {
    let result = |result: &str| {
        let label = format!("result=\"{result}\"");
        metrics.sum("connscope_otlp_readings_total", &[&label])
    };
    let waiting = metrics.sum("connscope_otlp_queue", &[]);
    // The one that shows it is offered after that.
    let offered = metrics.sum("connscope_snapshots_total", &[]) - 1.0;
    (
        [
            result("sent"),
            result("dropped"),
            result("refused"),
            waiting,
        ],
        offered,
    )
}

/// When a reading was taken.
fn read_at(came: &Came) -> u64 {
    let request = came.request();
    let point = metrics(&request).find_map(|metric| match metric.data.as_ref()? {
        opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(gauge) => {
            gauge.data_points.first().cloned()
        }
        _ => None,
    });
    point.expect("a gauge").time_unix_nano
}

#[test]
fn what_is_pushed_is_what_scrapers_see() {
    let server = Served::start("event-loop");
    let receiver = Receiver::start();
    let more = "headers = { Authorization = \"Bearer abc\" }\nresource = { \"deployment.environment.name\" = \"test\" }\n";
    let target = format!("[[target]]\nname = \"ours\"\npid = {}\n", server.pid());
    let configuration = format!("{}{target}", pushing(receiver.address, more));
    let mut exporter = Exporter::start(&configuration);
    let load = server.under_load("--connections 20 --rate 2000 --duration 500ms");
    assert!(load.finish().status.success());
    exporter.scrape_later();
    // From now on nothing newer is read, so both show the same.
    let shown = exporter.freeze(&configuration);
    let mine = scraped(&shown);
    let last = wait_for("the last reading", || {
        let came = receiver.came().pop()?;
        (translated(&came.request()) == mine).then_some(came)
    });
    let voluntary = Metrics::read(&shown);
    let voluntary = voluntary.sum(
        "connscope_context_switches_total",
        &["target=\"ours\"", "kind=\"voluntary\""],
    );
    assert!(voluntary > 100.0, "{voluntary}");
    assert!(
        last.head.starts_with("post /v1/metrics http/1.1\r\n"),
        "{}",
        last.head
    );
    for line in [
        "authorization: bearer abc",
        "content-type: application/x-protobuf",
        "content-encoding: gzip",
    ] {
        assert!(
            last.head.contains(&format!("{line}\r\n")),
            "{line}: {}",
            last.head
        );
    }
    let resource = resource(&last.request());
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    assert_eq!(resource["service.name"], "connscope");
    assert_eq!(resource["host.name"], host);
    assert_eq!(
        resource["service.instance.id"],
        format!("{host}:{}", exporter.address.port())
    );
    assert_eq!(resource["deployment.environment.name"], "test");
    // One after another, each newer than the one before.
    assert!(
        receiver
            .came()
            .is_sorted_by(|one, next| read_at(one) < read_at(next))
    );
    exporter.running.end_by(SIGTERM).exits(0);
}

#[test]
fn while_nobody_listens_the_newest_are_kept_and_the_rest_is_counted() {
    let address = nowhere();
    let mut exporter = Exporter::start(&pushing(address, "queue = 3\n"));
    let metrics = wait_for("drops", || {
        let metrics = exporter.scrape();
        (counts(&metrics).0[1] >= 2.0).then_some(metrics)
    });
    let ([sent, dropped, refused, waiting], offered) = counts(&metrics);
    assert_eq!((sent, refused), (0.0, 0.0));
    assert_eq!(dropped + waiting, offered);
    // Besides those that wait one may be on its way.
    assert!((3.0..=4.0).contains(&waiting), "{waiting}");
    let receiver = Receiver::answering(&address.to_string(), None, |_| TAKEN);
    let metrics = wait_for("what waited", || {
        let metrics = exporter.scrape();
        (counts(&metrics).0[0] >= 5.0).then_some(metrics)
    });
    let ([sent, dropped, refused, waiting], offered) = counts(&metrics);
    assert_eq!(sent + dropped + refused + waiting, offered);
    let came = receiver.came();
    assert!(came.is_sorted_by(|one, next| read_at(one) < read_at(next)));
    let said = exporter.running.said();
    let url = format!("http://{address}/v1/metrics");
    for line in [
        format!("connscope: cannot push to {url}: connection refused; it is tried again\n"),
        format!("connscope: {url} takes readings again\n"),
    ] {
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
    let ended = exporter.running.end_by(SIGTERM).exits(0);
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
    // What waited at the end was sent, too.
    let last = receiver.came().len();
    assert!(last as f64 >= sent + waiting, "{last} {sent} {waiting}");
}

/// 503, then nothing at all, then refused for good, then taken in part; then taken.
fn moods(number: usize) -> Reply {
    match number {
        0 => Some((
            "503 Service Unavailable",
            "Retry-After: 1\r\n",
            b"busy".to_vec(),
        )),
        1 => None,
        2 => Some(("400 Bad Request", "", b"no such tenant\nand more".to_vec())),
        3 => {
            let answer = ExportMetricsServiceResponse {
                partial_success: Some(ExportMetricsPartialSuccess {
                    rejected_data_points: 7,
                    error_message: "too old".to_owned(),
                }),
            };
            Some(("200 OK", "", answer.encode_to_vec()))
        }
        _ => TAKEN,
    }
}

#[test]
fn what_a_receiver_answers_decides() {
    let receiver = Receiver::answering("127.0.0.1:0", None, moods);
    let mut exporter = Exporter::start(&pushing(
        receiver.address,
        "timeout = \"300ms\"\ncompression = \"none\"\n",
    ));
    let metrics = wait_for("readings that are taken", || {
        let metrics = exporter.scrape();
        (counts(&metrics).0[0] >= 3.0).then_some(metrics)
    });
    let ([sent, dropped, refused, waiting], offered) = counts(&metrics);
    assert_eq!((dropped, refused), (0.0, 1.0));
    assert_eq!(sent + refused + waiting, offered);
    assert_eq!(
        metrics.sum("connscope_otlp_rejected_points_total", &[]),
        7.0
    );
    let came = receiver.came();
    // The first one came three times, the second time when it was asked for.
    assert!(came[1].at - came[0].at >= Duration::from_secs(1));
    assert_eq!(came[0].body, came[1].body);
    assert_eq!(came[0].body, came[2].body);
    assert_ne!(came[2].body, came[3].body);
    assert_ne!(came[3].body, came[4].body);
    assert!(
        !came[0].head.contains("content-encoding"),
        "{}",
        came[0].head
    );
    let said = exporter.running.said();
    let url = format!("http://{}/v1/metrics", receiver.address);
    let lines: Vec<_> = said.lines().filter(|line| line.contains(&url)).collect();
    let expected = [
        format!("cannot push to {url}: status 503 Service Unavailable: busy; it is tried again"),
        format!("cannot push to {url}: no answer within 300ms; it is tried again"),
        format!("{url} refuses readings: status 400 Bad Request: no such tenant"),
        format!("{url} took a reading in part: 7 points rejected: too old"),
        format!("{url} takes readings again"),
    ];
    assert_eq!(lines, expected.map(|line| format!("connscope: {line}")));
}

#[test]
fn a_receiver_that_never_answers_holds_nobody_up() {
    let receiver = Receiver::answering("127.0.0.1:0", None, |_| None);
    let exporter = Exporter::start(&pushing(receiver.address, "timeout = \"60s\"\n"));
    wait_for("a request", || receiver.came().pop());
    let reads = |exporter: &Exporter| {
        exporter
            .scrape_later()
            .sum("connscope_snapshots_total", &[])
    };
    let first = reads(&exporter);
    assert!(reads(&exporter) > first);
    let ended = exporter.running.end_by(SIGTERM).exits(0);
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
}

#[test]
fn another_endpoint_gets_what_waits_and_none_gets_nothing() {
    let receiver = Receiver::start();
    let mut exporter = Exporter::start(&pushing(nowhere(), ""));
    let mut seen = Metrics::default();
    exporter.scrape_later().assert_none_went_back(&mut seen);
    assert_eq!(exporter.reload(&pushing(receiver.address, "")), READ_ANEW);
    let metrics = wait_for("what waited", || {
        let metrics = exporter.scrape();
        metrics.assert_none_went_back(&mut seen);
        let ([sent, .., waiting], _) = counts(&metrics);
        (sent > 0.0 && waiting <= 1.0).then_some(metrics)
    });
    let ([sent, dropped, refused, waiting], offered) = counts(&metrics);
    assert_eq!((dropped, refused, sent + waiting), (0.0, 0.0, offered));
    // What is wrong changes nothing.
    let said = exporter.reload("[otlp]\nendpoint = \"ftp://a\"\n");
    assert!(
        said.contains(":4: endpoint: begins with neither http:// nor https://"),
        "{said}"
    );
    let before = receiver.came().len();
    wait_for("more", || {
        (receiver.came().len() > before + 1).then_some(())
    });
    assert_eq!(exporter.reload(""), READ_ANEW);
    let metrics = exporter.scrape_later();
    assert!(
        !metrics
            .0
            .keys()
            .any(|series| series.starts_with("connscope_otlp"))
    );
    let before = receiver.came().len();
    exporter.scrape_later();
    assert_eq!(receiver.came().len(), before);
    // And counters go on where they were.
    assert_eq!(exporter.reload(&pushing(receiver.address, "")), READ_ANEW);
    exporter.scrape_later().assert_none_went_back(&mut seen);
}

#[test]
fn only_a_receiver_with_the_right_certificate_gets_anything() {
    let (keys, own, stranger) = (Keys::until(2100), Keys::until(2100), Keys::until(2100));
    let mut authorities = RootCertStore::empty();
    authorities.add(own.root.clone()).expect("a root");
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![keys.certificate()], keys.key())
        .expect("a certificate");
    let receiver = Receiver::answering("127.0.0.1:0", Some(Arc::new(tls)), |_| TAKEN);
    let url = format!("https://localhost:{}", receiver.address.port());
    let trusting = |authority: &Keys, identity: &Keys| {
        let path = |keys: &Keys, name| keys.path(name).display().to_string();
        format!(
            "[otlp]\nendpoint = \"{url}\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            path(authority, "ca.crt"),
            path(identity, "server.crt"),
            path(identity, "server.key"),
        )
    };
    let mut exporter = Exporter::start(&trusting(&stranger, &own));
    let complains = |exporter: &mut Exporter, why: &str| {
        wait_for(why, || {
            let said = exporter.running.said();
            let mut lines = said.lines();
            lines
                .find(|line| {
                    line.starts_with(&format!("connscope: cannot push to {url}/v1/metrics: "))
                        && line.contains(why)
                })
                .map(str::to_owned)
        })
    };
    complains(&mut exporter, "invalid peer certificate");
    assert_eq!(exporter.reload(&trusting(&keys, &stranger)), READ_ANEW);
    complains(&mut exporter, "alert");
    assert!(receiver.came().is_empty());
    assert_eq!(exporter.reload(&trusting(&keys, &own)), READ_ANEW);
    wait_for("a reading", || receiver.came().pop());
}
