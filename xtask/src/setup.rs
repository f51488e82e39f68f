//! Installs the system packages that are missing, after saying which and why. Nothing missing
//! costs one `dpkg-query`.

mod packages;

use crate::host::{Root, find_program};
use anyhow::{Context, Result, bail};
pub(crate) use packages::Purpose;
use packages::{PACKAGES, Package};
use std::path::Path;
use std::process::{Command, Stdio};

/// Run as root; a script, so that what it puts in place goes even if we are interrupted.
const INSTALL: &str = include_str!("setup/install.sh");

/// Leaves every package for `purpose` installed, or says what to do by hand.
pub(crate) fn install_missing(purpose: Purpose) -> Result<()> {
    let needed: Vec<_> = PACKAGES
        .iter()
        .filter(|package| package.serves(purpose))
        .collect();
    let missing = match find_program("dpkg-query") {
        Some(_) => missing(&needed, &installed(&needed)?),
        None => needed,
    };
    if missing.is_empty() {
        return Ok(());
    }
    let root = permission_to_install(&missing)?;
    announce(&missing, root);
    install(&missing, root)
}

fn permission_to_install(missing: &[&Package]) -> Result<Root> {
    if find_program("apt-get").is_none() {
        bail!(
            "this host has no apt-get; install by hand what it calls {}, then add --no-setup",
            names(missing).join(", ")
        );
    }
    match Root::find()? {
        Some(root) => Ok(root),
        None => bail!(
            "cannot install packages: this user is not root and has no sudo; \
             as root, run: apt-get install --no-install-recommends {}",
            names(missing).join(" ")
        ),
    }
}

fn announce(missing: &[&Package], root: Root) {
    let how = match root {
        Root::Already => "apt-get",
        Root::Sudo => "sudo apt-get",
    };
    let packages = if missing.len() == 1 {
        "package"
    } else {
        "packages"
    };
    eprintln!("installing {} {packages} with {how}:", missing.len());
    let width = missing
        .iter()
        .map(|package| package.name.len())
        .max()
        .unwrap_or(0);
    for package in missing {
        eprintln!("  {:width$}  {}", package.name, package.reason);
    }
}

fn install(missing: &[&Package], root: Root) -> Result<()> {
    let services: Vec<_> = missing
        .iter()
        .filter_map(|package| package.service)
        .collect();
    let status = root
        .command(Path::new("sh"))
        .args(["-c", INSTALL, "install.sh", &services.join(" ")])
        .args(names(missing))
        .stdin(Stdio::null())
        // Our own output stays the report's.
        .stdout(std::io::stderr())
        .status()
        .context("cannot run sh")?;
    match status.success() {
        true => Ok(()),
        false => bail!(
            "cannot install {}: apt-get failed, see above",
            names(missing).join(", ")
        ),
    }
}

/// What `dpkg-query` says about these packages: lines of a name and a state.
fn installed(packages: &[&Package]) -> Result<String> {
    // Fails if one of the names was never seen here; it still lists the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"])
        .args(names(packages))
        .output()
        .context("cannot run dpkg-query")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing<'a>(needed: &[&'a Package], states: &str) -> Vec<&'a Package> {
    let is_installed = |package: &Package| {
        states
            .lines()
            .any(|line| line.split_once(' ') == Some((package.name, "installed")))
    };
    let is_there = |package: &Package| package.program.is_some_and(|it| find_program(it).is_some());
    needed
        .iter()
        .copied()
        .filter(|package| !is_installed(package) && !is_there(package))
        .collect()
}

fn names<'a>(packages: &[&'a Package]) -> Vec<&'a str> {
    packages.iter().map(|package| package.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(states: &str) -> Vec<&'static str> {
        let needed: Vec<_> = PACKAGES
            .iter()
            .filter(|package| ["make", "clang"].contains(&package.name))
            .collect();
        names(&missing(&needed, states))
    }

    #[test]
    fn only_the_state_installed_counts() {
        assert!(missing_of("make installed\nclang installed\n").is_empty());
        assert_eq!(missing_of("make config-files\nclang installed\n"), ["make"]);
        assert_eq!(
            missing_of("clang half-installed\nmake installed\n"),
            ["clang"]
        );
        assert_eq!(missing_of(""), ["clang", "make"]);
    }

    #[test]
    fn the_build_needs_no_server() {
        let build: Vec<_> = PACKAGES
            .iter()
            .filter(|package| package.serves(Purpose::Build))
            .collect();
        assert!(!build.is_empty());
        assert!(build.iter().all(|package| package.service.is_none()));
        assert!(PACKAGES.iter().all(|package| package.serves(Purpose::All)));
        for purpose in [Purpose::Programs, Purpose::Tests, Purpose::VmTests] {
            assert!(build.iter().all(|package| package.serves(purpose)));
        }
    }
}
