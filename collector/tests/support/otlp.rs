//! What a Prometheus makes of metrics that come by OTLP, by the rules that OpenTelemetry's specification has for it
//! (compatibility, "OTLP Metric points to Prometheus"), to be compared with what scrapers read.
#![allow(dead_code, unreachable_pub)]

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric::Data};
use std::collections::BTreeMap;

/// Values by name and labels, with these in order and bounds as numbers.
pub type Values = BTreeMap<(String, Vec<(String, String)>), f64>;

/// Of all metrics of a request.
pub fn translated(request: &ExportMetricsServiceRequest) -> Values {
    let mut values = Values::new();
    metrics(request).for_each(|metric| translate(metric, &mut values));
    values
}

pub fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|it| &it.scope_metrics);
    scopes.flat_map(|it| &it.metrics)
}

/// The resource's attributes.
pub fn resource(request: &ExportMetricsServiceRequest) -> BTreeMap<String, String> {
    let resources = request.resource_metrics.iter().flat_map(|it| &it.resource);
    resources.flat_map(|it| labels(&it.attributes)).collect()
}

fn translate(metric: &Metric, values: &mut Values) {
    let name = name(metric);
    let mut put = |suffix: &str, mut labels: Vec<(String, String)>, value| {
        labels.sort();
        let key = (format!("{name}{suffix}"), labels);
        assert_eq!(
            values.insert(key.clone(), value),
            None,
            "{key:?} is there twice"
        );
    };
    match metric.data.as_ref().expect("data") {
        Data::Gauge(gauge) => {
            for point in &gauge.data_points {
                put("", labels(&point.attributes), number(point));
            }
        }
        Data::Sum(sum) => {
            for point in &sum.data_points {
                put("", labels(&point.attributes), number(point));
            }
        }
        Data::Histogram(histogram) => {
            for point in &histogram.data_points {
                let of = || labels(&point.attributes);
                put("_count", of(), point.count as f64);
                put("_sum", of(), point.sum.expect("a sum"));
                assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                let bounds = point.explicit_bounds.iter().copied().chain([f64::INFINITY]);
                let mut below = 0;
                for (bound, count) in bounds.zip(&point.bucket_counts) {
                    below += count;
                    let mut of = of();
                    of.push(("le".to_owned(), bound.to_string()));
                    put("_bucket", of, below as f64);
                }
                assert_eq!(below, point.count);
            }
        }
        other => panic!("{other:?}"),
    }
}

fn name(metric: &Metric) -> String {
    let unit = match metric.unit.as_str() {
        "s" => "_seconds",
        "By" => "_bytes",
        "" => "",
        other => panic!("unit {other}"),
    };
    let is_counter = match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => {
            assert_eq!((sum.is_monotonic, sum.aggregation_temporality), (true, 2));
            true
        }
        _ => false,
    };
    let suffix = if is_counter { "_total" } else { "" };
    format!("{}{unit}{suffix}", metric.name.replace('.', "_"))
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value.expect("a value") {
        Value::AsDouble(value) => value,
        Value::AsInt(value) => value as f64,
    }
}

fn labels(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match &attribute.value.as_ref()?.value {
        Some(any_value::Value::StringValue(text)) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    };
    let labels: Vec<_> = attributes.iter().filter_map(text).collect();
    assert_eq!(labels.len(), attributes.len(), "{attributes:?}");
    labels
}

/// The same of Prometheus' text.
pub fn scraped(text: &str) -> Values {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(scraped_line).collect()
}

fn scraped_line(line: &str) -> ((String, Vec<(String, String)>), f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut rest = labels.strip_suffix('}').expect("the end of labels");
    let mut labels = Vec::new();
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a quote") {
                (end, '"') => break end + 1,
                (_, '\\') => match characters.next().expect("what is escaped").1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        rest = after[end..].trim_start_matches(',');
        if name == "le" {
            let bound: f64 = value.parse().expect("a bound");
            value = bound.to_string();
        }
        labels.push((name.to_owned(), value));
    }
    labels.sort();
    let value = value.parse().expect("a number");
    ((name.to_owned(), labels), value)
}
