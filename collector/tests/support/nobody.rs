//! Runs connscope as a user without rights.
#![allow(dead_code, unreachable_pub)]

use super::program::{CONNSCOPE, target};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// What `setpriv` is told to let the two capabilities through.
pub const TWO_CAPABILITIES: &str = "--inh-caps=+bpf,+perfmon --ambient-caps=+bpf,+perfmon";

/// Copies of the programs where everybody may run them, and a command that runs connscope as
/// `nobody`, with what `setpriv` is told beyond that.
pub fn as_nobody(setpriv: &str, words: &str) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    for program in [Path::new(CONNSCOPE), &target()] {
        let name = program.file_name().expect("a name");
        fs::copy(program, folder.path().join(name)).expect("room for a copy");
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(setpriv.split_whitespace())
        .arg(folder.path().join("connscope"))
        .args(words.split_whitespace());
    (folder, command)
}
