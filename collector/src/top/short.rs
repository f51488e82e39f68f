//! Figures in as few columns as a crowded table has: at most six for a time, five for all else.

/// `12.4k`, of a second: `0`, `3.2`, `312`, `1.05M`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    count(per_second)
}

/// `12.4k`.
#[must_use]
pub fn count(count: f64) -> String {
    scaled(count, &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")])
}

/// `410k`; a kilobyte is 1,000 bytes.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    let units = [(1.0, "B"), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
    scaled(bytes, &units)
}

/// `1.38ms`.
#[must_use]
pub fn time(seconds: f64) -> String {
    let units = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")];
    scaled(seconds, &units)
}

/// `6.3`, `178`, of a fraction.
#[must_use]
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    match percent {
        0.0 => "0".to_owned(),
        _ if percent < 9.95 => format!("{percent:.1}"),
        _ => format!("{percent:.0}"),
    }
}

/// In the unit in which it is below 1,000 when rounded.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let fits = |unit: &&(f64, &str)| value / unit.0 < 999.5;
    let largest = &units[units.len() - 1];
    let &(size, suffix) = units.iter().find(fits).unwrap_or(largest);
    let is_whole = suffix.is_empty() || suffix == "B";
    format!("{}{suffix}", digits(value / size, is_whole))
}

/// Three significant digits; of what is counted one by one a decimal below ten.
fn digits(value: f64, is_whole: bool) -> String {
    match value {
        _ if value < 9.95 && is_whole => format!("{value:.1}"),
        _ if value < 9.995 && !is_whole => format!("{value:.2}"),
        _ if value < 99.95 && !is_whole => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let rates = [0.0, 0.52, 3.0, 9.96, 312.4, 999.6, 12_449.0, 1_050_000.0];
        assert_eq!(
            rates.map(rate),
            ["0", "0.5", "3.0", "10", "312", "1.00k", "12.4k", "1.05M"]
        );
        let times = [0.0, 661e-9, 999.6e-9, 17.4e-6, 1.376e-3, 0.25, 2.0];
        assert_eq!(
            times.map(time),
            ["0", "661ns", "1.00µs", "17.4µs", "1.38ms", "250ms", "2.00s"]
        );
        let sizes = [0.0, 16_384.0, 410_000.0, 253e6, 4.2e9];
        assert_eq!(sizes.map(bytes), ["0", "16.4k", "410k", "253M", "4.20G"]);
        let shares = [0.0, 0.000_4, 0.062_5, 0.0995, 0.42, 31.999];
        assert_eq!(shares.map(percent), ["0", "0.0", "6.2", "10", "42", "3200"]);
    }

    #[test]
    fn none_is_wider_than_its_column() {
        let mut value = 1e-9;
        while value < 9.9e11 {
            assert!(rate(value).chars().count() <= 5, "{}", rate(value));
            assert!(bytes(value).chars().count() <= 5, "{}", bytes(value));
            value *= 1.013;
        }
        let mut seconds = 1e-9;
        while seconds < 900.0 {
            assert!(time(seconds).chars().count() <= 6, "{}", time(seconds));
            seconds *= 1.013;
        }
    }
}
