//! Real database servers, each started by the test that needs it and gone with it: processes, data, sockets
//! and mounts, also when the test panics or is killed. `cargo xtask setup` puts their programs here.
#![allow(dead_code, unreachable_pub)]

#[path = "servers/daemon.rs"]
pub mod daemon;
#[path = "servers/data.rs"]
pub mod data;
#[path = "servers/load.rs"]
pub mod load;
#[path = "servers/mysql.rs"]
pub mod mysql;
#[path = "servers/mysql_client.rs"]
pub mod mysql_client;
#[path = "servers/pgbouncer.rs"]
pub mod pgbouncer;
#[path = "servers/postgresql.rs"]
pub mod postgresql;
#[path = "servers/postgresql_client.rs"]
pub mod postgresql_client;
#[path = "servers/redis.rs"]
pub mod redis;
#[path = "servers/site.rs"]
pub mod site;

/// What a query answers, as text; NULL is empty.
pub type Rows = Vec<Vec<String>>;

/// The one figure that a query answers.
#[track_caller]
pub fn figure<T: std::str::FromStr>(rows: &Rows) -> T {
    match &rows[..] {
        [row] if row.len() == 1 => row[0]
            .parse()
            .unwrap_or_else(|_| panic!("{:?} is no figure", row[0])),
        _ => panic!("not one figure: {rows:?}"),
    }
}
