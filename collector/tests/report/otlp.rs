//! What snapshots become for OpenTelemetry.

use super::otlp_support::{metrics, resource, scraped, translated};
use super::prometheus::{all, text};
use connscope::export::otlp::{Histograms, Source, encode};
use connscope::export::prometheus::encode::encode as encode_for_prometheus;
use connscope::export::prometheus::negotiate::Format;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;

const SINCE: u64 = 1_700_000_000_000_000_000;

fn request(histograms: Histograms) -> ExportMetricsServiceRequest {
    let source = Source {
        resource: vec![("service.name".to_owned(), "connscope".to_owned())],
        since_unix_ns: SINCE,
        histograms,
    };
    let bytes = encode(&all(), &source);
    ExportMetricsServiceRequest::decode(bytes.as_slice()).expect("a request")
}

#[test]
fn a_collector_makes_of_it_what_scrapers_see() {
    let request = request(Histograms::Explicit);
    let scraped = scraped(&text(&all(), Format::Text));
    assert!(scraped.len() > 500, "{}", scraped.len());
    assert_eq!(translated(&request), scraped);
    assert_eq!(resource(&request)["service.name"], "connscope");
}

#[test]
fn names_and_units_are_as_opentelemetry_has_them() {
    let request = request(Histograms::Explicit);
    let found = |name: &str| {
        let mut metrics = metrics(&request).filter(|metric| metric.name == name);
        let metric = metrics.next().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metrics.count(), 0, "{name} is there twice");
        metric
    };
    for (name, unit) in [
        ("connscope.run_queue_wait", "s"),
        ("connscope.context_switches", ""),
        ("connscope.memory", "By"),
        ("connscope.cpu", "s"),
    ] {
        let metric = found(name);
        assert_eq!(metric.unit, unit, "{name}");
        assert!(metric.description.ends_with('.'), "{name}");
    }
    for metric in metrics(&request) {
        assert!(!metric.name.ends_with("_total") && !metric.name.ends_with("_seconds"));
    }
}

#[test]
fn points_say_from_when_to_when_they_are() {
    let at = all().at_unix_ns;
    assert!(at > SINCE);
    for histograms in [Histograms::Explicit, Histograms::Exponential] {
        for metric in metrics(&request(histograms)) {
            let times: Vec<_> = match metric.data.as_ref().expect("data") {
                Data::Gauge(it) => it
                    .data_points
                    .iter()
                    .map(|it| {
                        (
                            SINCE - it.start_time_unix_nano.max(SINCE),
                            it.time_unix_nano,
                        )
                    })
                    .collect(),
                Data::Sum(it) => it
                    .data_points
                    .iter()
                    .map(|it| (it.start_time_unix_nano - SINCE, it.time_unix_nano))
                    .collect(),
                Data::Histogram(it) => it
                    .data_points
                    .iter()
                    .map(|it| (it.start_time_unix_nano - SINCE, it.time_unix_nano))
                    .collect(),
                Data::ExponentialHistogram(it) => it
                    .data_points
                    .iter()
                    .map(|it| (it.start_time_unix_nano - SINCE, it.time_unix_nano))
                    .collect(),
                Data::Summary(_) => Vec::new(),
            };
            assert!(!times.is_empty(), "{}", metric.name);
            assert!(
                times.iter().all(|times| *times == (0, at)),
                "{}: {times:?}",
                metric.name
            );
        }
    }
}

/// The same samples as Prometheus' native histograms, bucket by bucket.
#[test]
fn exponential_histograms_are_the_native_ones() {
    let protobuf = encode_for_prometheus(&all(), Format::Protobuf).expect("it can be encoded");
    let native = super::prometheus::families_of(&protobuf);
    let mut compared = 0;
    for metric in metrics(&request(Histograms::Exponential)) {
        let Some(Data::ExponentialHistogram(it)) = &metric.data else {
            continue;
        };
        assert_eq!(it.aggregation_temporality, 2);
        let mut name = metric.name.replace('.', "_");
        name.push_str(if metric.unit == "s" { "_seconds" } else { "" });
        let family = native
            .iter()
            .find(|family| family.name == name)
            .expect("the family");
        assert_eq!(family.metric.len(), it.data_points.len());
        for (expected, point) in family.metric.iter().zip(&it.data_points) {
            let expected = expected.histogram.as_ref().expect("a histogram");
            assert_eq!(
                (point.scale, point.zero_count),
                (expected.schema, expected.zero_count)
            );
            assert_eq!(
                (point.count, point.sum),
                (expected.sample_count, Some(expected.sample_sum))
            );
            let positive = point.positive.as_ref().expect("buckets");
            let filled = positive
                .bucket_counts
                .iter()
                .enumerate()
                .filter(|it| *it.1 > 0);
            // Here a bucket is known by its lower bound, there by its upper one.
            let filled: Vec<_> = filled
                .map(|(place, count)| (positive.offset + 1 + place as i32, *count))
                .collect();
            assert_eq!(
                filled,
                super::prometheus::native_buckets(expected),
                "{name}"
            );
            compared += filled.len();
        }
    }
    assert!(compared > 30, "{compared}");
}
