//! The server in Java: by a runtime of a newer Debian, unpacked beside the system with the C library
//! that it was built for. Nothing of it is installed, and a Java that the host has is left alone.

use super::{Built, Place};
use crate::apt::{Suite, remove_folder};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A stable suite: its Java stays what it is, but for corrections.
const SUITE: &str = "trixie";
/// The runtime, which has the compiler too, and what it is linked with.
const PACKAGES: &[&str] = &[
    "openjdk-25-jre-headless",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
];
/// Where the packages put it.
const HOME: &str = "usr/lib/jvm/java-25-openjdk-amd64";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The linker in there, under the name by which the server is to be seen in process lists.
const LINKER: &str = "connscope-target";

/// Unpacks the runtime, unless it is there.
pub(super) fn unpack(cache: &Path) -> Result<()> {
    let runtime = runtime(cache);
    if is_unpacked(&runtime) {
        return Ok(());
    }
    ensure!(
        cfg!(target_arch = "x86_64"),
        "it is unpacked for x86-64 only"
    );
    let partial = cache.join("jdk.partial");
    remove_folder(&partial)?;
    fs::create_dir_all(&partial)?;
    Suite::open(SUITE, cache)?.unpack(PACKAGES, &partial)?;
    stay_inside(&partial.join(HOME), &partial)?;
    symlink(
        format!("{LIBRARIES}/ld-linux-x86-64.so.2"),
        partial.join(LINKER),
    )?;
    // One of another version.
    remove_folder(&runtime)?;
    // Last: one that was interrupted is not taken for a whole one.
    Ok(fs::rename(&partial, &runtime)?)
}

pub(super) fn build(place: &Place) -> Result<Built> {
    let runtime = runtime(&place.cache);
    if !is_unpacked(&runtime) {
        let reason = "its Java is not unpacked; run cargo xtask setup";
        return Ok(Built::LeftOut(reason.to_owned()));
    }
    eprintln!("building the reference server virtual-threads");
    let classes = place.cache.join("classes");
    if classes.exists() {
        fs::remove_dir_all(&classes)?;
    }
    fs::create_dir_all(&classes)?;
    let mut compiler = java(&runtime);
    compiler
        .args(["-m", "jdk.compiler/com.sun.tools.javac.Main"])
        // A class for signals is no part of Java's standard, but of every Java that there is.
        .args([
            "-XDignore.symbol.file",
            "-Xlint:all,-restricted,-serial",
            "-d",
        ])
        .arg(&classes)
        .args(sources(&place.sources)?);
    run(&mut compiler)?;
    let jar = place.cache.join("virtual-threads.jar");
    let mut packer = java(&runtime);
    packer
        .args(["-m", "jdk.jartool/sun.tools.jar.Main", "--create", "--file"])
        .arg(&jar)
        .arg("-C")
        .args([&classes, Path::new(".")]);
    run(&mut packer)?;
    let launcher = fs::read_to_string(place.sources.join("launcher.sh"))?
        .replace("@RUNTIME@", &runtime.display().to_string())
        .replace("@HOME@", HOME)
        .replace("@LIBRARIES@", LIBRARIES)
        .replace("@JAR@", &jar.display().to_string());
    fs::write(&place.program, launcher)?;
    fs::set_permissions(&place.program, fs::Permissions::from_mode(0o755))?;
    Ok(Built::Done)
}

fn runtime(cache: &Path) -> PathBuf {
    cache.join("jdk")
}

/// Whether the version that is wanted is there.
fn is_unpacked(runtime: &Path) -> bool {
    runtime.join(HOME).is_dir()
}

/// What the runtime says it is; without it a server that was built is of no use.
pub(super) fn version(cache: &Path) -> String {
    let release = runtime(cache).join(HOME).join("release");
    let said = fs::read_to_string(release).unwrap_or_else(|_| "not unpacked".to_owned());
    format!("{HOME}\n{said}")
}

/// A short run of Java: no time for the second compiler.
fn java(runtime: &Path) -> Command {
    let mut command = Command::new(runtime.join(LINKER));
    command
        .arg("--library-path")
        .arg(runtime.join(LIBRARIES))
        .arg(runtime.join(HOME).join("bin/java"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "java")
        {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// Makes links in `folder` that lead to the host's files lead to those below `root`.
fn stay_inside(folder: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            stay_inside(&path, root)?;
        } else if entry.file_type()?.is_symlink()
            && let Ok(below) = fs::read_link(&path)?.strip_prefix("/")
        {
            // Relative, since the root is to be moved.
            let depth = path.strip_prefix(root)?.components().count() - 1;
            let up: PathBuf = std::iter::repeat_n("..", depth).collect();
            fs::remove_file(&path)?;
            symlink(up.join(below), &path)?;
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{command:?} failed, see above"),
    }
}
