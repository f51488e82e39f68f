//! PgBouncer in front of a PostgreSQL.

use super::daemon::{Daemon, free_port};
use super::postgresql_client::Client;
use super::site::{Place, Site};
use std::{fmt::Write, fs, path::PathBuf};

/// A pooler with a folder of its own. Trusts everybody on 127.0.0.1.
pub struct Pgbouncer {
    // Before the folder, which it works in.
    daemon: Daemon,
    site: Site,
}

impl Pgbouncer {
    /// Starts one in front of the server at that port, with these settings, which come after ours.
    #[track_caller]
    pub fn start(backend: u16, settings: &[(&str, &str)]) -> Self {
        let site = Site::new(Place::Host, "postgres");
        let port = free_port();
        let (port_text, users) = (port.to_string(), site.seen("users"));
        let ours = [
            ("listen_addr", "127.0.0.1"),
            ("listen_port", port_text.as_str()),
            ("unix_socket_dir", ""),
            ("auth_type", "trust"),
            ("auth_file", &users),
            ("admin_users", "postgres"),
            ("pool_mode", "transaction"),
        ];
        let mut text = format!("[databases]\n* = host=127.0.0.1 port={backend}\n[pgbouncer]\n");
        for (name, value) in ours.iter().chain(settings) {
            let _ = writeln!(text, "{name} = {value}");
        }
        fs::write(site.path("settings"), text).expect("a folder of ours");
        fs::write(site.path("users"), "\"postgres\" \"\"\n").expect("a folder of ours");
        let mut command = site.command("/usr/sbin/pgbouncer", libc::SIGTERM);
        command.arg(site.seen("settings"));
        let answers = |port| Client::try_connect(port, "pgbouncer").ok();
        let daemon = Daemon::start(&site, port, libc::SIGTERM, command, answers);
        Self { daemon, site }
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn port(&self) -> u16 {
        self.daemon.port
    }

    /// Where it works.
    pub fn folder(&self) -> PathBuf {
        self.site.path("")
    }

    /// A connection to its console: `show clients`, `show servers`, `show pools`.
    #[track_caller]
    pub fn console(&self) -> Client {
        Client::connect(self.port(), "pgbouncer")
    }
}
