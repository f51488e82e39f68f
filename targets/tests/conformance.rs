//! What every model answers, byte for byte.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::io::Write;
use std::time::Duration;

use server::{Noise, eventually, every_model, request};

/// Requests and their replies, in the order of one session.
fn session() -> Vec<(Vec<u8>, Vec<u8>)> {
    let value = vec![b'v'; 512 * 1024];
    let long_key = vec![b'k'; 1025];
    let key = vec![b'k'; 1024];
    let bulk = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let integer = b"-ERR value is not an integer or out of range\r\n";
    let cases: Vec<(Vec<&[u8]>, &[u8])> = vec![
        (vec![b"PING"], b"+PONG\r\n"),
        (vec![b"ping", b"hello"], b"$5\r\nhello\r\n"),
        (
            vec![b"PING", b"a", b"b"],
            b"-ERR wrong number of arguments for 'ping' command\r\n",
        ),
        (vec![b"ECHO", b"a\r\n\0b"], b"$5\r\na\r\n\0b\r\n"),
        (vec![b"ECHO", b""], b"$0\r\n\r\n"),
        (
            vec![b"Echo"],
            b"-ERR wrong number of arguments for 'echo' command\r\n",
        ),
        (vec![b"GET", b"none"], b"$-1\r\n"),
        (
            vec![b"GET"],
            b"-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (vec![b"SET", b"a", b"1"], b"+OK\r\n"),
        (
            vec![b"SET", b"a"],
            b"-ERR wrong number of arguments for 'set' command\r\n",
        ),
        (vec![b"SET", b"a", b"2", b"XX"], b"-ERR syntax error\r\n"),
        (vec![b"GET", b"a"], b"$1\r\n1\r\n"),
        (vec![b"INCR", b"a"], b":2\r\n"),
        (vec![b"INCR", b"fresh"], b":1\r\n"),
        (
            vec![b"INCR"],
            b"-ERR wrong number of arguments for 'incr' command\r\n",
        ),
        (vec![b"SET", b"text", b"x1"], b"+OK\r\n"),
        (vec![b"INCR", b"text"], integer),
        (vec![b"SET", b"max", b"9223372036854775807"], b"+OK\r\n"),
        (
            vec![b"INCR", b"max"],
            b"-ERR increment or decrement would overflow\r\n",
        ),
        (vec![b"GET", b"max"], b"$19\r\n9223372036854775807\r\n"),
        (vec![b"SET", b"", b""], b"+OK\r\n"),
        (vec![b"GET", b""], b"$0\r\n\r\n"),
        (vec![b"SET", b"bin\0\r\n", b"\r\n\0\xff"], b"+OK\r\n"),
        (vec![b"GET", b"bin\0\r\n"], b"$4\r\n\r\n\0\xff\r\n"),
        (vec![b"SET", &key, &value], b"+OK\r\n"),
        (vec![b"GET", &key], &bulk),
        (
            vec![b"SET", &long_key, b"1"],
            b"-ERR key is longer than 1024 bytes\r\n",
        ),
        (
            vec![b"INCR", &long_key],
            b"-ERR key is longer than 1024 bytes\r\n",
        ),
        (vec![b"GET", &long_key], b"$-1\r\n"),
        (vec![b"DEL", b"a", b"none", b"text", b"a"], b":2\r\n"),
        (
            vec![b"DEL"],
            b"-ERR wrong number of arguments for 'del' command\r\n",
        ),
        (vec![b"GET", b"a"], b"$-1\r\n"),
        (
            vec![b"CONFIG", b"GET", b"save"],
            b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n",
        ),
        (
            vec![b"CONFIG", b"GET", b"appendonly"],
            b"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
        ),
        (vec![b"CONFIG", b"GET", b"none"], b"*0\r\n"),
        (
            vec![b"CONFIG", b"SET", b"a", b"b"],
            b"-ERR unknown subcommand 'SET'.\r\n",
        ),
        (vec![b"COMMAND"], b"*0\r\n"),
        (vec![b"COMMAND", b"DOCS"], b"*0\r\n"),
        (vec![b"WORK", b"100"], b"+OK\r\n"),
        (vec![b"WORK", b"10000001"], integer),
        (vec![b"WORK", b"-1"], integer),
        (vec![b"WAIT", b"1"], b"+OK\r\n"),
        (vec![b"WAIT", b"60001"], integer),
        (vec![b"WAIT", b"x"], integer),
        (vec![b"TOUCH", b"100000"], b"+OK\r\n"),
        (vec![b"TOUCH", b"0"], b"+OK\r\n"),
        (vec![b"TOUCH", b"1073741825"], integer),
        (vec![b"BOOK", b"1A", b"optimistic"], b":1\r\n"),
        (vec![b"BOOK", b"1A", b"optimistic"], b":0\r\n"),
        (vec![b"book", b"1B", b"LOCK"], b":1\r\n"),
        (vec![b"BOOK", b"1B", b"lock"], b":0\r\n"),
        (vec![b"BOOK", b"1C", b"none"], b":1\r\n"),
        (vec![b"BOOK", b"1C", b"none"], b":0\r\n"),
        (vec![b"GET", b"seat:1B"], b"$1\r\n1\r\n"),
        (
            vec![b"BOOK", b"1A", b"all"],
            b"-ERR unknown mode 'all'; there are none, lock and optimistic\r\n",
        ),
        (
            vec![b"BOOK", &long_key, b"lock"],
            b"-ERR name of a seat is longer than 128 bytes\r\n",
        ),
        (
            vec![b"BOOK", b"1A"],
            b"-ERR wrong number of arguments for 'book' command\r\n",
        ),
        (
            vec![b"CRASH"],
            b"-ERR CRASH is refused; serve with --allow-crash\r\n",
        ),
        (vec![b"FOO", b"bar"], b"-ERR unknown command 'FOO'\r\n"),
        (
            vec![b"a\r\nb\xff"],
            b"-ERR unknown command 'a\\r\\nb\\xff'\r\n",
        ),
        (
            vec![b"LONGCOMMAND"],
            b"-ERR unknown command 'LONGCOMMAND'\r\n",
        ),
        (vec![b""], b"-ERR unknown command ''\r\n"),
    ];
    cases
        .into_iter()
        .map(|(arguments, reply)| (request(&arguments), reply.to_vec()))
        .collect()
}

#[test]
fn every_command_one_by_one() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        for (request, reply) in session() {
            connection.exchange(&request, &reply);
        }
        connection.exchange(b"*1\r\n$4\r\nQUIT\r\n", b"+OK\r\n");
        assert_eq!(connection.rest(), b"");
    });
}

