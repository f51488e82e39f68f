//! A reference server that we start: in a cgroup and a process group of its own, and gone when we
//! are.

use super::bound::bind;
use super::cgroup::{Cgroup, Hierarchy};
use super::models::Model;
use crate::{
    errors::in_words,
    interrupt::Interrupt,
    lines::{Lines, Silence},
    user_space::Source,
};
use anyhow::{Context, Result, anyhow, bail};
use std::{
    fs::OpenOptions,
    io::Write,
    net::SocketAddr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to drain and exit when asked to; it says 2 s itself.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How much later than its sockets a dying process may be gone.
const DYING: Duration = Duration::from_millis(300);

/// The model of the server that is put behind one that forwards requests to another.
const BACKEND_MODEL: &str = "event-loop";

/// The `connscope-target` binary.
#[derive(Clone, Debug)]
pub struct TargetBinary {
    path: PathBuf,
    /// The models it serves, once it was asked.
    models: OnceLock<Vec<Model>>,
}

impl TargetBinary {
    /// The one given, or the one beside this program, or the one in `PATH`.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            if !path.is_file() {
                bail!(
                    "cannot find {}: no such file; give the connscope-target binary with --target-binary",
                    path.display()
                );
            }
            // A bare name would be looked for in PATH.
            return Ok(Self::at(std::path::absolute(path)?));
        }
        let beside = std::env::current_exe()
            .ok()
            .and_then(|path| Some(path.parent()?.to_owned()));
        let in_path = std::env::var_os("PATH").unwrap_or_default();
        let folders = beside.into_iter().chain(std::env::split_paths(&in_path));
        let found = folders
            .map(|folder| folder.join("connscope-target"))
            .find(|path| path.is_file());
        found.map(Self::at).ok_or_else(|| {
            anyhow!("cannot find connscope-target beside this program or in PATH; build it, or give it with --target-binary")
        })
    }

    fn at(path: PathBuf) -> Self {
        Self {
            path,
            models: OnceLock::new(),
        }
    }

    /// The names of the concurrency models it serves, in its own order.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn models(&self) -> Result<Vec<String>> {
        let models = self.known()?.iter();
        Ok(models.map(|model| model.name.clone()).collect())
    }

    /// The model of that name.
    fn model(&self, name: &str) -> Result<&Model> {
        let found = self.known()?.iter().find(|model| model.name == name);
        found.ok_or_else(|| anyhow!("{} does not serve {name}", self.path.display()))
    }

    /// All of them: it is asked once.
    fn known(&self) -> Result<&[Model]> {
        if let Some(models) = self.models.get() {
            return Ok(models);
        }
        let models = self.list(&[])?;
        Ok(self.models.get_or_init(|| models))
    }

    /// Whether it has that model but not the model's own program.
    pub fn lacks(&self, model: &str) -> bool {
        let lacking = self.list(&["--not-built"]).unwrap_or_default();
        lacking.iter().any(|lacking| lacking.name == model)
    }

    fn list(&self, options: &[&str]) -> Result<Vec<Model>> {
        let mut command = self.command();
        command.args(["models", "--format", "json"]).args(options);
        let output = command
            .output()
            .map_err(|error| anyhow!("cannot run {}: {}", self.path.display(), in_words(&error)))?;
        if !output.status.success() {
            bail!(
                "{} models: {}",
                self.path.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        match Model::list(&output.stdout) {
            Ok(models) if !models.is_empty() => Ok(models),
            _ => bail!(
                "cannot use {}: it serves no models; give the connscope-target binary with --target-binary",
                self.path.display()
            ),
        }
    }

    /// A command of the program that serves a model by itself, beside it, if there is one.
    pub fn command_of(&self, model: &str) -> Option<Command> {
        let name = format!("{}-{model}", self.path.file_name()?.to_str()?);
        let path = self.path.with_file_name(name);
        path.is_file().then(|| {
            let mut command = Command::new(path);
            bind(&mut command);
            command
        })
    }

    /// A command of it that cannot outlive us, and that Ctrl-C at our terminal does not reach.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        bind(&mut command);
        command
    }
}

/// A running reference server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Lines,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its memory account, where the host has one. Behind the child: dropped after it.
    pub cgroup: Option<Cgroup>,
    /// Where to learn what its scheduler in user space does, if it has one.
    pub user_space: Option<Source>,
    /// The server that it forwards requests to, if it does: not watched, and in no cgroup of ours.
    _backend: Option<Box<Server>>,
}

