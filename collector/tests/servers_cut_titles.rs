//! PostgreSQL started with so few arguments, and no environment, that its titles have no room for who a client is.

#[path = "support/program.rs"]
mod program;
#[path = "support/servers.rs"]
mod servers;

use program::*;
use serde_json::Value;
use servers::daemon::{Daemon, free_port};
use servers::postgresql::{Version, initialised, installed};
use servers::postgresql_client::Client;
use std::os::unix::{fs::symlink, process::CommandExt as _};
use std::{fs, io::Write as _};

/// Its one target, watched for a moment.
fn watched(port: u16) -> Value {
    let words = format!("attach --postgres {port} --duration 1500ms --format json --quiet");
    let report = Ended::of(connscope(&words)).exits(0).report();
    report["targets"][0].clone()
}

#[track_caller]
fn tasks(target: &Value, name: &str) -> u64 {
    let mut roles = target["roles"].as_array().expect("roles").iter();
    let role = roles.find(|it| it["role"] == name).expect("the role");
    role["tasks"].as_u64().expect("a number")
}

#[test]
fn connections_whose_titles_are_cut_short_are_counted() {
    let site = initialised(Version::Installed);
    let program = installed("postgres");
    symlink(&program, site.path("postgres")).expect("a folder of ours");
    let port = free_port();
    let settings = format!(
        "port={port}\nlisten_addresses='127.0.0.1'\nfsync=off\nunix_socket_directories='{}'\n",
        site.seen("")
    );
    let file = site.path("data/postgresql.conf");
    let file = fs::File::options().append(true).open(file);
    let mut file = file.expect("a data directory");
    file.write_all(settings.as_bytes()).expect("it is ours");
    let answers = |port| Client::try_connect(port, "postgres").ok();
    // `postgres: postgres postgres 127.0.0.1(4` and `postgres: postgr`.
    for (called, named) in [(program.as_str(), 1), ("./postgres", 0)] {
        let mut command = site.command(&program, libc::SIGQUIT);
        command.arg0(called).args(["-D", "data"]).env_clear();
        let server = Daemon::start(&site, port, libc::SIGQUIT, command, answers);
        let mut asks = Client::connect(port, "postgres");
        if named == 1 {
            asks.query("create role a login superuser");
            asks.query("create database b");
        }
        let more = Client::connect(port, "postgres");
        let short = Client::connect_as(port, &[("user", "a"), ("database", "b")]);
        let short = short.expect("a connection");
        let target = watched(port);
        let own = asks
            .query("select count(*) from pg_stat_activity where backend_type = 'client backend'");
        assert_eq!(own, [["3"]]);
        let connected = &target["connected"];
        let counts = ["open", "named", "unnamed"].map(|it| connected[it].as_u64());
        let expected = [3, named, 3 - named].map(Some);
        assert_eq!(counts, expected, "{called}: {connected:#}");
        let method = connected["method"].as_str().expect("a method");
        assert!(method.contains(" titles are cut short, since "), "{method}");
        assert_eq!(
            (tasks(&target, "client"), tasks(&target, "starting")),
            (3, 0),
            "{called}"
        );
        drop((asks, more, short, server));
    }
}
