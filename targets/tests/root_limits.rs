//! When the system gives no more processes, threads or memory. Needs root, to become a user whose
//! processes are counted.

#[path = "harness/server.rs"]
#[allow(dead_code, missing_docs, reason = "each test file uses a part")]
mod server;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use server::{Connection, Server, TARGET, eventually, models};

const REFUSED: &[u8] = b"-ERR max number of clients reached\r\n";
const CLIENTS: usize = 60;

/// A folder with copies of the programs, where every user may run them; removed when dropped.
struct Programs(PathBuf);

impl Programs {
    fn copy() -> Self {
        let folder = std::env::temp_dir().join(format!("connscope-limits-{}", new_user()));
        fs::create_dir(&folder).expect("a folder");
        allow_all(&folder);
        let programs = Self(folder);
        programs.add(Path::new(TARGET));
        for model in models() {
            // That of a model which has one of its own.
            let program = format!("{TARGET}-{model}");
            if Path::new(&program).exists() {
                programs.add(Path::new(&program));
            }
        }
        programs
    }

    fn add(&self, program: &Path) {
        let copy = self.0.join(program.file_name().expect("its name"));
        fs::copy(program, &copy).expect("a copy");
        allow_all(&copy);
    }

    /// Serves under a limit of `prlimit`.
    fn serve(&self, model: &str, limit: &str) -> Server {
        Server::start_command(
            Command::new("prlimit")
                .arg(limit)
                .args(["setpriv", "--clear-groups", "--reuid", &new_user()])
                .arg(self.0.join("connscope-target"))
                .args(["serve", "--model", model, "--listen", "127.0.0.1:0"]),
        )
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn allow_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its owner");
}

/// A user who has no processes yet.
fn new_user() -> String {
    static USERS: AtomicU32 = AtomicU32::new(0);
    let ours = 100_000 + 100 * std::process::id();
    (ours + USERS.fetch_add(1, Ordering::Relaxed)).to_string()
}

/// The models that execute what they are asked; a pooler has that done.
fn serving() -> impl Iterator<Item = String> {
    models().into_iter().filter(|model| model != "pooler")
}

/// Those who are served, and how many are refused with an error reply.
fn come(server: &Server, model: &str) -> (Vec<Connection>, usize) {
    let mut served = Vec::new();
    let mut refused = 0;
    for _ in 0..CLIENTS {
        let mut connection = server.connect();
        let _ = connection.stream.write_all(b"PING\r\n");
        let mut first = [0; 1];
        connection.stream.read_exact(&mut first).expect("an answer");
        if first == *b"+" {
            connection.expect(b"PONG\r\n");
            served.push(connection);
        } else {
            assert_eq!(connection.rest(), &REFUSED[1..], "{model}");
            refused += 1;
        }
    }
    (served, refused)
}

fn serves_again(server: &Server) {
    eventually("clients are served again", || {
        let mut next = server.connect();
        let _ = next.stream.write_all(b"PING\r\nQUIT\r\n");
        next.rest() == b"+PONG\r\n+OK\r\n"
    });
}

#[test]
fn clients_without_a_process_or_thread_are_refused() {
    let programs = Programs::copy();
    for model in serving() {
        let server = programs.serve(&model, "--nproc=40");
        let (mut served, refused) = come(&server, &model);
        let one_each = model.ends_with("-per-connection");
        // The server's own process or first thread is one of the forty.
        let expected = if one_each { CLIENTS - 39 } else { 0 };
        assert_eq!(refused, expected, "{model}");
        for connection in &mut served {
            connection.exchange(b"PING\r\n", b"+PONG\r\n");
        }
        drop(served);
        serves_again(&server);
    }
}

#[test]
fn memory_that_is_not_there_is_refused_to_who_asked() {
    let programs = Programs::copy();
    for model in serving() {
        // Of memory that may be written to, what is only reserved apart.
        let server = programs.serve(&model, "--data=1000000000");
        let mut witness = server.connect();
        witness.exchange(b"PING\r\n", b"+PONG\r\n");
        let mut greedy = server.connect();
        greedy.exchange(b"TOUCH 1000000\r\n", b"+OK\r\n");
        greedy.exchange(
            b"TOUCH 1073741824\r\n",
            b"-ERR cannot map that much memory\r\n",
        );
        greedy.exchange(b"TOUCH 1000000\r\n", b"+OK\r\n");
        witness.exchange(b"PING\r\n", b"+PONG\r\n");
    }
}
