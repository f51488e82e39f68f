//! The decoder of requests, and a whole session of a reference server, are given any bytes at once, and
//! the same bytes in pieces: both ways they must come to the same, within their bounds of memory, and
//! never panic. Run by `cargo xtask fuzz`.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "sessions use a part of what servers have"
)]

#[path = "../../src"]
mod targets {
    pub(crate) mod memory;
    pub(crate) mod protocol;
    pub(crate) mod session;
    pub(crate) mod store;
    pub(crate) mod work;
}

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};

// Where they look for each other.
use targets::{memory, protocol, session, store, work};

use protocol::{Decoder, ProtocolError};
use session::{READ_BYTES, Session, Stop};
use store::{MAX_VALUE_BYTES, MIN_BYTES, SingleThread, Store};
use work::Context;

/// Replies that may wait: 64 KiB, and the one that was begun before, which repeats one value.
const MAX_OUTPUT_BYTES: usize = 64 * 1024 + MAX_VALUE_BYTES + 64;

/// What a session answered, and whether it then ended the connection.
#[derive(Debug, PartialEq)]
struct Answer {
    output: Vec<u8>,
    ended: bool,
}

/// A first byte of at least this has a whole session tried, which takes a hundred times as long as the
/// decoder alone. Its low bits are one less than the bytes of each piece.
const SESSION: u8 = 0xf0;
const PIECE: u8 = 0x0f;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&first, input)) = data.split_first() else {
        return Corpus::Reject;
    };
    let piece = 1 + usize::from(first & PIECE);
    assert_eq!(requests(input, input.len().max(1)), requests(input, piece));
    // What it asks for is memory.
    if first >= SESSION && !contains(input, b"touch") {
        assert_eq!(answer(input, READ_BYTES), answer(input, piece));
    }
    Corpus::Keep
});

fn contains(input: &[u8], word: &[u8]) -> bool {
    input
        .windows(word.len())
        .any(|bytes| bytes.eq_ignore_ascii_case(word))
}

/// The arguments of each request that is complete when so many bytes come at a time, and what was wrong
/// with the next one.
fn requests(input: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let (mut requests, mut begin) = (Vec::new(), 0);
    for end in (0..input.len()).step_by(piece).map(|at| at + piece) {
        let there = &input[..end.min(input.len())];
        loop {
            match decoder.decode(&there[begin..]) {
                Ok(Some(length)) => {
                    let request = decoder.request(&there[begin..]);
                    let arguments = (0..request.len()).map(|index| request.argument(index));
                    requests.push(arguments.map(<[u8]>::to_vec).collect());
                    decoder.next_request();
                    assert!(length > 0, "it never gets on");
                    begin += length;
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

/// Gives a fresh session so many bytes at a time.
fn answer(input: &[u8], piece: usize) -> Answer {
    let clients = AtomicU32::new(1);
    let store = Store::<SingleThread>::new(MIN_BYTES).expect("a store");
    let context = Context {
        store: &store,
        clients: &clients,
        all_clients: std::slice::from_ref(&clients),
        max_clients: 1,
        state_bytes: store.bytes(),
        model: "fuzz",
        allow_crash: false,
        // So that none is done here.
        heavy_work: Duration::ZERO,
    };
    let mut session = Session::default();
    let mut output = Vec::new();
    for bytes in input.chunks(piece) {
        session.input().extend_from_slice(bytes);
        loop {
            let stop = session.execute(&context);
            assert!(session.output().len() <= MAX_OUTPUT_BYTES);
            output.extend_from_slice(session.output());
            session.wrote(session.output().len());
            match stop {
                Stop::NeedInput => break,
                Stop::OutputFull | Stop::Wait(_) | Stop::Work(_) => {}
                Stop::Close => {
                    return Answer {
                        output,
                        ended: true,
                    };
                }
            }
        }
    }
    Answer {
        output,
        ended: false,
    }
}
