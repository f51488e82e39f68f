//! Inline requests: one line of words, quoted as in `redis-cli`.

use super::Range;

/// Splits `line` into words: appends their bytes to `words` and where they lie to `ranges`.
/// `"..."` knows `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and `\` before any other byte; `'...'` knows
/// `\'`. `None` when a quote stays open or something touches a closing quote.
pub(crate) fn split(line: &[u8], words: &mut Vec<u8>, ranges: &mut Vec<Range>) -> Option<()> {
    let mut rest = line.trim_ascii();
    while let Some(&first) = rest.first() {
        let from = words.len() as u32;
        rest = match first {
            b'"' | b'\'' => take_quoted(&rest[1..], first, words)?,
            _ => take_plain(rest, words)?,
        };
        ranges.push((from, words.len() as u32));
        rest = rest.trim_ascii_start();
    }
    Some(())
}

fn take_plain<'a>(rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    let end = rest
        .iter()
        .position(|&byte| byte.is_ascii_whitespace() || byte == b'"' || byte == b'\'')
        .unwrap_or(rest.len());
    words.extend_from_slice(&rest[..end]);
    match rest.get(end) {
        // As in Redis, a quote may open inside a word: `ab"c d"` is one word.
        Some(&quote @ (b'"' | b'\'')) => take_quoted(&rest[end + 1..], quote, words),
        _ => Some(&rest[end..]),
    }
}

/// Takes what follows an opening quote, the closing one included.
fn take_quoted<'a>(mut rest: &'a [u8], quote: u8, words: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        if byte == quote {
            let closed = rest.first().is_none_or(u8::is_ascii_whitespace);
            return closed.then_some(rest);
        }
        if byte != b'\\' {
            words.push(byte);
        } else if quote == b'"' {
            rest = take_escape(rest, words)?;
        } else if let Some(behind) = rest.strip_prefix(b"'") {
            words.push(b'\'');
            rest = behind;
        } else {
            words.push(b'\\');
        }
    }
}

fn take_escape<'a>(rest: &'a [u8], words: &mut Vec<u8>) -> Option<&'a [u8]> {
    if let [b'x', high, low, behind @ ..] = rest
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        words.push(high << 4 | low);
        return Some(behind);
    }
    let (&byte, behind) = rest.split_first()?;
    words.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    });
    Some(behind)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
