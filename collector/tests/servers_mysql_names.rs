//! Which thread of a MySQL or MariaDB server serves which connection, without a login, against what its own
//! tables say.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::mysql;
use connscope::snapshot::TargetKind;
use program::wait_for;
use servers::figure;
use servers::mysql::{Kind, Mysql};
use servers::mysql_client::Client;
use std::collections::BTreeMap;
use std::{fs, thread, time::Duration};

/// How many connections a test holds.
const MANY: usize = 500;
/// Of them, how many are at work.
const BUSY: usize = 20;
/// A short watch.
const WATCH: Duration = Duration::from_secs(1);
/// Connects and disconnects.
const CHURN: usize = 1000;
/// How many of them are open at once.
const WAVE: usize = 40;

const SLEEPING: &str =
    "select count(*) from information_schema.processlist where info = 'select sleep(600)'";

fn connected(asks: &mut Client) -> u64 {
    let rows = asks.query("show status like 'Threads_connected'");
    rows[0][1].parse().expect("a figure")
}

fn started(kind: Kind) -> Mysql {
    let most = (MANY + 100).to_string();
    Mysql::start(kind, &[("max-connections", most.as_str())])
}

/// Adds connections until there are so many, of which some are at work, and compares what is told of the server.
/// Returns how many are idle and how many are named.
#[track_caller]
fn assert_none_wrong(
    server: &Mysql,
    clients: &mut Vec<Client>,
    many: usize,
    busy: usize,
) -> (usize, usize) {
    let first = clients.len();
    clients.extend((first..many).map(|_| server.connect()));
    let rested = &mut clients[first..];
    let at_work: usize = figure(&server.query(SLEEPING));
    for client in &mut rested[..busy - at_work] {
        client.send("select sleep(600)");
    }
    let mut asks = server.connect();
    wait_for("busy connections", || {
        (figure::<usize>(&asks.query(SLEEPING)) == busy).then_some(())
    });
    // The connection that asked before this one goes on for a moment.
    let all = (many + 1) as u64;
    wait_for("its end", || (connected(&mut asks) == all).then_some(()));
    let truth = server.ports_by_thread(&mut asks);
    // As long as nobody asks for more, threads come to rest: one look, as at the end of a watch.
    thread::sleep(WATCH);
    let told = mysql::connections(server.target_kind(), server.pid(), None).expect("it runs");
    assert_eq!((told.open, connected(&mut asks)), (all, all));
    assert_eq!(told.unnamed, told.open - told.named.len() as u64);
    for connection in &told.named {
        let peer = connection.peer.as_deref().expect("an address");
        let port = truth.get(&connection.tid).map(String::as_str);
        assert_eq!(
            peer.rsplit_once(':').map(|(_, port)| port),
            port,
            "{connection:?}"
        );
        assert_eq!(
            (connection.pid, connection.user.as_ref()),
            (server.pid(), None)
        );
    }
    (many + 1 - busy, told.named.len())
}

#[test]
fn of_idle_connections_at_least_95_percent_are_named_and_none_wrong() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let server = started(kind);
        let mut clients = Vec::new();
        for (many, busy) in [(50, 2), (MANY, BUSY)] {
            let (idle, named) = assert_none_wrong(&server, &mut clients, many, busy);
            assert!(
                named * 100 >= idle * 95,
                "{kind:?}: {named} of {idle} named"
            );
        }
    }
}

#[test]
fn of_a_pool_none_is_named_wrong() {
    assert_none_wrong(&started(Kind::MariadbPool), &mut Vec::new(), MANY, BUSY);
}

#[test]
fn counts_are_the_servers_own_through_a_thousand_connects_and_disconnects() {
    for kind in [Kind::Mysql, Kind::Mariadb, Kind::MariadbPool] {
        let server = Mysql::start(kind, &[("thread-cache-size", "100")]);
        let mut asks = server.connect();
        let mut assert_equal = |expected: usize| {
            // The server's part of a connection goes on for a moment after the client has gone.
            wait_for("equal counts", || {
                let own = connected(&mut asks);
                let told =
                    mysql::connections(server.target_kind(), server.pid(), None).expect("it runs");
                (own == expected as u64 && told.open == own).then_some(())
            });
        };
        let mut clients = Vec::new();
        for _ in 0..CHURN / WAVE {
            clients.extend((0..WAVE).map(|_| server.connect()));
            assert_equal(WAVE + 1);
            clients.drain(..WAVE / 2).for_each(Client::close);
            assert_equal(WAVE / 2 + 1);
            clients.drain(..).for_each(Client::close);
            assert_equal(1);
        }
    }
}

#[test]
fn threads_of_mysql_have_the_roles_that_it_gives_them() {
    let server = Mysql::start(Kind::Mysql, &[]);
    let rows = server.query(
        "select thread_os_id, name from performance_schema.threads where thread_os_id is not null",
    );
    let mut seen = BTreeMap::new();
    for row in &rows {
        let path = format!("/proc/{}/task/{}/comm", server.pid(), row[0]);
        // The one that asked may be kept for another, or be gone.
        let Ok(comm) = fs::read_to_string(path) else {
            continue;
        };
        let comm = comm.trim();
        let role = mysql::role_of_thread(TargetKind::Mysql, comm).expect("it names its threads");
        let is_right = match row[1].as_str() {
            "thread/sql/main" => role == mysql::MAIN,
            "thread/sql/one_connection" => role == mysql::CONNECTION,
            name if name.starts_with("thread/innodb/io_") => role == mysql::INNODB_IO,
            name if name.starts_with("thread/innodb/log_") => role == mysql::INNODB_LOG,
            name if name.starts_with("thread/innodb/page_flush") => role == mysql::INNODB_FLUSH,
            name if name.starts_with("thread/innodb/") => role.starts_with("innodb_"),
            _ => role == mysql::OTHER,
        };
        assert!(is_right, "{} ({comm}) is {role}", row[1]);
        *seen.entry(role).or_insert(0) += 1;
    }
    for role in [
        mysql::MAIN,
        mysql::CONNECTION,
        mysql::INNODB_IO,
        mysql::INNODB_PURGE,
    ] {
        assert!(seen.contains_key(role), "no {role} in {seen:?}");
    }
}
