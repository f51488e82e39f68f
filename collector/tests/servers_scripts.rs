//! Scripts that are watched by their pid, and become a server, or start one, while they are: the report and the live
//! view say by which option more would be told.

#[path = "support/attached.rs"]
mod attached;
#[path = "support/program.rs"]
mod program;
#[path = "support/pty.rs"]
mod pty;
#[path = "support/servers.rs"]
mod servers;

use attached::Attached;
use program::*;
use pty::Terminal;
use serde_json::Value;
use servers::daemon::{Daemon, free_port, listens};
use servers::postgresql::{self, Version, installed};
use servers::site::Site;
use servers::{mysql, mysql::Kind};
use std::fs;

/// Waits for a file, then becomes the server.
const BECOMES: &str = "until [ -e go ]; do sleep 0.05; done; exec \"$@\"";
/// The same, but starts it; ends it too.
const STARTS: &str =
    "until [ -e go ]; do sleep 0.05; done; trap 'kill -9 $!' TERM; \"$@\" & wait; wait";

/// A script in the folder of a site, which waits.
#[track_caller]
fn waiting(site: &Site, script: &str, server: &[String], stop: i32) -> Daemon {
    let mut command = site.command("/bin/sh", stop);
    command.args(["-c", script, "server"]).args(server);
    Daemon::start(site, free_port(), stop, command, Some)
}

/// Lets it go on, until somebody listens there.
#[track_caller]
fn go(site: &Site, port: u16) {
    fs::write(site.path("go"), "").expect("a folder of ours");
    wait_for("a server", || listens(port).map(drop));
}

/// Why roles are not told, as far as the report says.
fn reasons(report: &Value) -> Vec<&str> {
    let missing = report["unavailable"].as_array().expect("a list");
    let of_roles = missing.iter().filter(|it| it["measure"] == "roles");
    let reasons = of_roles.map(|it| it["reason"].as_str().expect("a reason"));
    reasons.collect()
}

#[test]
fn a_script_becomes_a_server() {
    let site = postgresql::initialised(Version::Installed);
    let port = free_port();
    let mut server = vec![installed("postgres"), "-D".to_owned(), site.seen("data")];
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "fsync=off".to_owned(),
    ] {
        server.extend(["-c".to_owned(), setting]);
    }
    let script = waiting(&site, BECOMES, &server, libc::SIGQUIT);
    let pid = script.pid();
    let attached = Attached::to(&format!("--pid {pid}"));
    let words = format!("top --pid {pid} --interval 200ms");
    let mut terminal = Terminal::start(connscope(&words), (50, 200));
    terminal.shows("figures of ");
    go(&site, port);
    let needs = format!(
        "PostgreSQL is watched as any process; its roles and who its connections are need --postgres {pid}"
    );
    terminal.press("?");
    terminal.shows(&needs);
    terminal.press("xq");
    assert_eq!(terminal.finish().code(), Some(0));
    let report = attached.report();
    assert_eq!(reasons(&report), [format!("sh: {needs}")]);
}

#[test]
fn a_script_starts_a_server() {
    let site = mysql::initialised(Kind::Mariadb);
    let port = free_port();
    let mut server = vec![Kind::Mariadb.program().to_owned()];
    server.extend(mysql::arguments(&site, Kind::Mariadb, port, &[]));
    let script = waiting(&site, STARTS, &server, libc::SIGTERM);
    let attached = Attached::to(&format!("--pid {}", script.pid()));
    go(&site, port);
    let report = attached.report();
    let child = children(script.pid())[0];
    let needs = format!(
        "sh: MariaDB is watched as any process; its roles and who its connections are need --mysql {child}"
    );
    assert_eq!(reasons(&report), [needs]);
    let open = &report["targets"][0]["connected"]["open"];
    assert_eq!(open, 0, "it is watched: {report:#}");
}
