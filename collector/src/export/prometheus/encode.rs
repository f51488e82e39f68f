//! Series in the formats of [`Format`], through `prometheus-client`.

use super::negotiate::Format;
use crate::export::metrics::buckets::{SCHEMA, ZERO_THRESHOLD, classic, native};
use crate::export::metrics::exposition::Exposition;
use crate::export::metrics::family::{Family, Kind, PREFIX, Series, Unit, Value};
use crate::snapshot::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet,
    prometheus_protobuf, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Registry};
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// All of it in a format.
///
/// # Errors
/// If the encoder refuses a figure.
pub fn encode(exposition: &Arc<Exposition>, format: Format) -> Result<Vec<u8>, String> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(exposition.clone()));
    if format == Format::Protobuf {
        return prometheus_protobuf::encode_to_vec(&registry).map_err(|error| error.to_string());
    }
    let mut openmetrics = String::new();
    text::encode(&mut openmetrics, &registry).map_err(|error| error.to_string())?;
    Ok(match format {
        Format::Text => older_text(&openmetrics, exposition),
        _ => openmetrics,
    }
    .into_bytes())
}

/// The text format that came before OpenMetrics: a counter has one name everywhere, and there are no units.
fn older_text(openmetrics: &str, exposition: &Exposition) -> String {
    let families = exposition.families().filter_map(|series| series.first());
    let counters = families.filter(|it| it.family.kind == Kind::Counter);
    let names: HashSet<String> = counters.map(|it| it.family.full_name()).collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => {}
            (Some("#"), Some(what), Some(name), Some(rest))
                if names.contains(&format!("{name}_total")) =>
            {
                let _ = writeln!(text, "# {what} {name}_total {rest}");
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for series in self.families() {
            let Some(Series { family, .. }) = series.first() else {
                continue;
            };
            let unit = unit(family);
            let mut of_family =
                encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind(family))?;
            for one in series {
                match one.labels.is_empty() {
                    true => one.encode(&mut of_family)?,
                    false => one.encode(&mut of_family.encode_family(&one.labels)?)?,
                }
            }
        }
        Ok(())
    }
}

impl Series {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let unit = self.family.unit;
        match (&self.value, self.family.kind) {
            (Value::Now(value), _) => encoder.encode_gauge(value),
            (Value::Total(ns), _) if unit == Unit::Seconds => {
                encoder.encode_counter::<NoLabelSet, _, u64>(&unit.shown(*ns), None)
            }
            (Value::Total(count), _) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
            (Value::Samples(samples), Kind::Histogram(from, to)) => {
                encode_samples(encoder, samples, (from, to), unit)
            }
            (Value::Samples(_), _) => Err(fmt::Error),
        }
    }
}

fn encode_samples(
    encoder: &mut MetricEncoder<'_>,
    samples: &Histogram,
    bounds: (u32, u32),
    unit: Unit,
) -> fmt::Result {
    let count = samples.counts.iter().sum();
    let native = native(samples, unit.scale());
    let (spans, deltas) = native.spans();
    encoder.encode_histogram_with_native::<NoLabelSet>(
        unit.shown(samples.sum_ns),
        count,
        &classic(samples, bounds, unit.scale()),
        None,
        NativeHistogram {
            schema: SCHEMA,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: native.zero_count,
            negative: NativeHistogramBuckets {
                spans: &[],
                deltas: &[],
            },
            positive: NativeHistogramBuckets {
                spans: &spans,
                deltas: &deltas,
            },
            created: None,
        },
    )
}

fn unit(family: &Family) -> Option<registry::Unit> {
    match family.unit {
        Unit::None => None,
        Unit::Seconds => Some(registry::Unit::Seconds),
        Unit::Bytes => Some(registry::Unit::Bytes),
    }
}

fn kind(family: &Family) -> MetricType {
    match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Histogram(..) => MetricType::Histogram,
    }
}
