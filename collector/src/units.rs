//! Figures in human units: three significant digits, fewer below 1, and the unit that fits.

use std::time::{Duration, UNIX_EPOCH};

/// Units by their size, smallest first.
type Scale = [(f64, &'static str)];

const TIMES: [(f64, &str); 4] = [(1e-9, " ns"), (1e-6, " µs"), (1e-3, " ms"), (1.0, " s")];
const BYTES: [(f64, &str); 5] = [
    (1.0, " B"),
    (1e3, " kB"),
    (1e6, " MB"),
    (1e9, " GB"),
    (1e12, " TB"),
];
const RATES: [(f64, &str); 4] = [(1.0, " /s"), (1e3, " k/s"), (1e6, " M/s"), (1e9, " G/s")];
const COUNTS: [(f64, &str); 4] = [(1.0, ""), (1e6, " M"), (1e9, " G"), (1e12, " T")];
const NUMBERS: [(f64, &str); 1] = [(1.0, "")];

/// `1.37 ms`, of seconds.
pub(crate) fn time(seconds: f64) -> String {
    scaled(seconds, &TIMES)
}

/// `168 kB`; a kilobyte is 1,000 bytes.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, &BYTES)
}

/// `12.4 k/s`.
pub(crate) fn rate(per_second: f64) -> String {
    scaled(per_second, &RATES)
}

/// `12,345`, `1.23 M`.
pub(crate) fn count(count: f64) -> String {
    if count.abs() < 999_999.5 {
        thousands(&format!("{count:.0}"))
    } else {
        scaled(count, &COUNTS)
    }
}

/// `2.01`.
pub(crate) fn number(number: f64) -> String {
    scaled(number, &NUMBERS)
}

/// `6.3 %`, of a fraction.
pub(crate) fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if percent.abs() < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// `2026-11-30 14:05 UTC`, of seconds since the epoch: a report is read where its host's time zone is not known.
pub(crate) fn date(unix_seconds: u64) -> String {
    // What a damaged record says may be beyond the calendar's last year.
    let seconds = unix_seconds.min(LAST_SECOND);
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let text = time.to_string().replace('T', " ");
    format!("{} UTC", &text[..text.len() - ":00Z".len()])
}

/// Of the year 9999, as far as RFC 3339 goes.
const LAST_SECOND: u64 = 253_402_300_799;

/// One of the units above, as a way to write a figure together with others like it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Time,
    Bytes,
    Rate,
    Count,
    Number,
}

impl Unit {
    /// The figure with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        scaled(value, self.scale())
    }

    /// The middle of three figures, with the outer ones in its unit: `1.37 ms [1.31–1.52]`.
    pub(crate) fn show_spread(self, min: f64, median: f64, max: f64) -> String {
        let (size, _) = fitting(median, self.scale());
        let (min, max) = (digits(min / size), digits(max / size));
        format!("{} [{min}–{max}]", self.show(median))
    }

    /// Two figures in the unit of the second: `1.31–1.52 ms`.
    pub(crate) fn show_range(self, from: f64, to: f64) -> String {
        let (size, suffix) = fitting(to, self.scale());
        format!("{}–{}{suffix}", digits(from / size), digits(to / size))
    }

    fn scale(self) -> &'static Scale {
        match self {
            Self::Time => &TIMES,
            Self::Bytes => &BYTES,
            Self::Rate => &RATES,
            Self::Count => &COUNTS,
            Self::Number => &NUMBERS,
        }
    }
}

fn scaled(value: f64, scale: &Scale) -> String {
    let (size, suffix) = fitting(value, scale);
    format!("{}{suffix}", digits(value / size))
}

/// The unit in which the figure is below 1,000 when rounded; for nothing at all the basic one.
fn fitting(value: f64, scale: &Scale) -> (f64, &'static str) {
    let last = scale[scale.len() - 1];
    if value == 0.0 {
        return scale
            .iter()
            .copied()
            .find(|(size, _)| *size >= 1.0)
            .unwrap_or(last);
    }
    scale
        .iter()
        .copied()
        .find(|(size, _)| value.abs() / size < 999.5)
        .unwrap_or(last)
}

/// Three significant digits, or more before the point; below 1 three decimals, and where those would
/// all be zero two significant digits and an exponent; zero has one.
fn digits(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => "0".to_owned(),
        _ if size < 0.000_5 => format!("{value:.1e}"),
        _ if size < 0.995 => format!("{value:.3}"),
        _ if size < 9.995 => format!("{value:.2}"),
        _ if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    if size < 999.5 { text } else { thousands(&text) }
}

/// Commas between the thousands of a whole number.
fn thousands(digits: &str) -> String {
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |digits| ("-", digits));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_the_unit_that_fits() {
        let times = [0.0, 3e-9, 661e-9, 999.6e-9, 1.37e-3, 0.9996, 12.34, 4321.0];
        let shown: Vec<_> = times.iter().map(|&seconds| time(seconds)).collect();
        let expected = [
            "0 s", "3.00 ns", "661 ns", "1.00 µs", "1.37 ms", "1.00 s", "12.3 s", "4,321 s",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            [bytes(168_200.0), bytes(1_053_000.0), bytes(-900.0)],
            ["168 kB", "1.05 MB", "-900 B"]
        );
        assert_eq!([rate(12_449.0), rate(312.0)], ["12.4 k/s", "312 /s"]);
        assert_eq!(
            [count(0.0), count(12_345.4), count(1_234_567.0)],
            ["0", "12,345", "1.23 M"]
        );
        assert_eq!(
            [number(2.006), number(0.031_2), number(0.000_02)],
            ["2.01", "0.031", "2.0e-5"]
        );
        assert_eq!([percent(0.0625), percent(0.12)], ["6.2 %", "12 %"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00 UTC"),
            (u64::MAX, "9999-12-31 23:59 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn a_spread_is_in_the_unit_of_its_median() {
        assert_eq!(
            Unit::Time.show_spread(980e-6, 1.1e-3, 1.2e-3),
            "1.10 ms [0.980–1.20]"
        );
        assert_eq!(
            Unit::Rate.show_spread(19_900.0, 20_000.0, 20_000.0),
            "20.0 k/s [19.9–20.0]"
        );
    }
}
