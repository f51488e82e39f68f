//! MySQL itself, and MariaDB with a thread for each connection or with its thread pool.

use super::Rows;
use super::daemon::{Daemon, free_port};
use super::data;
use super::mysql_client::Client;
use super::site::{Place, Site};
use connscope::snapshot::TargetKind;
use std::collections::BTreeMap;
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

    pub fn program(self) -> &'static str {
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
    /// Beyond what all have.
    settings: Vec<String>,
    site: Site,
}

impl Mysql {
    /// Starts one with these settings, which come after those that make it quick to start.
    #[track_caller]
    pub fn start(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let site = initialised(kind);
        let port = free_port();
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| format!("--{name}={value}"));
        let settings: Vec<_> = settings.collect();
        let mut command = site.command(kind.program(), libc::SIGKILL);
        command.args(arguments(&site, kind, port, &settings));
        // All it has is in its folder: no need for an orderly end.
        let daemon = Daemon::start(&site, port, libc::SIGKILL, command, answers);
        Self {
            daemon,
            kind,
            settings,
            site,
        }
    }

    /// Ends it by that signal, SIGTERM in order, and starts it again.
    #[track_caller]
    pub fn restart(&mut self, signal: i32) {
        self.daemon.end_by(signal);
        let mut command = self.site.command(self.kind.program(), libc::SIGKILL);
        command.args(arguments(
            &self.site,
            self.kind,
            self.port(),
            &self.settings,
        ));
        self.daemon.again(command, answers);
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    pub fn port(&self) -> u16 {
        self.daemon.port
    }

    /// As reports call it.
    pub fn target_kind(&self) -> TargetKind {
        match self.kind {
            Kind::Mysql => TargetKind::Mysql,
            Kind::Mariadb | Kind::MariadbPool => TargetKind::Mariadb,
        }
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

    /// What the server says of its connections: the port of each client, by the thread that serves it.
    #[track_caller]
    pub fn ports_by_thread(&self, asks: &mut Client) -> BTreeMap<u32, String> {
        ports_by_thread(self.kind, asks)
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

/// The port of each client, by the thread that serves it, as the server numbers it.
#[track_caller]
pub fn ports_by_thread(kind: Kind, asks: &mut Client) -> BTreeMap<u32, String> {
    let rows = asks.query(match kind {
        Kind::Mysql => {
            "select t.thread_os_id, p.host from performance_schema.threads t
             join information_schema.processlist p on p.id = t.processlist_id where p.host like '%:%'"
        }
        _ => "select tid, host from information_schema.processlist where host like '%:%'",
    });
    let by_thread = rows.iter().filter_map(|row| {
        let (_, port) = row[1].rsplit_once(':')?;
        Some((row[0].parse().ok()?, port.to_owned()))
    });
    by_thread.collect()
}

/// A place for one, with a data directory.
#[track_caller]
pub fn initialised(kind: Kind) -> Site {
    let site = Site::new(kind.place(), "mysql");
    kind.initialise(&site);
    site
}

/// Of a server in the folder of the site.
pub fn arguments(site: &Site, kind: Kind, port: u16, settings: &[String]) -> Vec<String> {
    let own = [
        "--no-defaults".to_owned(),
        format!("--datadir={}", site.seen("data")),
        format!("--tmpdir={}", site.seen("")),
        format!("--socket={}", site.seen("socket")),
        format!("--pid-file={}", site.seen("pid")),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
    ];
    let of_kind = kind.settings().iter().map(|it| (*it).to_owned());
    own.into_iter()
        .chain(of_kind)
        .chain(settings.iter().cloned())
        .collect()
}

fn answers(port: u16) -> Option<Client> {
    Client::try_connect(port, "mysql").ok()
}
