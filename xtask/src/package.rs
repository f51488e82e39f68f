//! A Debian package of what was built: programs, manual pages, completions, dashboards and documentation. The same
//! commit and compiler give the same bytes.

use crate::host::said;
use crate::manuals::{self, PROGRAMS, Prefix};
use crate::workspace;
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `dpkg-shlibdeps` wants to read of a source package.
const SOURCE: &str = "Source: connscope\n\nPackage: connscope\nArchitecture: any\n";

/// Packs the programs in a folder; returns the package, which is made in another one.
pub(crate) fn build(programs: &Path, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot clear {}", tree.display()))?;
    }
    lay_out(programs, &tree)?;
    let (version, architecture) = (version(programs)?, architecture()?);
    write(
        &tree.join("DEBIAN/control"),
        &control(&version, &architecture, &depends(folder, &tree)?),
    )?;
    // Whatever the umask and the clone are like.
    said(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&tree))?;
    let package = folder.join(format!("connscope_{version}_{architecture}.deb"));
    let mut pack = Command::new("dpkg-deb");
    // Every Debian with a kernel that we run on reads zstd, which takes seconds where xz takes a minute.
    pack.args(["--root-owner-group", "-Zzstd", "-z9", "--build"])
        .args([&tree, &package]);
    if let Some(seconds) = time() {
        pack.env("SOURCE_DATE_EPOCH", seconds);
    }
    said(&mut pack)?;
    Ok(package)
}

/// All files at their places.
fn lay_out(programs: &Path, tree: &Path) -> Result<()> {
    let root = workspace::root();
    let (share, documents) = (tree.join("usr/share"), tree.join("usr/share/doc/connscope"));
    for folder in [&tree.join("usr/bin"), &share.join("connscope"), &documents] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for name in PROGRAMS {
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(tree.join("usr/bin").join(name));
        said(strip.arg(programs.join(name)))?;
    }
    manuals::write(programs, &share, Prefix::System)?;
    let copy = |from: &str, to: &Path| {
        let mut copy = Command::new("cp");
        said(copy.arg("-R").arg(root.join(from)).arg(to))
    };
    copy("dashboards", &share.join("connscope"))?;
    for from in ["docs", "README.md"] {
        copy(from, &documents)?;
    }
    copy("CHANGELOG.md", &documents.join("changelog"))?;
    write(&documents.join("copyright"), &copyright(&root)?)?;
    let pages = fs::read_dir(share.join("man/man1")).context("there are no manual pages")?;
    let mut files = vec![documents.join("changelog")];
    for page in pages {
        files.push(page?.path());
    }
    said(Command::new("gzip").args(["-9", "-n"]).args(files))?;
    Ok(())
}

/// The licences, in the form that Debian reads by machine.
fn copyright(root: &Path) -> Result<String> {
    let licence = |path: &str| -> Result<String> {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("no {path}"))?;
        let line = |line: &str| match line.trim().is_empty() {
            true => " .\n".to_owned(),
            false => format!(" {line}\n"),
        };
        Ok(text.trim_matches('\n').lines().map(line).collect())
    };
    Ok(format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: connscope\n\n\
         Files: *\n\
         Copyright: the authors of connscope\n\
         License: MIT or Apache-2.0\n\n\
         Files: probe-ebpf/bpf/*\n\
         Copyright: the authors of connscope\n\
         License: MIT or Apache-2.0 or GPL-2.0-only\n\n\
         License: MIT\n{}\n\
         License: Apache-2.0\n On Debian, see /usr/share/common-licenses/Apache-2.0.\n\n\
         License: GPL-2.0-only\n On Debian, see /usr/share/common-licenses/GPL-2.\n",
        licence("LICENSE-MIT")?
    ))
}

fn control(version: &str, architecture: &str, depends: &str) -> String {
    format!(
        "Package: connscope\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: the authors of connscope <connscope@localhost>\n\
         Depends: {depends}\n\
         Section: admin\n\
         Priority: optional\n\
         Description: what a connection costs in the Linux kernel\n \
         Context switches, waits for a CPU, forks, page tables and memory of each connection,\n \
         per concurrency model: on reference servers, and on a PostgreSQL or MySQL that runs.\n"
    )
}

/// What the programs themselves call their version.
fn version(programs: &Path) -> Result<String> {
    let said = said(Command::new(programs.join("connscope")).arg("--version"))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split_whitespace().nth(1);
    Ok(version.context("connscope says no version")?.to_owned())
}

fn architecture() -> Result<String> {
    let said = said(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

/// The packages whose libraries the programs are linked with, in the versions whose symbols they use.
fn depends(folder: &Path, tree: &Path) -> Result<String> {
    write(&folder.join("debian/control"), SOURCE)?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.args(["--warnings=0", "-O"]).current_dir(folder);
    for name in PROGRAMS {
        command.arg("-e").arg(tree.join("usr/bin").join(name));
    }
    let said = said(&mut command)?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let depends = said.strip_prefix("shlibs:Depends=");
    Ok(depends
        .with_context(|| format!("dpkg-shlibdeps said {said:?}"))?
        .to_owned())
}

/// What files are dated to, as <https://reproducible-builds.org> has it: the last commit where nothing else is said.
fn time() -> Option<String> {
    env::var("SOURCE_DATE_EPOCH").ok().or_else(|| {
        let mut git = Command::new("git");
        git.args(["log", "-1", "--format=%ct"])
            .current_dir(workspace::root());
        let said = said(&mut git).ok()?;
        Some(String::from_utf8_lossy(&said).trim().to_owned())
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