impl Server {
    /// Starts a model, with further options, and waits until it listens; before it the server that it
    /// forwards to, if any.
    ///
    /// # Errors
    /// If it does not start, with what it said; if it is not ready in 20 s; if a signal comes.
    pub fn start(
        binary: &TargetBinary,
        model: &str,
        options: &[&str],
        hierarchy: Option<&Hierarchy>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let model = binary.model(model)?;
        let behind = match model.needs_backend() {
            true => {
                let backend = binary.model(BACKEND_MODEL)?;
                Some(Self::start_one(
                    binary, backend, options, None, None, interrupt,
                )?)
            }
            false => None,
        };
        Self::start_one(binary, model, options, behind, hierarchy, interrupt)
    }

    /// The same of a model that forwards requests, before a server that was started already.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_before(
        binary: &TargetBinary,
        model: &str,
        options: &[&str],
        behind: Self,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let model = binary.model(model)?;
        Self::start_one(binary, model, options, Some(behind), None, interrupt)
    }

    fn start_one(
        binary: &TargetBinary,
        model: &Model,
        options: &[&str],
        backend: Option<Self>,
        hierarchy: Option<&Hierarchy>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let name = model.name.as_str();
        let cgroup = hierarchy
            .map(|hierarchy| hierarchy.create(name))
            .transpose()?;
        let mut command = binary.command();
        command
            .args(["serve", "--model", name, "--listen", "127.0.0.1:0"])
            .args(options);
        let user_space = published(model, &mut command);
        if let Some(backend) = &backend {
            command.args(["--backend", &backend.address.to_string()]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cgroup) = &cgroup {
            let path = cgroup.processes_file();
            let file = OpenOptions::new().write(true).open(&path);
            let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
            // SAFETY: between fork and exec, only a write to an open file.
            unsafe { command.pre_exec(move || file.write_all(b"0")) };
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let lines = Lines::of(child.stdout.take().ok_or_else(|| anyhow!("no stdout"))?)?;
        let mut server = Self {
            child,
            lines,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            cgroup,
            user_space,
            _backend: backend.map(Box::new),
        };
        server.address = server.wait_until_listening(name, interrupt)?;
        Ok(server)
    }

    fn wait_until_listening(&mut self, model: &str, interrupt: &Interrupt) -> Result<SocketAddr> {
        let line = match self.lines.next(START_LIMIT, interrupt, || None) {
            Ok(line) => line,
            Err(Silence::Ended) => bail!("{model} did not start: {}", self.last_words()),
            Err(silence) => bail!("{model} did not start: {silence}"),
        };
        let address = line
            .strip_prefix("listening on ")
            .and_then(|address| address.parse().ok());
        address.ok_or_else(|| anyhow!("{model} said {line:?} where it should say where it listens"))
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the server {}", how_it_ended(status)))
    }

    /// The same, once its clients have seen it fail: it may be about to end.
    pub fn ends_now(&mut self) -> Option<String> {
        let end = Instant::now() + DYING;
        loop {
            match self.ended() {
                None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
                ended => return ended,
            }
        }
    }

    fn last_words(&mut self) -> String {
        let status = self
            .child
            .wait()
            .map_or_else(|error| error.to_string(), how_it_ended);
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            let _ = std::io::Read::read_to_string(stderr, &mut said);
        }
        match said.trim() {
            "" => format!("it {status}"),
            said => said.trim_start_matches("connscope-target: ").to_owned(),
        }
    }
}

/// Where what the model does in user space will be found, if it schedules tasks there. One that counts
/// gets a file for it.
fn published(model: &Model, command: &mut Command) -> Option<Source> {
    if !model.counts_switches() {
        return model.uncounted_switches.clone().map(Source::Nowhere);
    }
    let source = Source::new();
    if let Some(path) = source.hand_to(command) {
        command.args(["--counters", &path]);
    }
    Some(source)
}

impl Drop for Server {
    /// Asks it to drain, and ends it if it does not.
    fn drop(&mut self) {
        stop(&mut self.child, STOP_LIMIT);
    }
}

/// Asks a child of ours to end, waits, and kills it if it does not.
pub fn stop(child: &mut Child, limit: Duration) {
    let end = Instant::now() + limit;
    if let Ok(None) = child.try_wait() {
        if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// In words: `exited with status 1`, `was killed by signal 9`.
pub fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
