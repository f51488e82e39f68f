//! What this host lets us do: which programs it has, and how to run one as root.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a program is run as root here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root: run it.
    Already,
    /// Through sudo, which may ask for a password.
    Sudo,
}

impl Root {
    /// `None` if this user cannot become root.
    pub(crate) fn find() -> Result<Option<Self>> {
        if user_id()? == "0" {
            return Ok(Some(Self::Already));
        }
        Ok(find_program("sudo").map(|_| Self::Sudo))
    }

    /// An error that says what needed root if this user cannot become root.
    pub(crate) fn require(needed_for: &str) -> Result<Self> {
        match Self::find()? {
            Some(root) => Ok(root),
            None => bail!(
                "{needed_for} need root, and this user is not root and has no sudo; run as root"
            ),
        }
    }

    /// `program`, to be run as root with what a terminal program needs of our environment.
    pub(crate) fn command(self, program: &Path) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg("env");
                for name in ["PATH", "TERM", "NO_COLOR", "COLUMNS", "RUST_BACKTRACE"] {
                    if let Some(value) = env::var_os(name) {
                        command.arg(assignment(name, value));
                    }
                }
                command.arg(program);
                command
            }
        }
    }

    /// What Cargo is to put in front of a test or benchmark so that it runs as root. Keeps the
    /// whole environment, in which Cargo tells a test about its package; PATH apart, because sudo
    /// would replace it.
    pub(crate) fn runner(self) -> Result<Vec<String>> {
        if self == Self::Already {
            return Ok(Vec::new());
        }
        let path = env::var("PATH").context("cannot pass PATH through sudo")?;
        Ok(["sudo", "-E", "env", &format!("PATH={path}")]
            .map(String::from)
            .to_vec())
    }
}

/// Whether a program of this name is in PATH, and where.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What a program says on stdout, run to its end.
pub(crate) fn said(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => bail!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

fn user_id() -> Result<String> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("cannot run id -u")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn assignment(name: &str, value: OsString) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_passes_the_path_on() {
        let command = Root::Sudo.command(Path::new("/x/connscope"));
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        assert_eq!(command.get_program(), "sudo");
        assert_eq!(args.first().map(AsRef::as_ref), Some("env"));
        assert!(args.iter().any(|arg| arg.starts_with("PATH=")), "{args:?}");
        assert_eq!(args.last().map(AsRef::as_ref), Some("/x/connscope"));
    }

    #[test]
    fn root_needs_nothing_in_front() {
        assert_eq!(Root::Already.command(Path::new("/x")).get_program(), "/x");
        assert_eq!(Root::Already.runner().unwrap(), Vec::<String>::new());
    }
}
