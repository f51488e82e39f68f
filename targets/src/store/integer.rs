//! Integers as Redis keeps them: decimal text.

/// Reads an integer as Redis does: no sign `+`, no blanks, no leading zeros, no `-0`.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let value = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut digits = [0; 20];
    (format(value, &mut digits) == text).then_some(value)
}

/// Writes `value` as decimal digits at the end of `digits`.
pub(crate) fn format(value: i64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}