#[test]
fn every_command_pipelined() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        let (requests, replies): (Vec<_>, Vec<_>) = session().into_iter().unzip();
        let mut writer = connection
            .stream
            .try_clone()
            .expect("cannot clone a socket");
        let input = [requests.concat(), b"QUIT\r\nPING\r\n".to_vec()].concat();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&input).expect("cannot send"));
            connection.expect(&replies.concat());
            connection.expect(b"+OK\r\n");
        });
        assert_eq!(connection.rest(), b"", "nothing is executed after QUIT");
    });
}

#[test]
fn requests_split_at_every_byte() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        let small = session()
            .into_iter()
            .filter(|(request, _)| request.len() < 60);
        for (request, reply) in small.take(20) {
            for byte in &request {
                connection.send(&[*byte]);
            }
            connection.expect(&reply);
        }
        connection.send(b"PI");
        std::thread::sleep(Duration::from_millis(20));
        connection.exchange(b"NG\r\nPING\r\n", b"+PONG\r\n+PONG\r\n");
    });
}

#[test]
fn inline_requests() {
    every_model(&[], |server| {
        let mut connection = server.connect();
        connection.exchange(b"PING\r\n", b"+PONG\r\n");
        connection.exchange(b"\r\n\n  \r\nping\n", b"+PONG\r\n");
        connection.exchange(b"SET k \"a b\\n\"\r\nGET k\r\n", b"+OK\r\n$4\r\na b\n\r\n");
        connection.exchange(b"*0\r\nPING\r\n", b"+PONG\r\n");
    });
}

