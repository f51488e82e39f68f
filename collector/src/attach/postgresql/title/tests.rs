use super::*;

#[track_caller]
fn role(says: &str) -> &'static str {
    let title = parse(&format!("postgres: {says}"), None).expect("a process of a server");
    assert!(ROLES.contains(&title.role));
    title.role
}

/// User, database, peer and state of a client.
type Client<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
);

#[track_caller]
fn is_client(says: &str, role: &str, expected: Client<'_>) {
    let title = parse(&format!("postgres: {says}"), None).expect("a process of a server");
    let connection = title.connection.expect("it serves a client");
    let found = (
        connection.user.as_deref(),
        connection.database.as_deref(),
        connection.peer.as_deref(),
        connection.state.as_deref(),
    );
    assert_eq!((title.role, found), (role, expected), "{says}");
}

#[test]
fn processes_that_serve_no_client() {
    for (says, expected) in [
        ("checkpointer ", CHECKPOINTER),
        ("checkpointer performing shutdown checkpoint", CHECKPOINTER),
        ("background writer ", BACKGROUND_WRITER),
        ("walwriter ", WAL_WRITER),
        ("walreceiver streaming 0/5000060", WAL_RECEIVER),
        ("walreceiver ", WAL_RECEIVER),
        ("startup recovering 000000010000000000000005", STARTUP),
        ("startup waiting for 000000010000000000000006", STARTUP),
        ("autovacuum launcher ", AUTOVACUUM),
        ("autovacuum worker my shop", AUTOVACUUM),
        ("autovacuum worker ", AUTOVACUUM),
        ("parallel worker for PID 4711 ", PARALLEL_WORKER),
        ("parallel worker for PID 4711 waiting", PARALLEL_WORKER),
        ("io worker 2", IO_WORKER),
        ("logical replication launcher ", LOGICAL_REPLICATION),
        (
            "logical replication worker for subscription 16397 sync 16390 ",
            LOGICAL_REPLICATION,
        ),
        (
            "logical replication apply worker for subscription 16397 ",
            LOGICAL_REPLICATION,
        ),
        (
            "logical replication parallel apply worker for subscription 1 ",
            LOGICAL_REPLICATION,
        ),
        (
            "logical replication tablesync worker for subscription 1 sync 2 ",
            LOGICAL_REPLICATION,
        ),
        ("slotsync worker ", LOGICAL_REPLICATION),
        ("walsummarizer ", OTHER),
        ("archiver last was 000000010000000000000004", OTHER),
        ("logger ", OTHER),
        ("stats collector ", OTHER),
        ("pg_cron launcher ", OTHER),
        ("Citus Metadata Sync: 16384/10 ", OTHER),
        ("some worker(5) ", OTHER),
        ("", OTHER),
    ] {
        assert_eq!(role(says), expected, "{says}");
        let connection = parse(&format!("postgres: {says}"), None).and_then(|it| it.connection);
        assert_eq!(connection, None, "{says}");
    }
}

#[test]
fn the_postmaster_has_the_title_it_was_started_with() {
    let role = |title| parse(title, None).map(|title| title.role);
    for title in [
        "/usr/lib/postgresql/15/bin/postgres\0-D\0/data",
        "postgres",
        "/opt/my server/postmaster\0-i\0\0",
    ] {
        assert_eq!(role(title), Some(POSTMASTER), "{title}");
    }
    for title in ["", "sh\0-c\0postgres: cp", "psql\0postgres", "postgresql"] {
        assert_eq!(role(title), None, "{title}");
    }
}

