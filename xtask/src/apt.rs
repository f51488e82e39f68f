//! Reads Debian's archive through apt, with a state of our own: the suites that packages are taken from
//! are not the host's, and nothing of them may be installed there by mistake.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Signs every suite of Debian; comes with the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the host's own sources name no mirror of Debian.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// Lists younger than this are not fetched again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// One suite of Debian, seen through lists of our own.
pub(crate) struct Suite {
    name: &'static str,
    folder: PathBuf,
}

impl Suite {
    /// Brings the lists up to date. With old lists at hand, a mirror out of reach is no error.
    pub(crate) fn open(name: &'static str, folder: &Path) -> Result<Self> {
        let suite = Self {
            name,
            folder: folder.join("apt").join(name),
        };
        let stamp = suite.folder.join("updated");
        if is_fresh(&stamp) {
            return Ok(suite);
        }
        suite.prepare()?;
        eprintln!("reading the package lists of Debian {name}");
        let updated = suite.apt("apt-get").args(["--quiet", "update"]).output()?;
        match updated.status.success() {
            true => fs::write(&stamp, "")?,
            false if stamp.exists() => eprintln!("{}; going on with old lists", said(&updated)),
            false => bail!("cannot read the lists of Debian {name}: {}", said(&updated)),
        }
        Ok(suite)
    }

    /// What the lists say of a package; `None` if they do not know it.
    pub(crate) fn describe(&self, package: &str) -> Result<Option<Description>> {
        let output = self
            .apt("apt-cache")
            .args(["--quiet", "--no-all-versions", "show", package])
            .output()
            .context("cannot run apt-cache")?;
        Ok(Description::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// What apt would install for a package on a machine that has nothing, recommendations left out: the
    /// package itself too.
    pub(crate) fn needs(&self, package: &str) -> Result<Vec<String>> {
        let output = self
            .apt("apt-get")
            .args(["--quiet", "--simulate", "--no-install-recommends"])
            .args(["install", package])
            .output()
            .context("cannot run apt-get")?;
        match output.status.success() {
            true => Ok(to_install(&String::from_utf8_lossy(&output.stdout))),
            false => bail!("cannot tell what {package} needs: {}", said(&output)),
        }
    }

    /// Downloads packages and unpacks them into `folder`, which is there; apt checks them against the
    /// signed lists. Nothing is installed, and no script of theirs is run.
    pub(crate) fn unpack(&self, packages: &[&str], folder: &Path) -> Result<()> {
        let archives = folder.with_extension("archives");
        remove_folder(&archives)?;
        fs::create_dir_all(&archives)?;
        let named = match packages {
            [package] => (*package).to_owned(),
            several => format!("{} packages", several.len()),
        };
        eprintln!("downloading {named} from Debian {}", self.name);
        let output = self
            .apt("apt-get")
            .args(["--quiet", "download"])
            .args(packages)
            .current_dir(&archives)
            .output()
            .context("cannot run apt-get")?;
        if !output.status.success() {
            bail!("cannot download {named}: {}", said(&output));
        }
        for archive in fs::read_dir(&archives)? {
            let archive = archive?.path();
            let status = Command::new("dpkg-deb")
                .arg("--extract")
                .args([&archive, folder])
                .status()
                .context("cannot run dpkg-deb")?;
            ensure!(status.success(), "cannot unpack {}", archive.display());
        }
        remove_folder(&archives)
    }

    fn prepare(&self) -> Result<()> {
        let make = |folder: &str| fs::create_dir_all(self.folder.join(folder));
        make("lists/partial")?;
        make("cache/archives/partial")?;
        fs::write(self.folder.join("status"), "")?;
        let source = format!(
            "deb [arch=amd64 signed-by={KEYRING}] {} {} main\n",
            mirror(),
            self.name
        );
        Ok(fs::write(self.folder.join("sources.list"), source)?)
    }

    /// An apt program that sees this suite and nothing of the host but its configuration, in
    /// which a proxy may be set.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folders = [
            ("Dir::State", ""),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ];
        for (option, name) in folders {
            let path = self.folder.join(name);
            command
                .arg("-o")
                .arg(format!("{option}={}", path.display()));
        }
        let settings = [
            "Dir::Etc::sourceparts=/dev/null",
            "Dir::Etc::preferences=/dev/null",
            "Dir::Etc::preferencesparts=/dev/null",
            "APT::Architecture=amd64",
            "APT::Architectures=amd64",
            "APT::Sandbox::User=root", // else it complains that its own user cannot write here
            "Acquire::Languages=none",
        ];
        for setting in settings {
            command.args(["-o", setting]);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }
}

/// What apt's lists say of one version of a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) version: String,
    depends: Vec<String>,
}

impl Description {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let depends = field("Depends").unwrap_or_default();
        Some(Self {
            version: field("Version")?.to_owned(),
            depends: depends
                .split([',', '|'])
                .filter_map(|it| it.split_whitespace().next())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The dependency whose name starts with this.
    pub(crate) fn dependency(&self, start: &str) -> Option<&str> {
        let mut names = self.depends.iter();
        Some(names.find(|name| name.starts_with(start))?.as_str())
    }
}

/// The names in what apt says it would do: lines like `Inst libaio1t64 (0.3.113-10 Debian:unstable [amd64])`.
fn to_install(simulated: &str) -> Vec<String> {
    let lines = simulated.lines();
    let names = lines.filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Leaves no folder of that name.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display())),
        false => Ok(()),
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let age = || stamp.metadata().ok()?.modified().ok()?.elapsed().ok();
    age().is_some_and(|age| age < FRESH)
}

/// The mirror that the host's own sources name.
fn mirror() -> String {
    let listed = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"])
        .arg("Created-By: Packages")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let mirror = listed
        .lines()
        .find_map(|line| line.strip_prefix("Debian Debian "));
    mirror.unwrap_or(DEFAULT_MIRROR).to_owned()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.trim()
        .lines()
        .last()
        .unwrap_or("no reason given")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read() {
        let text = "Package: linux-image-7.3.4-cloud-amd64\nVersion: 7.3.4-1~bpo13+1\n\
                    Pre-Depends: linux-base (>= 4.17~)\n\
                    Depends: dracut | initramfs-tools (>= 0.1), linux-binary-7.3.4 (= 7.3.4-1)\n";
        let description = Description::parse(text).unwrap();
        assert_eq!(description.version, "7.3.4-1~bpo13+1");
        let expected = ["dracut", "initramfs-tools", "linux-binary-7.3.4"];
        assert_eq!(description.depends, expected);
        assert_eq!(
            description.dependency("linux-binary-"),
            Some("linux-binary-7.3.4")
        );
        assert_eq!(description.dependency("linux-image-"), None);
        assert_eq!(Description::parse("N: Unable to locate package\n"), None);
    }

    #[test]
    fn what_would_be_installed_is_read() {
        let text = "Reading package lists...\n\
                    Inst gcc-16-base (16.2.0-4 Debian:unstable [amd64])\n\
                    Inst mysql-server-core (9.7.4-2 Debian:unstable [amd64])\n\
                    Conf gcc-16-base (16.2.0-4 Debian:unstable [amd64])\n";
        assert_eq!(to_install(text), ["gcc-16-base", "mysql-server-core"]);
        assert_eq!(to_install(""), Vec::<String>::new());
    }
}
