//! Requests of the load generator as they are sent.

/// Bytes of each value of `get-set`.
const VALUE_BYTES: usize = 100;
const DIGITS: usize = 10;

// Whole, so that none is encoded anew.
pub(super) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
pub(super) const INCR: &[u8] = b"*2\r\n$4\r\nINCR\r\n$17\r\nconnscope:counter\r\n";
pub(super) const CLEAR_COUNTER: &[u8] =
    b"*3\r\n$3\r\nSET\r\n$17\r\nconnscope:counter\r\n$1\r\n0\r\n";
pub(super) const WORK_50: &[u8] = b"*2\r\n$4\r\nWORK\r\n$2\r\n50\r\n";
pub(super) const WORK_100: &[u8] = b"*2\r\n$4\r\nWORK\r\n$3\r\n100\r\n";
pub(super) const WAIT_5: &[u8] = b"*2\r\n$4\r\nWAIT\r\n$1\r\n5\r\n";
/// Up to the ten digits of the key; a line end follows them.
const GET_KEY: &[u8] = b"*2\r\n$3\r\nGET\r\n$14\r\nkey:";
/// Up to the ten digits of the key, which `VALUE` and the value follow.
const SET_KEY: &[u8] = b"*3\r\n$3\r\nSET\r\n$14\r\nkey:";
const VALUE: &[u8] = b"\r\n$100\r\n";

pub(super) fn get(key: u64, request: &mut Vec<u8>) {
    for part in [GET_KEY, &digits(key), b"\r\n"] {
        request.extend_from_slice(part);
    }
}

pub(super) fn set(key: u64, request: &mut Vec<u8>) {
    let parts: [&[u8]; 5] = [SET_KEY, &digits(key), VALUE, &value_of(key), b"\r\n"];
    for part in parts {
        request.extend_from_slice(part);
    }
}

/// The key's ten digits ten times over: nobody else's value.
pub(super) fn value_of(key: u64) -> [u8; VALUE_BYTES] {
    let digits = digits(key);
    std::array::from_fn(|index| digits[index % DIGITS])
}

pub(super) fn is_value_of(key: u64, value: &[u8]) -> bool {
    let digits = digits(key);
    value.len() == VALUE_BYTES && value.chunks_exact(DIGITS).all(|chunk| chunk == digits)
}

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_they_would_be_encoded() {
        use redis_protocol::resp2::types::BorrowedFrame::BulkString;

        let value = b"0000000007".repeat(10);
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (PING, &[b"PING"]),
            (INCR, &[b"INCR", b"connscope:counter"]),
            (CLEAR_COUNTER, &[b"SET", b"connscope:counter", b"0"]),
            (WORK_50, &[b"WORK", b"50"]),
            (WORK_100, &[b"WORK", b"100"]),
            (WAIT_5, &[b"WAIT", b"5"]),
        ];
        let (mut get_7, mut set_7) = (Vec::new(), Vec::new());
        get(7, &mut get_7);
        set(7, &mut set_7);
        let built: [(&[u8], &[&[u8]]); 2] = [
            (&get_7, &[b"GET", b"key:0000000007"]),
            (&set_7, &[b"SET", b"key:0000000007", &value]),
        ];
        for (request, arguments) in cases.into_iter().chain(built) {
            let frames: Vec<_> = arguments.iter().map(|bytes| BulkString(bytes)).collect();
            let mut encoded = Vec::new();
            crate::protocol::reply::array(&mut encoded, &frames);
            assert_eq!(
                request.escape_ascii().to_string(),
                encoded.escape_ascii().to_string()
            );
        }
    }
}
