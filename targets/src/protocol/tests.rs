//! Tests of the decoder: requests whole and in pieces, and everything that must be refused.

use super::*;

/// The requests in an input, and the error that ended it.
type Decoded = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Decodes all of `input` given in pieces of `step` bytes.
fn decode(input: &[u8], step: usize) -> Decoded {
    let ends = (1..).map(|piece| piece * step);
    let inner = ends.take_while(|&end| end < input.len());
    decode_pieces(input, inner.chain([input.len()]))
}

/// Decodes all of `input`, given in pieces that end there.
fn decode_pieces(input: &[u8], ends: impl Iterator<Item = usize>) -> Decoded {
    let mut decoder = Decoder::default();
    let mut requests = Vec::new();
    let mut start = 0;
    for end in ends {
        loop {
            match decoder.decode(&input[start..end]) {
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
                Ok(Some(length)) => {
                    let request = decoder.request(&input[start..end]);
                    let arguments = 0..request.len();
                    requests.push(arguments.map(|at| request.argument(at).to_vec()).collect());
                    decoder.next_request();
                    start += length;
                }
            }
        }
    }
    (requests, None)
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

#[test]
fn decodes_requests_however_they_arrive() {
    let input =
        b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nb\0\r\nPING\r\n*0\r\n*1\r\n$0\r\n\r\n\r\n SET  k 'v w' \n";
    let expected = vec![
        words(&[b"GET", b"a\r\nb\0"]),
        words(&[b"PING"]),
        words(&[]),
        words(&[b""]),
        words(&[]),
        words(&[b"SET", b"k", b"v w"]),
    ];
    for step in 1..=input.len() {
        assert_eq!(
            decode(input, step),
            (expected.clone(), None),
            "in pieces of {step}"
        );
    }
}

#[test]
fn inline_quotes() {
    let line = br#"ECHO "a \x41\n\"" 'it\'s' ab"c d" ''"#;
    let mut input = line.to_vec();
    input.push(b'\n');
    let expected = words(&[b"ECHO", b"a A\n\"", b"it's", b"abc d", b""]);
    assert_eq!(decode(&input, 1), (vec![expected], None));
    for open in [
        &b"ECHO \"a\r\n"[..],
        b"ECHO 'a\n",
        b"ECHO \"a\"b\n",
        b"ECHO \"a\\\n",
    ] {
        assert_eq!(decode(open, 64).1, Some(ProtocolError::UnbalancedQuotes));
    }
}

#[test]
fn refuses_bad_input_at_once() {
    use ProtocolError::*;
    for (input, error) in [
        (&b"*-1\r\n"[..], InvalidArrayLength),
        (b"*x\r\n", InvalidArrayLength),
        (b"*\r\n", InvalidArrayLength),
        (b"*1\n", InvalidArrayLength),
        (b"*99999999999999999999999\r\n", InvalidArrayLength),
        (b"*1048577\r\n", InvalidArrayLength),
        (b"*00000000000000000000000000000000000", ArrayLengthTooLong),
        (b"*1\r\n*1\r\n", ExpectedBulk(b'*')),
        (b"*1\r\n:1\r\n", ExpectedBulk(b':')),
        (b"*1\r\n+OK\r\n", ExpectedBulk(b'+')),
        (b"*1\r\n$-1\r\n", InvalidBulkLength),
        (b"*1\r\n$-5\r\n", InvalidBulkLength),
        (b"*1\r\n$+4\r\nPING\r\n", InvalidBulkLength),
        (b"*1\r\n$-0\r\n\r\n", InvalidBulkLength),
        (b"*1\r\n$ 4\r\nPING\r\n", InvalidBulkLength),
        (b"*1\r\n$4\rxPING\r\n", InvalidBulkLength),
        (b"*2\r\n$4\r\nPING\r\n$+1\r\nx\r\n", InvalidBulkLength),
        (b"*1\r\n$x\r\n", InvalidBulkLength),
        (b"*1\r\n$\r\n", InvalidBulkLength),
        (b"*1\r\n$524289\r\n", InvalidBulkLength),
        (b"*1\r\n$9223372036854775807\r\n", InvalidBulkLength),
        (b"*1\r\n$99999999999999999999999\r\n", InvalidBulkLength),
        (
            b"*1\r\n$00000000000000000000000000000000000",
            BulkLengthTooLong,
        ),
        (b"*1\r\n$\xff\xfe\r\n", InvalidBulkLength),
    ] {
        let refused = (Vec::new(), Some(error));
        let text = input.escape_ascii();
        for step in 1..=input.len() {
            assert_eq!(decode(input, step), refused, "{text} in pieces of {step}");
        }
        for at in 1..input.len() {
            let pieces = [at, input.len()].into_iter();
            let decoded = decode_pieces(input, pieces);
            assert_eq!(decoded, refused, "{text} split at {at}");
        }
    }
}

#[test]
fn refuses_what_is_too_large_before_it_arrives() {
    let bulk = [
        b"$524288\r\n".to_vec(),
        vec![b'x'; 524_288],
        b"\r\n".to_vec(),
    ]
    .concat();
    let whole = [b"*2\r\n".to_vec(), bulk.clone(), b"$524000\r\n".to_vec()].concat();
    assert_eq!(
        decode(&whole, 1 << 16).1,
        None,
        "fits, so more is waited for"
    );
    let too_large = [b"*2\r\n".to_vec(), bulk, b"$524288\r\n".to_vec()].concat();
    assert_eq!(
        decode(&too_large, 1 << 16).1,
        Some(ProtocolError::RequestTooLong)
    );
    assert_eq!(
        decode(&[b'x'; 65_536], 1000).1,
        Some(ProtocolError::InlineTooLong)
    );
    assert_eq!(decode(&[b'x'; 65_535], 1000).1, None);
}

#[test]
fn deep_nesting_is_refused_at_its_second_array() {
    let input = b"*1\r\n".repeat(200_000);
    assert_eq!(
        decode(&input, 1 << 16).1,
        Some(ProtocolError::ExpectedBulk(b'*'))
    );
}

#[test]
fn encodes_every_reply() {
    let mut output = Vec::new();
    reply::simple(&mut output, "OK");
    reply::error(&mut output, "ERR no");
    reply::integer(&mut output, i64::MIN);
    reply::bulk(&mut output, b"a\r\n");
    reply::null(&mut output);
    reply::array(&mut output, &[]);
    assert_eq!(
        output,
        b"+OK\r\n-ERR no\r\n:-9223372036854775808\r\n$3\r\na\r\n\r\n$-1\r\n*0\r\n"
    );
}
