//! That programs of other runtimes, which have a decoder, commands and a store of their own, answer
//! what `event-loop` answers: where the rules have corners, in whole and in pieces.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::net::Shutdown;
use std::path::PathBuf;
use std::process::Command;

use server::{Noise, Server, TARGET, models, request};

const FOREIGN: [&str; 2] = ["goroutines", "virtual-threads"];

/// The foreign models that were built here.
fn built() -> Vec<String> {
    let mut models = models();
    models.retain(|model| FOREIGN.contains(&model.as_str()));
    models
}

/// All that a server answers to `input`, sent in pieces of `step` bytes on a connection of its own.
fn answers(server: &Server, input: &[u8], step: usize) -> String {
    let mut connection = server.connect();
    for piece in input.chunks(step) {
        // The server may have closed after bad input.
        if std::io::Write::write_all(&mut connection.stream, piece).is_err() {
            break;
        }
    }
    // A client that ends its side while a booking waits has left, for `event-loop`.
    if !input.ends_with(b"quit\n") {
        let _ = connection.stream.shutdown(Shutdown::Write);
    }
    connection.rest().escape_ascii().to_string()
}

/// Every foreign model answers all `inputs` as `event-loop` does.
fn agree(options: &[&str], inputs: &[Vec<u8>], steps: &[usize]) {
    let model = Server::start("event-loop", options);
    let others: Vec<_> = built()
        .into_iter()
        .map(|name| (Server::start(&name, options), name))
        .collect();
    for input in inputs {
        for &step in steps {
            let expected = answers(&model, input, step);
            for (server, name) in &others {
                assert_eq!(
                    answers(server, input, step),
                    expected,
                    "{name}, in pieces of {step}: {}",
                    input.escape_ascii()
                );
            }
        }
    }
}

#[test]
fn corners_of_the_protocol() {
    let inputs: [&[u8]; 45] = [
        b"*1\r\n$5\r\n\0PING\r\n",
        b"*-1\r\n",
        b"*x\r\n",
        b"*\r\n",
        b"*\n",
        b"*1\n",
        b"*99999999999999999999999\r\n",
        b"*174763\r\n",
        b"*174762\r\n:",
        b"*00000000000000000000000000000000000",
        b"*000000000000000000000000000001\r\n$4\r\nPING\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n\x80",
        b"*1\r\n'",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$ 4\r\nPING\r\n",
        b"*1\r\n$4\rxPING\r\n",
        b"*1\r\n$4\nPING\r\n",
        b"*1\r\n$4\r\nPINGx\r\n",
        b"*1\r\n$4\r\nPING\rx",
        b"*1\r\n$3\r\nPING\r\n",
        b"*2\r\n$4\r\nPING\r\n$+1\r\nx\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$524289\r\n",
        b"*1\r\n$9223372036854775807\r\n",
        b"*1\r\n$00000000000000000000000000000000000",
        b"*0\r\n*0\r\nPING\r\n\r\n \t\r\nPING\r\n",
        br#"ECHO "a \x41\n\"\z\x4"
"#,
        b"ECHO 'it\\'s \\n'\nECHO ab\"c d\"\nECHO ''\nECHO \"\"\n",
        b"\x0cECHO\x0c\x0ba\x0b\x0c\n",
        b"ECHO \"a\"b\n",
        b"ECHO 'a'\"b\"\n",
        b"ECHO \"a\r\n",
        b"ECHO \"a\\\n",
        b"ECHO 'a\n",
        b"pInG\nECHO\nping 1 2\nget\nset a\nset a 1 2 3\ndel\nincr\nincr a b\nwork\nwait 1 2\ntouch\n",
        b"config\nconfig get\nconfig set\nCONFIG GET maxmemory SAVE maxclients save AppendOnly\n",
        b"work +5\nwork -0\nwork ''\nwork ++1\nwait 18446744073709551616\ntouch 1.0\nwork 007\n",
        b"book s\nbook s t u\nbook s Optimistic\nbook s loc\nbook '' lock\ncrash now\ncommand x\nquit x\nPING\nquit\n",
        b"\"a'\\\"\\\\\\x00\x7f\" 1\n\"\"\nPINGPINGP\n'a b'\n",
        b"set seat:r '0 1 x'\nbook r lock\nget seat:r\nset seat:q '3 0 0'\nbook q none\nget seat:q\nquit\n",
    ];
    agree(&[], &inputs.map(<[u8]>::to_vec), &[1, 7, usize::MAX]);
}

