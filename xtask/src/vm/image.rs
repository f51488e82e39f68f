//! The machine's only file system: a shell, the test programs and what they start, with their
//! libraries, and an init that runs the tests.

use super::plan::{Boot, Plan};
use crate::host::find_program;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INIT: &str = include_str!("init.sh");

/// The host's programs that tests start and busybox has no match for.
const TOOLS: &[&str] = &["setpriv"];

/// Makes the initramfs; returns its path. It holds `ours`, programs of this project, where the host
/// has them: Cargo has told the tests so.
pub(super) fn build(plan: &Plan, ours: &[PathBuf], folder: &Path) -> Result<PathBuf> {
    let stage = folder.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    for folder in [
        "bin", "tools", "tests", "plans", "proc", "sys", "dev", "tmp",
    ] {
        fs::create_dir_all(stage.join(folder))?;
    }
    let shell = find_program("busybox").context("this host has no busybox")?;
    fs::copy(shell, stage.join("bin/busybox"))?;
    symlink("busybox", stage.join("bin/sh"))?;
    let init = stage.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    for boot in Boot::ALL {
        fs::write(stage.join("plans").join(boot.name()), lines(plan, boot))?;
    }
    let mut libraries = BTreeSet::new();
    for (program, inside) in programs(plan, ours)? {
        let copy = stage.join(inside);
        fs::create_dir_all(copy.parent().context("a program is in a folder")?)?;
        strip(&program, &copy)?;
        libraries.extend(libraries_of(&program)?);
    }
    for library in libraries {
        let inside = stage.join(library.strip_prefix("/")?);
        fs::create_dir_all(inside.parent().context("a library is in a folder")?)?;
        fs::copy(&library, inside)?;
    }
    pack(&stage, &folder.join("initramfs"))
}

/// All programs but the shell, and where they are in the machine, seen from its root.
fn programs(plan: &Plan, ours: &[PathBuf]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut all = Vec::new();
    for tool in TOOLS {
        let path = find_program(tool).with_context(|| format!("this host has no {tool}"))?;
        all.push((path, Path::new("tools").join(tool)));
    }
    for program in ours {
        all.push((program.clone(), program.strip_prefix("/")?.to_owned()));
    }
    for test in &plan.programs {
        let inside = Path::new("tests").join(&test.name);
        all.push((test.executable.clone(), inside));
    }
    Ok(all)
}

/// What init is to run: a program and a test in each line.
fn lines(plan: &Plan, boot: Boot) -> String {
    let mut lines = String::new();
    for test in plan.to_run(boot) {
        let _ = writeln!(lines, "{} {}", test.program, test.name);
    }
    lines
}

/// Debug information is most of a program, and the machine has it all in memory.
fn strip(program: &Path, copy: &Path) -> Result<()> {
    let status = Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .args([copy, program])
        .status()
        .context("cannot run strip")?;
    match status.success() {
        true => Ok(()),
        false => bail!("cannot strip {}: {status}", program.display()),
    }
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot run ldd")?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() && !listed.contains("not found") {
        true => Ok(listed.lines().filter_map(library).collect()),
        false => bail!("{} lacks a library:\n{listed}", program.display()),
    }
}

/// The file in a line of ldd: `libz.so.1 => /lib/libz.so.1 (0x7f...)`, or the loader's path alone.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_once("=> ").map_or(line, |(_, path)| path).trim();
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    path.starts_with('/').then(|| path.into())
}

fn pack(stage: &Path, archive: &Path) -> Result<PathBuf> {
    let mut find = Command::new("find")
        .args([".", "-print0"])
        .current_dir(stage)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run find")?;
    let names = find.stdout.take().context("find has no output")?;
    let status = Command::new("cpio")
        .args([
            "--create",
            "--format=newc",
            "--owner=+0:+0",
            "--null",
            "--quiet",
        ])
        .current_dir(stage)
        .stdin(names)
        .stdout(File::create(archive)?)
        .status()
        .context("cannot run cpio")?;
    if !find.wait()?.success() || !status.success() {
        bail!("cannot make {}: {status}", archive.display());
    }
    Ok(archive.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_says() {
        let path = |line| library(line).map(|path| path.display().to_string());
        assert_eq!(path("\tlinux-vdso.so.1 (0x7f8f)"), None);
        assert_eq!(path("\tstatically linked"), None);
        assert_eq!(
            path("\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x7f)").as_deref(),
            Some("/lib/x86_64-linux-gnu/libz.so.1")
        );
        assert_eq!(
            path("\t/lib64/ld-linux-x86-64.so.2 (0x7f8f)").as_deref(),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
    }
}
