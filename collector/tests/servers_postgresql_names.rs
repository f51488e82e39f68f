//! Who the processes of a PostgreSQL server are, without a login, against what its own view says of them.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use connscope::attach::postgresql::connections::connections;
use connscope::attach::postgresql::title::{self, Title};
use connscope::attach::postgresql::wait::Waits;
use connscope::snapshot::connections::{Connection, Connections};
use program::{children, wait_for};
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client;
use std::collections::{BTreeMap, BTreeSet};

/// How many connections a test holds.
const MANY: usize = 500;
/// Of them, how many are at work, and how many in a transaction.
const BUSY: usize = 20;
const IN_TRANSACTION: usize = 5;
/// Of them, how many have names that cannot be told apart.
const ODD: usize = 4;
/// Connects and disconnects.
const CHURN: usize = 1000;
/// How many of them are open at once.
const WAVE: usize = 40;

/// All processes of a server, with their titles.
fn processes(server: &Postgresql) -> Vec<(u32, String)> {
    let pids = [server.pid()].into_iter().chain(children(server.pid()));
    pids.filter_map(|pid| Some((pid, title::read(pid)?)))
        .collect()
}

/// What they say they are.
fn titles(server: &Postgresql) -> BTreeMap<u32, Title> {
    let processes = processes(server);
    let cluster = title::cluster_name(processes.iter().map(|(_, title)| title));
    let parsed = processes.iter().map(|(pid, text)| {
        let parsed = title::parse(text, cluster.as_deref());
        (
            *pid,
            parsed.unwrap_or_else(|| panic!("{text:?} is no title")),
        )
    });
    parsed.collect()
}

/// The server's own words for a kind of process, and ours.
fn role_of(backend_type: &str) -> &'static str {
    match backend_type {
        "client backend" => title::CLIENT,
        "parallel worker" => title::PARALLEL_WORKER,
        "autovacuum launcher" | "autovacuum worker" => title::AUTOVACUUM,
        "checkpointer" => title::CHECKPOINTER,
        "background writer" => title::BACKGROUND_WRITER,
        "walwriter" => title::WAL_WRITER,
        "walsender" => title::WAL_SENDER,
        "walreceiver" => title::WAL_RECEIVER,
        "startup" => title::STARTUP,
        "io worker" => title::IO_WORKER,
        other if other.starts_with("logical replication") => title::LOGICAL_REPLICATION,
        _ => title::OTHER,
    }
}

/// What the server says of its processes: kind, user, database, peer, state and wait by pid.
fn view(asks: &mut Client) -> BTreeMap<u32, [String; 6]> {
    let rows = asks.query(
        "select pid, backend_type, usename, datname, host(client_addr) || '(' || client_port || ')', state,
         wait_event_type from pg_stat_activity",
    );
    let by_pid = rows.into_iter().map(|row| {
        let pid = row[0].parse().expect("a pid");
        (pid, row[1..].to_vec().try_into().expect("six columns"))
    });
    by_pid.collect()
}

/// Every process that the view shows before and after has the role that it has there.
#[track_caller]
fn assert_roles(server: &Postgresql) -> BTreeSet<&'static str> {
    let mut asks = server.connect();
    let (before, titles, after) = wait_for("titles of all", || {
        let before = view(&mut asks);
        let titles = titles(server);
        let after = view(&mut asks);
        // The kernel's list of children may lack some while others end.
        let mut stayed = before.keys().filter(|pid| after.contains_key(pid));
        let are_all = stayed.all(|pid| titles.contains_key(pid));
        are_all.then_some((before, titles, after))
    });
    assert_eq!(titles[&server.pid()].role, title::POSTMASTER);
    let mut seen = BTreeSet::new();
    for (pid, [kind, ..]) in before.iter().filter(|(pid, _)| after.contains_key(pid)) {
        assert_eq!(titles[pid].role, role_of(kind), "{kind}: {:?}", titles[pid]);
        seen.insert(titles[pid].role);
    }
    seen
}

