//! `connscope top` of a PostgreSQL with a login: who each connection is and what it waits for, as the server says,
//! while that changes.

#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/logins.rs"]
mod logins;
#[path = "support/program.rs"]
mod program;
#[path = "support/pty.rs"]
mod pty;
#[path = "support/servers.rs"]
mod servers;

use leftovers::Before;
use logins::PASSWORD;
use program::*;
use pty::Terminal;
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;

const WIDE: (u16, u16) = (50, 200);

/// A client of the server that calls itself so.
#[track_caller]
fn client(server: &Postgresql, user: &str, application: &str) -> Client {
    let parameters = [
        ("user", user),
        ("database", "postgres"),
        ("application_name", application),
    ];
    Client::connect_as(server.port(), &parameters).expect("it is let in")
}

#[track_caller]
fn top(server: &Postgresql, dsn: &str) -> Terminal {
    let words = format!("top --interval 300ms --postgres {}", server.port());
    let mut command = connscope(&words);
    command.args(["--postgres-dsn", dsn]);
    let mut terminal = Terminal::start(command, WIDE);
    terminal.shows("figures of ");
    terminal.press("3");
    terminal.shows(" shown, by CPU%");
    terminal
}

/// The line of a backend, as soon as it holds all of these.
#[track_caller]
fn shows(terminal: &Terminal, backend: u32, words: &[&str]) {
    let tid = backend.to_string();
    wait_for(
        &format!("{words:?} of {tid} in\n{}", terminal.text()),
        || {
            let screen = terminal.text();
            let mut lines = screen.lines();
            let line = lines.find(|line| line.split_whitespace().any(|word| word == tid))?;
            words.iter().all(|word| line.contains(word)).then_some(())
        },
    );
}

#[track_caller]
fn quits(mut terminal: Terminal) {
    terminal.press("q");
    assert_eq!(terminal.finish().code(), Some(0));
    terminal.is_as_before();
}

#[test]
fn names_states_and_waits_of_a_login_are_shown_as_they_change() {
    let server = Postgresql::start(Version::Installed, &[]);
    server.query("create table goods ()");
    for user in ["alice", "bob"] {
        server.query(&format!("create role {user} login superuser"));
    }
    let password = PASSWORD.replace('\\', "\\\\");
    server.query(&format!(
        "create role watch login password '{PASSWORD}' in role pg_monitor"
    ));
    let mut holds = client(&server, "alice", "till");
    holds.query("begin");
    holds.query("lock table goods");
    let mut waits = client(&server, "bob", "shop");
    waits.send("lock table goods in share mode; select 1");
    let mut sleeps = client(&server, "bob", "night");
    sleeps.send("select pg_sleep(600)");
    let left = Before::now();

    let mut terminal = top(&server, &format!("user=watch password='{password}'"));
    shows(
        &terminal,
        holds.pid,
        &[
            "alice@postgres 127.0.0.1",
            "till",
            "client",
            "idle in transaction,",
        ],
    );
    shows(
        &terminal,
        waits.pid,
        &["bob@postgres 127.0.0.1", "shop", "active, Lock: relati"],
    );
    shows(&terminal, sleeps.pid, &["night", "active, Timeout: PgS"]);
    assert!(!terminal.text().contains(PASSWORD));
    // What the server says can be looked for.
    terminal.press("/lock: rel\r");
    terminal.shows("1 shown, by CPU%");
    // The line of what is selected has all of it, where a column has room for 20 letters.
    terminal.shows(&format!(
        "tid {} · client · active, Lock: relation · PostgreSQL:",
        waits.pid
    ));
    terminal.press("/\u{1b}");

    holds.query("commit");
    waits.rows();
    shows(&terminal, waits.pid, &["shop", "idle, Client: Client"]);
    shows(&terminal, holds.pid, &["till", "idle, Client: Client"]);
    let late = client(&server, "alice", "late");
    shows(
        &terminal,
        late.pid,
        &["alice@postgres 127.0.0.1", "late", "idle"],
    );
    let gone = waits.pid.to_string();
    waits.close();
    wait_for("its line to go", || {
        (!terminal.text().split_whitespace().any(|word| word == gone)).then_some(())
    });
    quits(terminal);

    // Without the login it goes on, and says why it is not there.
    let mut terminal = top(&server, "user=nobody_of_this_name");
    shows(&terminal, holds.pid, &["alice@postgres 127.0.0.1"]);
    assert!(!terminal.text().contains("till"), "{}", terminal.text());
    terminal.press("?");
    terminal.shows("cannot log in to PostgreSQL:");
    terminal.press("x");
    quits(terminal);
    left.assert_nothing_left();
}
