//! Logins to MySQL and MariaDB: who the threads at work serve too, joined to what is measured; with a login that
//! fails, the watch goes on.

#[path = "support/logins.rs"]
mod logins;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use logins::*;
use program::*;
use serde_json::Value;
use servers::mysql::{Kind, Mysql};
use servers::mysql_client::Client;
use std::collections::BTreeMap;

/// What the server says of its threads: user, database and state by thread.
fn truth(kind: Kind, server: &Mysql) -> BTreeMap<u64, [Value; 3]> {
    let rows = server.query(match kind {
        Kind::Mysql => {
            "select thread_os_id, processlist_user, processlist_db, processlist_command, processlist_state
             from performance_schema.threads
             where connection_type is not null and processlist_id <> connection_id()"
        }
        _ => {
            "select tid, user, db, command, state from information_schema.processlist
             where id <> connection_id()"
        }
    });
    let one = |row: &Vec<String>| {
        let state = match row[4].as_str() {
            "" => row[3].clone(),
            state => format!("{}, {state}", row[3]),
        };
        let text = |text: &String| match text.as_str() {
            "" => Value::Null,
            text => text.into(),
        };
        (
            row[0].parse().expect("an id"),
            [text(&row[1]), text(&row[2]), state.into()],
        )
    };
    rows.iter().map(one).collect()
}

#[test]
fn mysql_and_mariadb_tell_of_threads_at_work_too() {
    for kind in [Kind::Mysql, Kind::Mariadb] {
        let certificates = [("auto-generate-certs", "ON")];
        let server = Mysql::start(
            kind,
            if kind == Kind::Mysql {
                &certificates
            } else {
                &[]
            },
        );
        server.query(&format!(
            "create user watch identified by '{}'",
            PASSWORD.replace('\\', "\\\\")
        ));
        server.query("grant process on *.* to watch");
        server.query("grant select on performance_schema.* to watch");
        let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
        for busy in &mut clients[..3] {
            busy.send("select sleep(600)");
        }
        let busy =
            "select count(*) from information_schema.processlist where info = 'select sleep(600)'";
        wait_for("busy connections", || {
            (server.query(busy) == [["3"]]).then_some(())
        });

        let port = format!("--mysql {}", server.port());
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("[client]\nuser = watch\npassword = \"{PASSWORD}\"\n");
        secret(folder.path(), ".my.cnf", &text);
        let home = folder.path().display().to_string();
        let url = "mysql://watch:ca%3At%5Cch%20me@localhost/";
        let url = url.replace("localhost", &format!("127.0.0.1:{}", server.port()));
        for (words, environment) in [
            (vec!["--mysql-dsn", &url], vec![]),
            (vec!["--mysql-dsn"], vec![("HOME", home.as_str())]),
            (
                vec!["--mysql-dsn", "mysql://watch@/"],
                vec![("MYSQL_PWD", PASSWORD)],
            ),
        ] {
            let (target, missing) = watched(attach(&port, &words, &environment));
            assert_eq!(missing, Vec::<String>::new(), "{kind:?} {words:?}");
            assert_all_named(&target);
            let (told, truth) = (told(&target), truth(kind, &server));
            let of_clients = truth.iter().filter(|(_, [user, ..])| user == "root");
            let mut seen = 0;
            for (tid, expected) in of_clients.filter(|(tid, _)| told.contains_key(tid)) {
                let [user, database, _, state, ..] = &told[tid];
                assert_eq!(
                    [user, database, state],
                    expected.each_ref(),
                    "{kind:?} {tid}"
                );
                seen += 1;
            }
            assert_eq!(seen, clients.len(), "{kind:?}: {told:#?}");
        }

        let wrong = ["--mysql-dsn", "mysql://watch:wrong@/"];
        let refused = |why: &str| {
            let (target, missing) = watched(attach(&port, &wrong, &[]));
            assert!(
                missing.len() == 1 && missing[0].contains(why),
                "{missing:?}"
            );
            target["connected"]["open"].as_u64().expect("a number") as usize
        };
        assert_eq!(refused("access denied for user 'watch'"), clients.len());
        server.query("alter user watch identified by 'wrong' password expire");
        // One refuses, the other lets in who may do nothing but change it.
        let why = match kind {
            Kind::Mysql => "your password has expired",
            _ => "you must SET PASSWORD",
        };
        assert_eq!(refused(why), clients.len());
        // As few as both allow.
        server.query("set global max_connections = 10");
        while let Ok(client) = Client::try_connect(server.port(), "mysql") {
            clients.push(client);
        }
        assert_eq!(refused("too many connections"), clients.len());
    }
}

/// Who runs `connscope` may be let in without a password.
#[test]
fn mariadb_lets_root_in_by_its_socket() {
    let server = Mysql::start(Kind::Mariadb, &[]);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    clients[0].query("alter user root@localhost identified via unix_socket");
    clients[0].send("select sleep(600)");
    let port = format!("--mysql {}", server.port());
    let (target, missing) = watched(attach(&port, &["--mysql-dsn", "user=root"], &[]));
    assert_eq!(missing, Vec::<String>::new());
    assert_all_named(&target);
    let told = told(&target);
    let at_work = told.values().filter(|it| it[3] == "Query, User sleep");
    assert_eq!(at_work.count(), 1, "{told:#?}");
}