/// What is told of a connection is what the view says of it.
#[track_caller]
fn assert_right(told: &Connection, [kind, user, database, peer, state, _]: &[String; 6]) {
    let same = |told: &Option<String>, is: &String| told.as_ref().is_none_or(|told| told == is);
    assert!(["client backend", "walsender"].contains(&kind.as_str()));
    assert_eq!(told.user.as_ref(), Some(user), "{told:?}");
    assert!(same(&told.database, database), "{told:?} is at {database}");
    assert!(same(&told.peer, peer), "{told:?} comes from {peer}");
    let is_idle = |state: &str| state.starts_with("idle");
    if let Some(told_state) = told.state.as_ref().filter(|_| state != "active") {
        assert!(
            is_idle(told_state) && told_state == state,
            "{told:?} is {state}"
        );
    }
    let is_active = told.state.as_deref().is_none_or(|told| !is_idle(told));
    assert!(state != "active" || is_active, "{told:?} is active");
}

/// 500 connections as different users, idle ones and busy ones.
fn many(server: &Postgresql) -> Vec<Client> {
    server.query("create role app login; create role \"my app\" login");
    server.query("create database shop");
    let all = (0..MANY).map(|number| {
        let (user, database) = match number {
            0..ODD => ("my app", "shop"),
            _ if number % 2 == 0 => ("app", "shop"),
            _ => ("postgres", "postgres"),
        };
        let parameters = [("user", user), ("database", database)];
        Client::connect_as(server.port(), &parameters).expect("a connection")
    });
    let mut all: Vec<_> = all.collect();
    let at_work = all.iter_mut().skip(ODD).take(BUSY);
    at_work.for_each(|client| client.send("select pg_sleep(600)"));
    for client in all.iter_mut().skip(ODD + BUSY).take(IN_TRANSACTION) {
        client.query("begin");
    }
    let query = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    wait_for("busy connections", || {
        (server.query(query) == [[BUSY.to_string()]]).then_some(())
    });
    all
}

/// Starts one, fills it and compares all that is told of it. Returns what was told.
#[track_caller]
fn assert_named(version: Version, settings: &[(&str, &str)]) -> Connections {
    let most = (MANY + 100).to_string();
    let mut all = vec![
        ("max_connections", most.as_str()),
        ("cluster_name", "15/main"),
    ];
    all.extend(settings);
    let server = Postgresql::start(version, &all);
    let clients = many(&server);
    let found = title::cluster_name(processes(&server).iter().map(|(_, title)| title));
    assert_eq!(found.as_deref(), Some("15/main"));
    let roles = assert_roles(&server);
    for role in [
        title::CLIENT,
        title::CHECKPOINTER,
        title::WAL_WRITER,
        title::AUTOVACUUM,
    ] {
        assert!(roles.contains(role), "no {role}");
    }
    let mut asks = server.connect();
    let mut told = connections(&processes(&server));
    let view = view(&mut asks);
    assert_eq!(told.open, (MANY + 1) as u64);
    assert_eq!(told.unnamed, ODD as u64);
    assert!(
        told.named.len() * 100 >= (MANY + 1) * 99,
        "{} named",
        told.named.len()
    );
    for connection in told.named.iter().filter(|it| it.pid != asks.pid) {
        assert_right(connection, &view[&connection.pid]);
    }
    let waits = Waits::of(server.pid()).expect("a version that is known");
    waits.add_to(&mut told);
    for connection in told.named.iter().filter(|it| it.pid != asks.pid) {
        let [.., class] = &view[&connection.pid];
        assert_eq!(connection.wait.as_ref(), Some(class), "{connection:?}");
    }
    drop(clients);
    told
}

#[test]
fn of_500_connections_at_least_99_percent_are_named_and_all_of_them_right() {
    for (version, settings) in [
        (Version::Installed, &[][..]),
        (Version::Eighteen, &[("io_method", "worker")][..]),
    ] {
        let told = assert_named(version, settings);
        let in_state = |state| {
            let mut states = told.named.iter().filter_map(|it| it.state.as_deref());
            states.by_ref().filter(|it| *it == state).count()
        };
        assert_eq!(in_state("SELECT"), BUSY);
        assert_eq!(in_state("idle in transaction"), IN_TRANSACTION);
        assert_eq!(in_state("idle"), MANY + 1 - ODD - BUSY - IN_TRANSACTION);
    }
}

