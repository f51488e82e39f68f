//! Protobuf has the figures of the text, and native histograms besides.

use super::{all, text, values};
use connscope::export::metrics::exposition::Exposition;
use connscope::export::prometheus::encode::encode;
use connscope::export::prometheus::negotiate::Format;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    Histogram, MetricFamily,
};
use prost::Message as _;
use std::sync::Arc;

fn families(exposition: &Arc<Exposition>) -> Vec<MetricFamily> {
    families_of(&encode(exposition, Format::Protobuf).expect("it can be encoded"))
}

pub(in super::super) fn families_of(bytes: &[u8]) -> Vec<MetricFamily> {
    let mut rest = bytes;
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
    }
    families
}

/// Samples of each bucket that has any, by its place.
pub(in super::super) fn native_buckets(histogram: &Histogram) -> Vec<(i32, u64)> {
    let (mut index, mut count) = (0, 0);
    let mut deltas = histogram.positive_delta.iter();
    let mut buckets = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset;
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            buckets.push((index, u64::try_from(count).expect("no less than none")));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

fn native_count(histogram: &Histogram) -> u64 {
    let buckets = native_buckets(histogram);
    buckets.iter().map(|it| it.1).sum::<u64>() + histogram.zero_count
}

#[test]
fn native_histograms_count_what_classic_ones_do() {
    let exposition = all();
    let mut filled = 0;
    for family in families(&exposition) {
        for metric in &family.metric {
            let Some(histogram) = &metric.histogram else {
                continue;
            };
            assert_eq!((histogram.schema, histogram.sample_count_float), (2, 0.0));
            assert!(histogram.zero_threshold > 0.0);
            assert_eq!(
                native_count(histogram),
                histogram.sample_count,
                "{}",
                family.name
            );
            let last = histogram.bucket.last().expect("buckets");
            assert_eq!(last.upper_bound, f64::INFINITY);
            assert_eq!(
                last.cumulative_count, histogram.sample_count,
                "{}",
                family.name
            );
            assert!(
                histogram
                    .bucket
                    .is_sorted_by_key(|bucket| bucket.cumulative_count)
            );
            filled += u32::from(histogram.sample_count > 0);
        }
    }
    assert!(filled >= 10, "{filled}");
}

#[test]
fn protobuf_has_the_figures_of_the_text() {
    let exposition = all();
    let text = values(&text(&exposition, Format::Text));
    let mut lines = 0;
    for family in families(&exposition) {
        for metric in &family.metric {
            let labels = metric.label.iter().map(|label| {
                let value = label.value.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{}=\"{value}\"", label.name)
            });
            let labels: Vec<_> = labels.collect();
            let key = |suffix: &str| match labels.is_empty() {
                true => format!("{}{suffix}", family.name),
                false => format!("{}{suffix}{{{}}}", family.name, labels.join(",")),
            };
            match (&metric.counter, &metric.gauge, &metric.histogram) {
                (Some(counter), ..) => {
                    assert_eq!(Some(&counter.value), text.get(&key("")), "{}", key(""))
                }
                (_, Some(gauge), _) => {
                    assert_eq!(Some(&gauge.value), text.get(&key("")), "{}", key(""));
                }
                (.., Some(histogram)) => {
                    assert!(text.contains_key(&key("_count")), "{}", key("_count"));
                    assert_eq!(histogram.sample_count as f64, text[&key("_count")]);
                    assert_eq!(histogram.sample_sum, text[&key("_sum")]);
                    lines += histogram.bucket.len() + 1;
                }
                _ => panic!("{family:?}"),
            }
            lines += 1;
        }
    }
    assert_eq!(lines, text.len());
}
