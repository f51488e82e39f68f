//! MySQL itself, and MariaDB with a thread for each connection or with its thread pool.

use super::Rows;
use super::daemon::{Daemon, free_port};
use super::data;
use super::mysql_client::Client;
use super::site::{Place, Site};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Version 9.
    Mysql,
    /// The one installed: 10.11 on Debian 12.
    Mariadb,
    /// The same with `thread_handling=pool-of-threads`.
    MariadbPool,
}

impl Kind {
    #[track_caller]
    fn place(self) -> Place {
        match self {
            Self::Mysql => Place::unpacked("mysql"),
            Self::Mariadb | Self::MariadbPool => Place::Host,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Mysql => "/usr/sbin/mysqld",
            Self::Mariadb | Self::MariadbPool => "/usr/sbin/mariadbd",
        }
    }

    /// Beyond what both have.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Mysql => &[
                "--secure-file-priv=NULL",
                "--mysqlx=OFF",
                "--skip-log-bin",
                "--innodb-redo-log-capacity=8M",
                "--innodb-flush-method=nosync",
                "--auto-generate-certs=OFF",
                "--caching-sha2-password-auto-generate-rsa-keys=OFF",
            ],
            Self::Mariadb => &["--innodb-flush-method=nosync", "--innodb-log-file-size=8M"],
            Self::MariadbPool => &[
                "--innodb-flush-method=nosync",
                "--innodb-log-file-size=8M",
                "--thread-handling=pool-of-threads",
            ],
        }
    }

    /// Makes a data directory, with a user `root` that has no password.
    #[track_caller]
    fn initialise(self, site: &Site) {
        let mut arguments = vec!["--no-defaults", "--datadir={folder}/data"];
        let program = match self {
            Self::Mysql => {
                arguments.extend(["--initialize-insecure", "--tmpdir={folder}"]);
                arguments.extend(self.settings());
                self.program()
            }
            Self::Mariadb | Self::MariadbPool => {
                arguments.extend([
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--innodb-flush-method=nosync",
                    "--innodb-log-file-size=8M",
                ]);
                "/usr/bin/mariadb-install-db"
            }
        };
        data::provide(site, program, &arguments);
    }
}

/// A server with a data directory of its own. Its user `root` has no password.
pub struct Mysql {
    // Before the folder, which it works in.
    daemon: Daemon,
    kind: Kind,
    site: Site,
}

impl Mysql {
    /// Starts one with these settings, which come after those that make it quick to start.
    #[track_caller]
    pub fn start(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let site = Site::new(kind.place(), "mysql");
        kind.initialise(&site);
        let port = free_port();
        let mut command = site.command(kind.program(), libc::SIGKILL);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", site.seen("data")))
            .arg(format!("--tmpdir={}", site.seen("")))
            .arg(format!("--socket={}", site.seen("socket")))
            .arg(format!("--pid-file={}", site.seen("pid")))
            .args(["--bind-address=127.0.0.1", &format!("--port={port}")])
            .args(["--innodb-flush-log-at-trx-commit=0"])
            .args(kind.settings());
        for (name, value) in settings {
            command.arg(format!("--{name}={value}"));
        }
        let answers = |port| Client::try_connect(port, "mysql").ok();
        // All it has is in its folder: no need for an orderly end.
        let daemon = Daemon::start(&site, port, libc::SIGKILL, command, answers);
        Self { daemon, kind, site }
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn port(&self) -> u16 {
        self.daemon.port
    }

    /// As we see it.
    pub fn data_directory(&self) -> PathBuf {
        self.site.path("data")
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.port(), "mysql")
    }

    /// Asks by a connection that is closed afterwards.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        self.connect().query(sql)
    }
}
