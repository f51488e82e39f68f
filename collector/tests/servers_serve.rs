//! How many connections `connscope serve` shows of each kind of server, against what the server says itself.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use exporter::Exporter;
use program::wait_for;
use servers::figure;
use servers::mysql::{Kind, Mysql};
use servers::pgbouncer::Pgbouncer;
use servers::postgresql::{Postgresql, Version};
use servers::postgresql_client::Client as PostgresqlClient;
use servers::redis::Redis;
use std::{any::Any, thread::sleep, time::Duration};

/// Connections of each.
const MANY: usize = 40;
/// Long enough for a server to see that clients have gone.
const REST: Duration = Duration::from_millis(200);

/// A server as a target.
struct Watched<'a> {
    name: &'static str,
    /// Of its configuration.
    key: String,
    connect: Box<dyn Fn() -> Box<dyn Any> + 'a>,
    /// How many connections it says to have, that by which it is asked among them.
    own: Box<dyn FnMut() -> usize + 'a>,
}

fn postgresql(server: &Postgresql) -> Watched<'_> {
    let mut asks = server.connect();
    let query = "select count(*) from pg_stat_activity where backend_type = 'client backend'";
    Watched {
        name: "postgresql",
        key: format!("postgres = {}", server.port()),
        connect: Box::new(|| Box::new(server.connect())),
        own: Box::new(move || figure(&asks.query(query))),
    }
}

fn mysql<'a>(name: &'static str, server: &'a Mysql) -> Watched<'a> {
    let mut asks = server.connect();
    Watched {
        name,
        key: format!("mysql = {}", server.port()),
        connect: Box::new(|| Box::new(server.connect())),
        own: Box::new(move || {
            let rows = asks.query("show status like 'Threads_connected'");
            rows[0][1].parse().expect("a figure")
        }),
    }
}

fn redis<'a>(name: &'static str, key: String, server: &'a Redis) -> Watched<'a> {
    // It is asked by a connection of its own, which is gone before it is counted.
    Watched {
        name,
        key,
        connect: Box::new(|| Box::new(server.connect())),
        own: Box::new(|| server.info("connected_clients") as usize - 1),
    }
}

fn pgbouncer(server: &Pgbouncer) -> Watched<'_> {
    let mut asks = server.console();
    Watched {
        name: "pgbouncer",
        key: format!("pgbouncer = {}", server.port()),
        connect: Box::new(|| Box::new(PostgresqlClient::connect(server.port(), "postgres"))),
        own: Box::new(move || asks.query("show clients").len()),
    }
}

#[test]
fn connections_are_as_many_as_the_servers_say() {
    let behind = Postgresql::start(Version::Installed, &[]);
    let pooler = Pgbouncer::start(behind.port(), &[]);
    let of_mysql =
        [Kind::Mysql, Kind::Mariadb, Kind::MariadbPool].map(|kind| Mysql::start(kind, &[]));
    let [own, plain] = [(); 2].map(|()| Redis::start(&[]));
    let [one, two, three] = &of_mysql;
    let mut all = [
        postgresql(&behind),
        mysql("mysql", one),
        mysql("mariadb", two),
        mysql("pool", three),
        redis("redis", format!("redis = {}", own.port()), &own),
        redis("plain", format!("pid = {}", plain.pid()), &plain),
        pgbouncer(&pooler),
    ];
    let targets = all
        .iter()
        .map(|it| format!("[[target]]\nname = \"{}\"\n{}\n", it.name, it.key));
    let targets: String = targets.collect();
    let mut held: Vec<Vec<Box<dyn Any>>> = all.iter().map(|_| Vec::new()).collect();
    for many in [MANY, MANY / 2, 0] {
        for (watched, held) in all.iter().zip(&mut held) {
            held.truncate(many);
            held.resize_with(many, || (watched.connect)());
        }
        let own = all.iter_mut().map(|it| (it.name, at_rest(it, many)));
        let own: Vec<_> = own.collect();
        // They are counted in its first reading.
        let shown = Exporter::start(&targets).scrape();
        for (name, own) in own {
            let connections = shown.sum("connscope_connections", &[&format!("target=\"{name}\"")]);
            assert_eq!(connections, own as f64, "{name}, of {many}");
        }
    }
}

/// How many connections it says to have. Its part of one goes on for a moment after the client has gone.
#[track_caller]
fn at_rest(watched: &mut Watched<'_>, least: usize) -> usize {
    wait_for("rest", || {
        let own = (watched.own)();
        sleep(REST);
        let stayed = (watched.own)() == own;
        (stayed && (least..least + MANY / 2).contains(&own)).then_some(own)
    })
}
