//! What a server tells of itself: `INFO` and `CONFIG GET`.

use redis_protocol::resp2::types::BorrowedFrame;

use super::{Context, printable, wrong_number};
use crate::protocol::{Request, reply};
use crate::store::Lock;

/// What `INFO` tells.
pub(super) fn info<L: Lock>(context: &Context<'_, L>) -> String {
    format!(
        "# Server\r\nserver:connscope-target\r\nversion:{}\r\nmodel:{}\r\nprocess_id:{}\r\n\
         \r\n# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\n\
         \r\n# Memory\r\nmaxmemory:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        context.model,
        std::process::id(),
        context.count_clients(),
        context.max_clients,
        context.state_bytes,
    )
}

/// What `redis-benchmark` and `redis-cli` ask for; any other parameter is not there.
pub(super) fn config<L: Lock>(
    request: Request<'_>,
    context: &Context<'_, L>,
    output: &mut Vec<u8>,
) {
    let subcommand = request.argument(1);
    if !subcommand.eq_ignore_ascii_case(b"GET") {
        let text = format!("ERR unknown subcommand '{}'.", printable(subcommand));
        return reply::error(output, &text);
    }
    if request.len() < 3 {
        return wrong_number(output, b"config|get");
    }
    let known = [
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("maxclients", context.max_clients.to_string()),
        ("maxmemory", context.state_bytes.to_string()),
    ];
    let mut pairs = Vec::new();
    for (name, value) in &known {
        if request
            .operands()
            .skip(1)
            .any(|asked| asked.eq_ignore_ascii_case(name.as_bytes()))
        {
            pairs.push(BorrowedFrame::BulkString(name.as_bytes()));
            pairs.push(BorrowedFrame::BulkString(value.as_bytes()));
        }
    }
    reply::array(output, &pairs);
}
