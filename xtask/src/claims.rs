//! All claims, those on databases too: on a PostgreSQL and a MariaDB of this host's release that are started
//! for them, in a folder that goes with them.

use crate::cargo;
use crate::host::Root;
use crate::runtimes;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds, starts the servers, and runs `connscope claims` with these further arguments.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let root = Root::require("claims and the servers they are put to the test on")?;
    cargo::build_programs()?;
    runtimes::build()?;
    let target = Workspace::read()?.target_directory;
    let folder = Folder::new(root)?;
    let postgresql = start_postgresql(root, &folder)?;
    let mariadb = start_mariadb(root, &folder)?;
    let mut command = root.command(&target.join("release/connscope"));
    command
        .args([
            "claims",
            "--postgres",
            &format!("postgres://postgres@127.0.0.1:{}/postgres", postgresql.port),
        ])
        .args([
            "--mysql",
            &format!("mysql://root@127.0.0.1:{}/", mariadb.port),
        ])
        .args(arguments);
    eprintln!("running: {command:?}");
    let status = command.status().context("cannot run connscope")?;
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}

/// A folder that every user may look into, removed with all that is in it.
struct Folder {
    root: Root,
    path: PathBuf,
}

impl Folder {
    fn new(root: Root) -> Result<Self> {
        let name = format!("connscope-claims-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { root, path })
    }

    /// A folder in it that belongs to a user.
    fn of(&self, user: &str) -> Result<PathBuf> {
        let path = self.path.join(user);
        let mut command = self.root.command(Path::new("/usr/bin/install"));
        to_end(
            command
                .args(["-d", "-m", "700", "-o", user, "-g", user])
                .arg(&path),
        )?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut command = self.root.command(Path::new("/bin/rm"));
        if let Err(error) = to_end(command.arg("-rf").arg(&self.path)) {
            eprintln!("cannot remove {}: {error:#}", self.path.display());
        }
    }
}

/// A server, ended when this is dropped.
struct Server {
    root: Root,
    child: Child,
    port: u16,
}

impl Server {
    fn start(root: Root, mut command: Command, port: u16) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { root, child, port };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > end {
                bail!("{command:?} does not listen");
            }
            sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is connected any more: both end in order.
        let mut command = self.root.command(Path::new("/bin/kill"));
        let _ = to_end(command.args(["-TERM", &self.child.id().to_string()]));
        let _ = self.child.wait();
    }
}

fn start_postgresql(root: Root, folder: &Folder) -> Result<Server> {
    let programs = newest_postgresql()?;
    let (home, port) = (folder.of("postgres")?, free_port()?);
    let data = home.join("data");
    let initdb = programs.join("initdb");
    let mut command = as_user(root, "postgres", &initdb, &home);
    to_end(
        command
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(&data),
    )?;
    let mut command = as_user(root, "postgres", &programs.join("postgres"), &home);
    command.arg("-D").arg(&data).args([
        "-c",
        &format!("port={port}"),
        "-c",
        "listen_addresses=127.0.0.1",
    ]);
    command.args(["-c", &format!("unix_socket_directories={}", home.display())]);
    Server::start(root, command, port)
}

fn start_mariadb(root: Root, folder: &Folder) -> Result<Server> {
    let (home, port) = (folder.of("mysql")?, free_port()?);
    let data = format!("--datadir={}", home.join("data").display());
    let install = Path::new("/usr/bin/mariadb-install-db");
    let mut command = as_user(root, "mysql", install, &home);
    to_end(command.args([
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]))?;
    let mut command = as_user(root, "mysql", Path::new("/usr/sbin/mariadbd"), &home);
    command
        .args([
            "--no-defaults",
            &data,
            "--bind-address=127.0.0.1",
            &format!("--port={port}"),
        ])
        .args([
            format!("--socket={}", home.join("socket").display()),
            format!("--pid-file={}", home.join("pid").display()),
        ]);
    Server::start(root, command, port)
}

fn newest_postgresql() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let numbered = versions.filter_map(|version| {
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        Some((number, version.path().join("bin")))
    });
    let newest = numbered
        .filter(|(_, programs)| programs.join("postgres").is_file())
        .max();
    let (_, programs) = newest.context("there is no PostgreSQL; run cargo xtask setup")?;
    Ok(programs)
}

/// A program, to be run as a user of the system.
fn as_user(root: Root, user: &str, program: &Path, folder: &Path) -> Command {
    let mut command = root.command(Path::new("/usr/bin/setpriv"));
    command
        .args([
            &format!("--reuid={user}"),
            &format!("--regid={user}"),
            "--init-groups",
            "--pdeathsig=TERM",
        ])
        .arg(program)
        .current_dir("/");
    command.env("HOME", folder);
    command
}

/// Runs a program to its end; what it says is shown only if it fails.
fn to_end(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    match output.status.success() {
        true => Ok(()),
        false => bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

/// A port that nobody has now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("there is no free port")?;
    Ok(listener.local_addr()?.port())
}
