//! The manual pages and the shells' completions of what was built, laid out as below `/usr/local` or `/usr`.

use crate::host;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The programs that know their own command line.
pub(crate) const PROGRAMS: [&str; 2] = ["connscope", "connscope-target"];

/// Where a shell looks for the completions of a program, below `share`: what comes before its name, and after it.
type Place = (&'static str, &'static str);

/// Shells, with their places below `/usr/local` and below `/usr`, which differ in Debian's zsh.
const SHELLS: [(&str, [Place; 2]); 3] = [
    ("bash", [("bash-completion/completions/", ""); 2]),
    (
        "zsh",
        [
            ("zsh/site-functions/_", ""),
            ("zsh/vendor-completions/_", ""),
        ],
    ),
    ("fish", [("fish/vendor_completions.d/", ".fish"); 2]),
];

/// What `share` is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// `/usr/local`, which is the administrator's.
    Local,
    /// `/usr`, which is the packages'.
    System,
}

/// Writes all that the programs in a folder say of themselves below `share`.
pub(crate) fn write(programs: &Path, share: &Path, prefix: Prefix) -> Result<()> {
    let pages = share.join("man/man1");
    for name in PROGRAMS {
        let program = programs.join(name);
        say(&program, &["man".as_ref(), &pages])?;
        for (shell, places) in SHELLS {
            let (before, after) = places[usize::from(prefix == Prefix::System)];
            let path = share.join(format!("{before}{name}{after}"));
            let script = say(&program, &["completions".as_ref(), shell.as_ref()])?;
            let folder = path.parent().unwrap_or(share);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, script))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// What the program says on stdout.
fn say(program: &Path, words: &[&Path]) -> Result<Vec<u8>> {
    host::said(Command::new(program).args(words))
}
