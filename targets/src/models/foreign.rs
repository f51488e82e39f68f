//! Models of other languages' runtimes: programs of their own beside this one, which it becomes. They
//! keep its pid, cgroup, limits and options, and take over the listening socket.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use super::Model;
use crate::errors::in_words;
use crate::serve::Server;

/// Go.
pub(crate) const GOROUTINES: Model = Model {
    name: "goroutines",
    about: "a goroutine for each connection, on the scheduler of the Go runtime",
    options: &[],
    serve: |server| become_program(&server, GOROUTINES.name),
};

/// Java.
pub(crate) const VIRTUAL_THREADS: Model = Model {
    name: "virtual-threads",
    about: "a virtual thread for each connection, on the scheduler of the Java runtime",
    options: &[],
    serve: |server| become_program(&server, VIRTUAL_THREADS.name),
};

/// The models served by programs of their own, and why nobody can count what their runtimes switch in
/// user space.
const FOREIGN: [(&str, &str); 2] = [
    (
        GOROUTINES.name,
        "the Go runtime keeps no count of its switches between goroutines; what is seen of it is its \
         threads",
    ),
    (
        VIRTUAL_THREADS.name,
        "the Java runtime keeps no count of its switches between virtual threads; what is seen of it \
         is its threads",
    ),
];

/// Whether this model is served by a program of its own.
pub(crate) fn is_foreign(model: &str) -> bool {
    uncounted_switches(model).is_some()
}

/// Why nobody can count what this model switches in user space, if it does that uncounted.
pub(crate) fn uncounted_switches(model: &str) -> Option<&'static str> {
    let (_, why) = FOREIGN.iter().find(|(name, _)| *name == model)?;
    Some(why)
}

/// Whether this model can be served here: its program, if it has one of its own, was built.
pub(crate) fn can_serve(model: &str) -> bool {
    !is_foreign(model) || program(model).is_ok_and(|program| program.is_file())
}

/// Replaces this process by the model's program; comes back only with an error.
fn become_program(server: &Server, model: &str) -> Result<()> {
    let program = program(model)?;
    if !program.is_file() {
        bail!(
            "cannot serve {model}: it was not built: there is no {}; build it by: cargo xtask build",
            program.display()
        );
    }
    // Not closed on exec, unlike the listener's own.
    rustix::stdio::dup2_stdin(&server.listener).context("cannot hand the listener on")?;
    let mut command = Command::new(&program);
    command
        .args(["--server-version", env!("CARGO_PKG_VERSION")])
        .args(["--max-connections", &server.max_connections.to_string()])
        .args(["--shared-state", &server.shared_state_bytes.to_string()])
        .args(["--stack-size", &server.stack_bytes.to_string()])
        .args(["--resident", &server.resident_bytes.to_string()]);
    if server.allow_crash {
        command.arg("--allow-crash");
    }
    obey_signals();
    let error = in_words(command.exec());
    Err(anyhow!("cannot run {}: {error}", program.display()))
}

/// Signals that ask to end do so, though a shell that runs this program in the background has them
/// ignored: the runtimes leave it at that, while our servers catch them.
fn obey_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Where the model's program is, if it was built: beside this one.
fn program(model: &str) -> Result<PathBuf> {
    let ours = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(ours.with_file_name(format!("connscope-target-{model}")))
}
