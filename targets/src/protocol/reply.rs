//! Replies: each function appends one to the output buffer.

use redis_protocol::resp2::encode::encode_borrowed;
use redis_protocol::resp2::types::BorrowedFrame;

/// `+text`; `text` has no line break.
pub(crate) fn simple(output: &mut Vec<u8>, text: &str) {
    append(output, &BorrowedFrame::SimpleString(text.as_bytes()));
}

/// `-text`; `text` begins with its kind, mostly `ERR`, and has no line break.
pub(crate) fn error(output: &mut Vec<u8>, text: &str) {
    append(output, &BorrowedFrame::Error(text));
}

/// `:value`.
pub(crate) fn integer(output: &mut Vec<u8>, value: i64) {
    append(output, &BorrowedFrame::Integer(value));
}

/// A bulk string of any bytes.
pub(crate) fn bulk(output: &mut Vec<u8>, bytes: &[u8]) {
    append(output, &BorrowedFrame::BulkString(bytes));
}

/// The null that stands for a missing value.
pub(crate) fn null(output: &mut Vec<u8>) {
    append(output, &BorrowedFrame::Null);
}

/// An array of bulk strings.
pub(crate) fn array(output: &mut Vec<u8>, items: &[BorrowedFrame<'_>]) {
    append(output, &BorrowedFrame::Array(items));
}

fn append(output: &mut Vec<u8>, frame: &BorrowedFrame<'_>) {
    let start = output.len();
    output.resize(start + frame.encode_len(false), 0);
    let written = encode_borrowed(&mut output[start..], frame, false);
    debug_assert_eq!(written.ok(), Some(output.len() - start));
}
