//! The manual pages and the shells' completions of what was built, laid out as below `/usr/local`.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The programs that know their own command line.
const PROGRAMS: [&str; 2] = ["connscope", "connscope-target"];

/// Shells, and where each looks for the completions of a program below `share`: what comes before its name, and
/// after it.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "bash-completion/completions/", ""),
    ("zsh", "zsh/site-functions/_", ""),
    ("fish", "fish/vendor_completions.d/", ".fish"),
];

/// Writes all of them beside the programs.
pub(crate) fn write() -> Result<()> {
    let release = Workspace::read()?.target_directory.join("release");
    let share = release.join("share");
    let pages = share.join("man/man1");
    for name in PROGRAMS {
        let program = release.join(name);
        say(&program, &["man".as_ref(), &pages])?;
        for (shell, before, after) in SHELLS {
            let path = share.join(format!("{before}{name}{after}"));
            let script = say(&program, &["completions".as_ref(), shell.as_ref()])?;
            let folder = path.parent().unwrap_or(&share);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, script))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    eprintln!("manual pages and completions are in {}", share.display());
    Ok(())
}

/// What the program says on stdout.
fn say(program: &Path, words: &[&Path]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(words)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => bail!(
            "{} failed: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}
