//! PostgreSQL: the version that this host's release has, or another; a replica of one.

use super::Rows;
use super::daemon::{Daemon, free_port};
use super::data;
use super::postgresql_client::Client;
use super::site::{Place, Site};
use std::{fs, path::PathBuf, process::Command, ptr};

/// Whose programs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one installed: 15 on Debian 12.
    Installed,
    /// Without programs but the server and `initdb`, as the next two.
    Fourteen,
    Sixteen,
    Seventeen,
    /// The first with I/O workers and io_uring.
    Eighteen,
}

impl Version {
    #[track_caller]
    fn place(self) -> Place {
        match self {
            Self::Installed => Place::Host,
            Self::Fourteen => Place::unpacked("postgresql-14"),
            Self::Sixteen => Place::unpacked("postgresql-16"),
            Self::Seventeen => Place::unpacked("postgresql-17"),
            Self::Eighteen => Place::unpacked("postgresql-18"),
        }
    }

    /// A program of it, as it is called in its place.
    #[track_caller]
    fn program(self, name: &str) -> String {
        match self {
            Self::Installed => installed(name),
            Self::Fourteen | Self::Sixteen | Self::Seventeen => format!("/usr/bin/{name}"),
            Self::Eighteen => format!("/usr/lib/postgresql/18/bin/{name}"),
        }
    }
}

/// A program of the newest version that is installed here.
#[track_caller]
pub fn installed(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.flatten().filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin").join(name)))
    });
    let newest = versions.filter(|(_, program)| program.is_file()).max();
    let (_, program) = newest.unwrap_or_else(|| panic!("no {name}; run cargo xtask setup"));
    program.display().to_string()
}

/// A folder with the data directory of a new server, which trusts everybody.
#[track_caller]
pub fn initialised(version: Version) -> Site {
    let site = Site::new(version.place(), "postgres");
    let arguments = "--pgdata={folder}/data --no-sync --auth=trust --username=postgres \
                     --locale=C.UTF-8 --encoding=UTF8";
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    data::provide(&site, &version.program("initdb"), &arguments);
    site
}

/// A server with a data directory of its own. Trusts everybody on 127.0.0.1.
pub struct Postgresql {
    // Before the folder, which it works in.
    daemon: Daemon,
    shared: Shared,
    version: Version,
    settings: Vec<(String, String)>,
    site: Site,
}

impl Postgresql {
    /// Starts one with these settings, which come after those that make it quick to start.
    #[track_caller]
    pub fn start(version: Version, settings: &[(&str, &str)]) -> Self {
        Self::start_with(version, settings, &[])
    }

    /// The same with these variables in its environment.
    #[track_caller]
    pub fn start_with(
        version: Version,
        settings: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_in(initialised(version), version, settings, environment)
    }

    /// Starts a replica of it, which streams from it.
    #[track_caller]
    pub fn start_replica(&self, settings: &[(&str, &str)]) -> Self {
        let site = Site::new(self.version.place(), "postgres");
        let data = site.seen("data");
        let primary = format!("host=127.0.0.1 port={} user=postgres", self.port());
        let options = "--write-recovery-conf --checkpoint=fast --no-sync";
        let mut arguments = vec!["--pgdata", &data, "--dbname", &primary];
        arguments.extend(options.split(' '));
        site.run(&self.version.program("pg_basebackup"), &arguments);
        Self::start_in(site, self.version, settings, &[])
    }

    #[track_caller]
    fn start_in(
        site: Site,
        version: Version,
        settings: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let settings = settings.iter();
        let settings: Vec<_> = settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let port = free_port();
        let mut command = command(&site, version, port, &settings);
        command.envs(environment.iter().copied());
        let daemon = Daemon::start(&site, port, libc::SIGQUIT, command, answers);
        let shared = Shared::of(&site);
        Self {
            daemon,
            shared,
            version,
            settings,
            site,
        }
    }

    /// Ends it in order, which its clients notice, and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.end_by(libc::SIGINT);
        let command = command(&self.site, self.version, self.port(), &self.settings);
        self.daemon.again(command, answers);
        self.shared = Shared::of(&self.site);
    }

    /// The postmaster.
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

    /// A connection, as superuser.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.port(), "postgres")
    }

    /// Asks by a connection that is closed afterwards.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Rows {
        self.connect().query(sql)
    }
}

/// Runs one in the folder of the site. SIGQUIT ends it: everything is dropped, clients too, and the shared memory freed.
#[track_caller]
fn command(site: &Site, version: Version, port: u16, settings: &[(String, String)]) -> Command {
    let folder = site.seen("");
    let mut command = site.command(&version.program("postgres"), libc::SIGQUIT);
    command.args(["-D", &site.seen("data")]);
    let port_text = port.to_string();
    let quick = [
        ("port", port_text.as_str()),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", &folder),
        ("fsync", "off"),
        ("full_page_writes", "off"),
    ];
    let settings = settings.iter();
    let settings = settings.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in quick.into_iter().chain(settings) {
        command.args(["-c", &format!("{name}={value}")]);
    }
    command
}

fn answers(port: u16) -> Option<Client> {
    Client::try_connect(port, "postgres").ok()
}

/// Shared memory of a server that is in no folder of its own: what was killed leaves it behind.
struct Shared {
    /// Its first segment, by which it tells whether another server runs in its directory; in the seventh
    /// line of the file with its pid.
    segment: Option<i32>,
}

impl Shared {
    fn of(site: &Site) -> Self {
        let described = fs::read_to_string(site.path("data/postmaster.pid")).unwrap_or_default();
        let segment = described.lines().nth(6);
        let segment = segment.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Self { segment }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let remove = |segment: &i32| {
            // SAFETY: without a buffer. Ids are given anew only after 32,768 others.
            unsafe { libc::shmctl(*segment, libc::IPC_RMID, ptr::null_mut()) == 0 }
        };
        // It removes it itself where it ends in order.
        if self.segment.iter().any(remove) {
            remove_orphans();
        }
    }
}

/// Files of shared memory that no server has mapped any more.
fn remove_orphans() {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let maps = processes.filter_map(|entry| fs::read_to_string(entry.path().join("maps")).ok());
    let mapped: String = maps.collect();
    let files = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    for file in files {
        let name = file.file_name().display().to_string();
        if name.starts_with("PostgreSQL.") && !mapped.contains(&name) {
            let _ = fs::remove_file(file.path());
        }
    }
}
