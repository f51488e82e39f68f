//! Metrics for OpenTelemetry: a reading as a request of its protocol (OTLP) in protobuf.
//!
//! Names and units follow OpenTelemetry's conventions: a dot after the namespace, the unit beside the name, no
//! `_total`. So a collector that writes them for Prometheus makes the names of them that scrapers see.

use super::metrics::buckets::{SCHEMA, ZERO_THRESHOLD, classic, native};
use super::metrics::exposition::Exposition;
use super::metrics::family::{Family, Kind, PREFIX, Series, Unit, Value};
use crate::snapshot::Histogram as Samples;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde::Deserialize;

/// Who tells, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Attributes of the resource: `service.name`, `host.name`, ...
    pub resource: Vec<(String, String)>,
    /// When all counters were zero, in nanoseconds since the epoch.
    pub since_unix_ns: u64,
    /// Which buckets histograms have.
    pub histograms: Histograms,
}

/// Which buckets histograms have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Histograms {
    /// The classic ones, whose bounds are powers of two of nanoseconds.
    #[default]
    Explicit,
    /// As native histograms have them, 19 % wide.
    Exponential,
}

/// All of a reading.
#[must_use]
pub fn encode(exposition: &Exposition, source: &Source) -> Vec<u8> {
    let metrics = exposition.families().filter_map(|series| {
        let family = series.first()?.family;
        let points = Points {
            source,
            at_unix_ns: exposition.at_unix_ns,
        };
        Some(Metric {
            name: format!("{PREFIX}.{}", family.name),
            description: family.help.to_owned(),
            unit: unit(family.unit).to_owned(),
            metadata: Vec::new(),
            data: Some(points.of(family, series)),
        })
    });
    let scope = InstrumentationScope {
        name: PREFIX.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: source
            .resource
            .iter()
            .map(|(name, value)| attribute(name, value))
            .collect(),
        ..Resource::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: metrics.collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec()
}

/// As UCUM has it.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Seconds => "s",
        Unit::Bytes => "By",
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    let labels = series.labels.iter();
    labels.map(|(name, value)| attribute(name, value)).collect()
}

/// Makes points of one reading.
struct Points<'a> {
    source: &'a Source,
    at_unix_ns: u64,
}

impl Points<'_> {
    fn of(&self, family: &Family, series: &[Series]) -> Data {
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        match (family.kind, self.source.histograms) {
            (Kind::Gauge, _) => Data::Gauge(Gauge {
                data_points: series.iter().filter_map(|it| self.number(it)).collect(),
            }),
            (Kind::Counter, _) => Data::Sum(Sum {
                data_points: series.iter().filter_map(|it| self.number(it)).collect(),
                aggregation_temporality,
                is_monotonic: true,
            }),
            (Kind::Histogram(from, to), Histograms::Explicit) => {
                let points = series.iter().filter_map(|it| self.explicit(it, (from, to)));
                Data::Histogram(Histogram {
                    data_points: points.collect(),
                    aggregation_temporality,
                })
            }
            (Kind::Histogram(..), Histograms::Exponential) => {
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: series
                        .iter()
                        .filter_map(|it| self.exponential(it))
                        .collect(),
                    aggregation_temporality,
                })
            }
        }
    }

    fn number(&self, series: &Series) -> Option<NumberDataPoint> {
        let unit = series.family.unit;
        let (since_unix_ns, value) = match series.value {
            // What is of now has no beginning.
            Value::Now(value) => (0, number_data_point::Value::AsDouble(value)),
            Value::Total(ns) if unit == Unit::Seconds => (
                self.source.since_unix_ns,
                number_data_point::Value::AsDouble(unit.shown(ns)),
            ),
            Value::Total(count) => (
                self.source.since_unix_ns,
                number_data_point::Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
            ),
            Value::Samples(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: since_unix_ns,
            time_unix_nano: self.at_unix_ns,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    }

    fn explicit(&self, series: &Series, bounds: (u32, u32)) -> Option<HistogramDataPoint> {
        let samples = samples(series)?;
        let buckets = classic(samples, bounds, series.family.unit.scale());
        let bounds = buckets.iter().map(|(bound, _)| *bound);
        Some(HistogramDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: self.source.since_unix_ns,
            time_unix_nano: self.at_unix_ns,
            count: samples.counts.iter().sum(),
            sum: Some(series.family.unit.shown(samples.sum_ns)),
            explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
            bucket_counts: buckets.iter().map(|(_, count)| *count).collect(),
            ..HistogramDataPoint::default()
        })
    }

    fn exponential(&self, series: &Series) -> Option<ExponentialHistogramDataPoint> {
        let samples = samples(series)?;
        let native = native(samples, series.family.unit.scale());
        let (upper, bucket_counts) = native.run();
        Some(ExponentialHistogramDataPoint {
            attributes: attributes(series),
            start_time_unix_nano: self.source.since_unix_ns,
            time_unix_nano: self.at_unix_ns,
            count: samples.counts.iter().sum(),
            sum: Some(series.family.unit.shown(samples.sum_ns)),
            scale: SCHEMA,
            zero_count: native.zero_count,
            zero_threshold: ZERO_THRESHOLD,
            positive: Some(Buckets {
                // Here buckets are known by their lower bounds.
                offset: upper - 1,
                bucket_counts,
            }),
            ..ExponentialHistogramDataPoint::default()
        })
    }
}

fn samples(series: &Series) -> Option<&Samples> {
    match &series.value {
        Value::Samples(samples) => Some(samples),
        Value::Now(_) | Value::Total(_) => None,
    }
}