#[test]
fn integers() {
    let texts = [
        "0",
        "-0",
        "+1",
        "01",
        "-1",
        "-01",
        "1 ",
        "",
        "-",
        "9223372036854775806",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551617",
        "1e3",
        "0x1",
        "\u{661}",
    ];
    let inputs = texts.map(|text| {
        let set = request(&[b"SET", b"n", text.as_bytes()]);
        [&set[..], b"INCR n\r\nGET n\r\n"].concat()
    });
    agree(&[], &inputs, &[usize::MAX]);
}

#[test]
fn sizes() {
    let value = vec![b'v'; 512 * 1024];
    let most = request(&[b"SET", b"k", &value]);
    let longest = [b"ECHO ".to_vec(), vec![b'x'; 65_535 - 6], b"\n".to_vec()].concat();
    let inputs = [
        request(&[b"ECHO", &value]),
        [&b"*3\r\n"[..], &most[4..most.len() - value.len() - 2], b"x"].concat(),
        // One request of a little more than 1 MiB, and one of just as much.
        [
            b"*3\r\n".to_vec(),
            request(&[&value])[4..].to_vec(),
            b"$524270\r\n".to_vec(),
        ]
        .concat(),
        [
            b"*3\r\n".to_vec(),
            request(&[&value])[4..].to_vec(),
            b"$524288\r\n".to_vec(),
        ]
        .concat(),
        longest.clone(),
        [b"x".to_vec(), longest].concat(),
        request(&vec![&b""[..]; 174_762]),
        [vec![b'\n'; 70_000], b"PING\n".to_vec()].concat(),
    ];
    agree(&[], &inputs, &[5_000, usize::MAX]);
}

#[test]
fn a_full_store() {
    // Fills 2 MiB with entries of 16 KiB, some of which are replaced, deleted and made anew.
    let mut noise = Noise(0x5EED_0007);
    let value = vec![b'v'; 16_000];
    let mut input = Vec::new();
    for number in 0..110 {
        let key = format!("key{number}");
        input.extend(request(&[b"SET", key.as_bytes(), &value]));
    }
    for _ in 0..300 {
        let key = format!("key{}", noise.next() % 110);
        match noise.next() % 3 {
            0 => input.extend(request(&[b"DEL", key.as_bytes()])),
            1 => input.extend(request(&[b"SET", key.as_bytes(), &value])),
            _ => input.extend(request(&[b"GET", key.as_bytes()])),
        }
    }
    agree(&["--shared-state", "2MiB"], &[input], &[usize::MAX]);
}

/// A folder; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Self {
        let path = std::env::temp_dir().join(format!("connscope-foreign-{}", std::process::id()));
        std::fs::create_dir(&path).expect("cannot make a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_not_built_is_named_with_a_remedy() {
    let folder = Folder::make();
    let alone = folder.0.join("connscope-target");
    std::fs::copy(TARGET, &alone).expect("cannot copy the program");
    let run = |arguments: &[&str]| Command::new(&alone).args(arguments).output();
    for model in FOREIGN {
        let output = run(&["serve", "--model", model, "--listen", "127.0.0.1:0"]).expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let said = format!(
            "connscope-target: cannot serve {model}: it was not built: there is no {}-{model}; \
             build it by: cargo xtask build\n",
            alone.display()
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), said);
        let listed = run(&["models"]).expect("it runs").stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut names = listed.lines().filter_map(|line| line.split(' ').next());
        assert!(names.all(|name| name != model), "{listed}");
        let lacking = run(&["models", "--not-built"]).expect("it runs").stdout;
        let lacking = String::from_utf8_lossy(&lacking).into_owned();
        let names: Vec<_> = lacking.lines().map(|line| line.split(' ').next()).collect();
        assert_eq!(names, FOREIGN.map(Some), "{lacking}");
    }
}