#[test]
fn info_tells_the_model_and_its_clients() {
    every_model(&["--max-connections", "7"], |server| {
        let (mut connection, _other) = (server.connect(), server.connect());
        _other
            .stream
            .try_clone()
            .expect("cannot clone")
            .write_all(b"PING\r\n")
            .expect("send");
        eventually("two clients are counted", || {
            let mut info = server.connect();
            info.send(b"INFO\r\nQUIT\r\n");
            let text = String::from_utf8(info.rest()).expect("text");
            text.contains("connected_clients:3\r\n")
        });
        connection.send(b"INFO\r\nQUIT\r\n");
        let text = String::from_utf8(connection.rest()).expect("text");
        let model = std::thread::current()
            .name()
            .expect("named after the model")
            .to_owned();
        assert!(text.contains(&format!("model:{model}\r\n")), "{text}");
        assert!(
            text.contains("version:0.1.0\r\n") && text.contains("maxclients:7\r\n"),
            "{text}"
        );
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"));
        let pid: i32 = pid.expect("a pid").parse().expect("a number");
        let forks = model.starts_with("process");
        assert_eq!(pid != server.pid(), forks, "{text}");
    });
}

#[test]
fn malformed_input_ends_its_own_connection_only() {
    let nested = b"*1\r\n".repeat(100_000);
    let endless_line = vec![b'x'; 100_000];
    let huge_count = b"*170000\r\n$4\r\nPING\r\n-".to_vec();
    let cases: Vec<(&[u8], &str)> = vec![
        (b"*-1\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$524289\r\n", "invalid bulk length"),
        (
            b"*2\r\n$3\r\nGET\r\n$9999999999999\r\n",
            "invalid bulk length",
        ),
        (b"*2\r\n$3\r\nGET\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n\xff\xff\xff\xff", "expected '$', got '\\xff'"),
        (&nested, "expected '$', got '*'"),
        (&huge_count, "expected '$', got '-'"),
        (&endless_line, "too big inline request"),
        (b"SET a \"b\r\n", "unbalanced quotes in request"),
        (
            b"*11111111111111111111111111111111111111111",
            "too big mbulk count string",
        ),
        (
            b"*1\r\n$11111111111111111111111111111111111111111",
            "too big bulk count string",
        ),
    ];
    every_model(&[], |server| {
        let mut witness = server.connect();
        for (input, error) in &cases {
            let mut connection = server.connect();
            // The server may close before it has taken in everything.
            let _ = connection.stream.write_all(&[b"PING\r\n", *input].concat());
            let expected = format!("+PONG\r\n-ERR Protocol error: {error}\r\n");
            connection.expect(expected.as_bytes());
            assert_eq!(connection.rest(), b"");
            witness.exchange(b"PING\r\n", b"+PONG\r\n");
        }
    });
}

#[test]
fn garbage_on_a_hundred_connections_disturbs_nobody() {
    every_model(&[], |server| {
        let mut witness = server.connect();
        let mut noise = Noise(0x5EED_0001);
        let openings: [&[u8]; 5] = [
            b"",
            b"*3\r\n",
            b"*1\r\n$10\r\n",
            b"$",
            b"*2\r\n$3\r\nGET\r\n$",
        ];
        for round in 0..100 {
            let mut connection = server.connect();
            let length = (noise.next() % 20_000) as usize;
            let mut bytes = openings[round % openings.len()].to_vec();
            bytes.extend((0..length).map(|_| noise.next() as u8));
            let _ = connection.stream.write_all(&bytes);
            witness.exchange(
                &request(&[b"ECHO", b"still here"]),
                b"$10\r\nstill here\r\n",
            );
            if round % 2 == 0 {
                let _ = connection.stream.shutdown(std::net::Shutdown::Write);
                connection.rest();
            }
        }
    });
}
