//! In which format a scraper wants its metrics.

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format.
    Text,
    /// OpenMetrics text.
    OpenMetrics,
    /// Prometheus' protobuf, each family with its length before it: the only one with native histograms.
    Protobuf,
}

/// All formats; of those that a scraper likes equally well the first is taken.
pub const FORMATS: [Format; 3] = [Format::Protobuf, Format::OpenMetrics, Format::Text];

impl Format {
    /// The header of an answer in it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The best of those that an `Accept` header names; text where it names none of them, as Prometheus'
    /// own clients do.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let ranges: Vec<_> = header.split(',').map(Range::parse).collect();
        let liked = |format: &Self| {
            let of_format = ranges.iter().filter(|range| range.takes(*format));
            of_format.map(|range| range.quality).max().unwrap_or(0)
        };
        let best = FORMATS.iter().copied().rev().max_by_key(liked);
        best.filter(|format| liked(format) > 0)
            .unwrap_or(Self::Text)
    }
}

/// One of the media types of an `Accept` header.
struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    quality: u32,
}

impl<'a> Range<'a> {
    fn parse(range: &'a str) -> Self {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameter = |part: &'a str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim(), value.trim().trim_matches('"'))
        };
        let parameters: Vec<_> = parts.map(parameter).collect();
        let quality = parameters.iter().find(|(name, _)| *name == "q");
        let quality = quality.map_or(Some(1.0), |(_, value)| value.parse::<f64>().ok());
        let quality = quality.unwrap_or(0.0).clamp(0.0, 1.0);
        Self {
            media_type,
            parameters,
            quality: (quality * 1_000.0).round() as u32,
        }
    }

    /// Whether an answer in that format is one of these. A wildcard is text, the one that everybody reads.
    fn takes(&self, format: Format) -> bool {
        let is = |name: &str, wanted: &[&str]| {
            let named = self.parameters.iter().find(|(it, _)| *it == name);
            named.is_none_or(|(_, value)| wanted.contains(value))
        };
        match format {
            Format::Text => {
                ["text/plain", "text/*", "*/*"].contains(&self.media_type)
                    && is("version", &["0.0.4"])
            }
            Format::OpenMetrics => {
                self.media_type == "application/openmetrics-text"
                    && is("version", &["0.0.1", "1.0.0"])
            }
            Format::Protobuf => {
                self.media_type == "application/vnd.google.protobuf"
                    && is("proto", &["io.prometheus.client.MetricFamily"])
                    && is("encoding", &["delimited"])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_likes_best() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for (header, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, */*;q=0.8", Format::Text),
            ("application/json", Format::Text),
            (
                "application/openmetrics-text; version=1.0.0",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            (
                "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0,text/plain", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
            (protobuf, Format::Protobuf),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                Format::Text,
            ),
            // What Prometheus 2.42 sends, and what it sends for native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                &format!(
                    "{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
                ),
                Format::Protobuf,
            ),
        ] {
            assert_eq!(Format::accepted(header), format, "{header}");
        }
    }
}
