//! Sizes and times as people write them on a command line.

use std::time::Duration;

/// Bytes from `4096`, `64KiB`, `1MiB`, `2GiB` (also `K`, `M`, `G`, powers of 1024).
///
/// # Errors
/// A text for the user when it is no size.
pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor: usize = match unit {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("not a size; write it like 4096, 64KiB, 1MiB or 2GiB".to_owned()),
    };
    number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "not a size; write it like 4096, 64KiB, 1MiB or 2GiB".to_owned())
}

/// A time from `500us`, `250ms`, `5s`, `2m`, `1h`; a bare number is seconds.
///
/// # Errors
/// A text for the user when it is no time.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let error = || "not a time; write it like 250ms, 5s, 1.5s or 2m".to_owned();
    let (number, unit) = split(text);
    let factor = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| error())
}

fn split(text: &str) -> (&str, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for wrong in [
            "",
            "KiB",
            "-1",
            "1.5M",
            "1TB",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "s", "-1s", "5d", "1e9", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