#[test]
fn clients_by_their_peer() {
    let (alice, shop) = (Some("alice"), Some("shop"));
    for peer in [
        "[local]",
        "[local](/tmp/own)",
        "10.0.0.7(5432)",
        "::1(65535)",
        "fe80::1%eth0(1)",
        "db-7.example.org(5432)",
    ] {
        for state in [
            "idle",
            "idle in transaction",
            "idle in transaction (aborted)",
            "SELECT",
            "CREATE TABLE AS",
            "UPDATE waiting",
            "COMMIT waiting for 16/B374D848",
            "<FASTPATH>",
            "authentication",
        ] {
            let says = format!("alice shop {peer} {state}");
            is_client(&says, CLIENT, (alice, shop, Some(peer), Some(state)));
        }
    }
    let local = Some("[local]");
    // Titles that do not follow the state, by the server's settings or by the user's own.
    for state in ["", "startup", "doing its own thing"] {
        let says = format!("alice shop [local] {state}");
        is_client(&says, CLIENT, (alice, shop, local, None));
    }
    is_client("alice shop [local]", CLIENT, (alice, shop, local, None));
    is_client(
        "alice shop ???(???) idle",
        CLIENT,
        (alice, shop, None, Some("idle")),
    );
}

#[test]
fn names_that_could_be_cut_in_two_ways_are_not_told() {
    let (peer, idle) = (Some("10.0.0.7(5432)"), Some("idle"));
    for names in [
        "my self shop",
        "alice my shop",
        "alice  shop",
        " alice shop",
        "al\u{fffd}ce shop",
        "a [local] b",
    ] {
        let says = format!("{names} 10.0.0.7(5432) idle");
        is_client(&says, CLIENT, (None, None, peer, idle));
    }
    // A database with the name of a client's title; and two places that could both be the peer.
    is_client(
        "a b [local] idle 10.0.0.7(5432) idle",
        CLIENT,
        (None, None, peer, idle),
    );
    is_client("a b [local] c [local] d", CLIENT, (None, None, None, None));
    // A name like that of a worker, and a database like a client.
    is_client(
        "autovacuum worker [local] idle",
        CLIENT,
        (None, None, Some("[local]"), idle),
    );
    let odd = (Some("a:b"), Some("c(1)"), peer, idle);
    is_client("a:b c(1) 10.0.0.7(5432) idle", CLIENT, odd);
    let single = (Some("checkpointer"), Some("shop"), peer, idle);
    is_client("checkpointer shop 10.0.0.7(5432) idle", CLIENT, single);
}

#[test]
fn walsenders() {
    let peer = Some("10.0.0.8(5432)");
    for state in [
        "streaming 0/3000148",
        "START_REPLICATION",
        "sending backup \"my base\"",
    ] {
        let says = format!("walsender replica 10.0.0.8(5432) {state}");
        is_client(
            &says,
            WAL_SENDER,
            (Some("replica"), None, peer, Some(state)),
        );
        // Another user, or a database.
        let says = format!("walsender replica shop 10.0.0.8(5432) {state}");
        is_client(&says, WAL_SENDER, (None, None, peer, Some(state)));
    }
    is_client(
        "walsender replica 10.0.0.8(5432) idle",
        WAL_SENDER,
        (None, None, peer, Some("idle")),
    );
}

#[test]
fn the_name_of_the_cluster_comes_first() {
    let named = |name: &str| {
        let titles = [
            "postgres\0-D\0/data".to_owned(),
            format!("postgres: {name}: alice shop [local] idle"),
            format!("postgres: {name}: background writer "),
            format!("postgres: {name}: checkpointer \0\0"),
        ];
        cluster_name(titles)
    };
    for name in ["15/main", "a: b", "x: checkpointer", "checkpointer", " "] {
        assert_eq!(named(name).as_deref(), Some(name));
    }
    let plain = [
        "postgres: checkpointer ",
        "postgres: a: walwriter: b [local] idle",
    ];
    assert_eq!(cluster_name(plain), None);
    // A worker that ends like the checkpointer, in a server without a name.
    let worker = ["postgres: x: checkpointer ", "postgres: walwriter "];
    assert_eq!(cluster_name(worker), None);
    assert_eq!(cluster_name::<&str>([]), None);
    let title = "postgres: 15/main: alice shop [local] idle";
    let user = |cluster| {
        let connection = parse(title, cluster)?.connection?;
        Some(connection.user)
    };
    assert_eq!(user(Some("15/main")), Some(Some("alice".to_owned())));
    assert_eq!(user(None), Some(None));
    assert_eq!(user(Some("other")), None);
}
