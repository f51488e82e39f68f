//! The manual pages and the shells' completions of what was built, laid out as below `/usr/local`.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Shells, and where each looks for completions below `share`.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/connscope"),
    ("zsh", "zsh/site-functions/_connscope"),
    ("fish", "fish/vendor_completions.d/connscope.fish"),
];

/// Writes all of them beside the program, which knows its own command line.
pub(crate) fn write() -> Result<()> {
    let release = Workspace::read()?.target_directory.join("release");
    let program = release.join("connscope");
    let share = release.join("share");
    let pages = share.join("man/man1");
    say(&program, &["man".as_ref(), &pages])?;
    for (shell, path) in SHELLS {
        let path = share.join(path);
        let script = say(&program, &["completions".as_ref(), shell.as_ref()])?;
        let folder = path.parent().unwrap_or(&share);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, script))
            .with_context(|| format!("cannot write {}", path.display()))?;
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