#[test]
fn without_titles_that_change_there_are_names_and_roles_but_no_states() {
    const OFF: (&str, &str) = ("update_process_title", "off");
    for (version, settings) in [
        (Version::Installed, &[OFF][..]),
        (Version::Eighteen, &[OFF, ("io_method", "io_uring")]),
    ] {
        let told = assert_named(version, settings);
        assert!(told.named.iter().all(|it| it.state.is_none()));
    }
}

#[test]
fn a_state_from_before_titles_stopped_changing_is_not_told() {
    let server = Postgresql::start(Version::Installed, &[]);
    let mut clients = vec![server.connect(), server.connect()];
    let states = || {
        let named = connections(&processes(&server)).named;
        named.iter().filter(|it| it.state.is_some()).count()
    };
    wait_for("two states", || (states() == 2).then_some(()));
    server.query("alter role postgres set update_process_title = off");
    // Its title says `startup`, for ever.
    clients.push(server.connect());
    let _ = clients[2].query("select 1");
    wait_for("two states of three", || (states() == 2).then_some(()));
    server.query("alter role postgres reset update_process_title");
    server.query("alter system set update_process_title = off");
    server.query("select pg_reload_conf()");
    wait_for("the new setting", || {
        let shown = server.query("show update_process_title");
        (shown == [["off"]]).then_some(())
    });
    clients.push(server.connect());
    // Those that only asked may take a while to end.
    wait_for("four connections, of none its state", || {
        let named = connections(&processes(&server)).named.len();
        (named == clients.len() && states() == 0).then_some(())
    });
}

#[test]
fn replication_and_parallel_workers_have_roles_of_their_own() {
    // From version 16 on, the title of one that sends a database's changes has the database too.
    for (version, parallel, unnamed) in [
        (Version::Installed, "force_parallel_mode", 0),
        (Version::Eighteen, "debug_parallel_query", 1),
    ] {
        let settings = [("cluster_name", "a: b"), ("wal_level", "logical")];
        let primary = Postgresql::start(version, &settings);
        primary.query("create table t (n int primary key); create publication p for table t");
        let replica = primary.start_replica(&settings);
        let subscriber = Postgresql::start(version, &settings);
        let from = format!("host=127.0.0.1 port={} user=postgres", primary.port());
        subscriber.query("create table t (n int primary key)");
        subscriber.query(&format!(
            "create subscription s connection '{from}' publication p"
        ));
        let mut leader = primary.connect();
        leader.query(&format!("set {parallel} = on"));
        leader.send("select pg_sleep(600)");
        let seen = |server: &Postgresql, expected: &[&'static str]| {
            wait_for("all roles", || {
                let seen = assert_roles(server);
                expected
                    .iter()
                    .all(|role| seen.contains(role))
                    .then_some(())
            });
        };
        seen(&primary, &[title::WAL_SENDER, title::PARALLEL_WORKER]);
        seen(&replica, &[title::WAL_RECEIVER, title::STARTUP]);
        seen(&subscriber, &[title::LOGICAL_REPLICATION, title::CLIENT]);
        wait_for("two senders", || {
            let told = connections(&processes(&primary));
            let senders = told.named.iter().filter(|it| it.database.is_none());
            let are_right = senders
                .clone()
                .all(|it| it.user.as_deref() == Some("postgres"));
            let found = (told.unnamed, senders.count());
            (are_right && found == (unnamed, 2 - unnamed as usize)).then_some(())
        });
    }
}

#[test]
fn counts_are_the_servers_own_through_a_thousand_connects_and_disconnects() {
    let server = Postgresql::start(Version::Installed, &[("max_connections", "200")]);
    let mut asks = server.connect();
    let query = "select count(*) from pg_stat_activity where backend_type in ('client backend', 'walsender')";
    let mut assert_equal = |expected: usize| {
        // A process goes on for a moment after its client has gone, and its view.
        wait_for("equal counts", || {
            let own = asks.query(query);
            let told = connections(&processes(&server));
            let expected = expected.to_string();
            (own == [[expected.as_str()]] && told.open.to_string() == expected).then_some(())
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
