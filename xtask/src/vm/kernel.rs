//! Which kernels can be booted, and how one is fetched from Debian.

use crate::apt::{Description, Suite, remove_folder};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

/// The suites to look in for a kernel, in this order. `bookworm` has 6.1, the oldest kernel
/// that the probes support.
const SUITES: &[&str] = &[
    "bookworm",
    "bookworm-backports",
    "trixie-backports",
    "trixie",
    "unstable",
];

/// Where new kernels arrive first; release candidates are elsewhere.
const NEWEST: &[&str] = &["trixie-backports", "unstable"];

/// Depends on the suite's kernel for virtual machines. It has few drivers, which makes it small,
/// and every feature of the kernels for other machines that the probes need.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel, as a user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The newest one packaged.
    Newest,
    /// Of this series, such as 6.12.
    Series(u32, u32),
}

impl Name {
    /// The kernels for which nobody asked by name: both ends of what is supported.
    pub(crate) const DEFAULT: [&str; 2] = ["6.1", "newest"];

    fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Newest => NEWEST,
            Self::Series(..) => SUITES,
        }
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let series = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self::Series(major.parse().ok()?, minor.parse().ok()?))
        };
        series().ok_or("not a kernel: give `newest` or a series, such as 6.12")
    }
}

/// A kernel to boot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// As Debian has it.
    pub(super) version: String,
    pub(super) image: PathBuf,
}

impl Kernel {
    /// Whether its series comes before this one.
    pub(super) fn is_before(&self, (major, minor): (u32, u32)) -> bool {
        numbers(&self.version) < vec![major, minor]
    }
}

/// Fetches the kernels of these names, each once, unless an earlier run did.
pub(super) fn obtain(names: &[Name], folder: &Path) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for name in names {
        let kernel = Offer::best(*name, folder)?.obtain(folder)?;
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    Ok(kernels)
}

/// A kernel that a suite has.
struct Offer {
    suite: Suite,
    /// The package that holds the kernel.
    package: String,
    version: String,
}

impl Offer {
    /// The newest one that the suites have by this name; of a series, the first.
    fn best(name: Name, folder: &Path) -> Result<Self> {
        let mut best: Option<Self> = None;
        for suite in name.suites() {
            let Some(offer) = Self::of(Suite::open(suite, folder)?)? else {
                continue;
            };
            match name {
                Name::Series(..) if offer.series()? == name => return Ok(offer),
                Name::Series(..) => {}
                Name::Newest => {
                    let newest = best.as_ref().map(|best| numbers(&best.version));
                    if newest.is_none_or(|newest| numbers(&offer.version) > newest) {
                        best = Some(offer);
                    }
                }
            }
        }
        best.with_context(|| {
            let suites = name.suites().join(", ");
            format!("no such kernel in Debian's suites {suites}: {name:?}")
        })
    }

    fn of(suite: Suite) -> Result<Option<Self>> {
        let Some(newest) = suite.describe(PACKAGE)? else {
            return Ok(None);
        };
        let image = named(&newest, "linux-image-")?;
        let description = suite
            .describe(image)?
            .context("a package depends on none")?;
        // Until 6.x the package held the kernel itself.
        let package = description.dependency("linux-binary-").unwrap_or(image);
        Ok(Some(Self {
            package: package.to_owned(),
            version: newest.version,
            suite,
        }))
    }

    fn series(&self) -> Result<Name> {
        match numbers(&self.version)[..] {
            [major, minor, ..] => Ok(Name::Series(major, minor)),
            _ => bail!("{} is not the version of a kernel", self.version),
        }
    }

    fn obtain(self, folder: &Path) -> Result<Kernel> {
        let home = folder.join("kernels").join(&self.version);
        let kernel = Kernel {
            version: self.version,
            image: home.join("vmlinuz"),
        };
        if is_intact(&home)? {
            return Ok(kernel);
        }
        let unpacked = home.join("unpacked");
        remove_folder(&home)?;
        fs::create_dir_all(&unpacked)?;
        self.suite.unpack(&[&self.package], &unpacked)?;
        fs::rename(
            find(&unpacked, |name| name.starts_with("vmlinuz"))?,
            &kernel.image,
        )?;
        remove_folder(&unpacked)?;
        // Last: a run that was interrupted leaves no sums, and the next one starts anew.
        let sums = fs::File::create(home.join("sums"))?;
        run(Command::new("sha256sum")
            .arg("vmlinuz")
            .current_dir(&home)
            .stdout(sums))?;
        Ok(kernel)
    }
}

fn named<'a>(package: &'a Description, start: &str) -> Result<&'a str> {
    let name = package.dependency(start);
    name.with_context(|| format!("{PACKAGE} {} depends on no {start}*", package.version))
}

/// The numbers at the start of a version: 7, 3 and 4 of `7.3.4-1~bpo13+1`.
fn numbers(version: &str) -> Vec<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit() && c != '.');
    let upstream = digits.into_iter().next().unwrap_or_default();
    let numbers = upstream.split('.');
    numbers.map_while(|number| number.parse().ok()).collect()
}

/// Whether an earlier run fetched this kernel, and it is still as it was.
fn is_intact(home: &Path) -> Result<bool> {
    if !home.join("sums").exists() {
        return Ok(false);
    }
    let check = Command::new("sha256sum")
        .args(["--check", "--status", "sums"])
        .current_dir(home)
        .status();
    Ok(check.context("cannot run sha256sum")?.success())
}

/// The file below `folder` whose name is wanted.
fn find(folder: &Path, wanted: fn(&str) -> bool) -> Result<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if wanted(&entry.file_name().to_string_lossy()) {
                return Ok(entry.path());
            }
        }
    }
    bail!("{} lacks the file that was looked for", folder.display())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{program} failed: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_names() {
        assert_eq!("newest".parse(), Ok(Name::Newest));
        assert_eq!("6.12".parse(), Ok(Name::Series(6, 12)));
        for wrong in ["", "6", "6.", "oldest", "6.1.2"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert!(
            Name::DEFAULT
                .iter()
                .all(|name| name.parse::<Name>().is_ok())
        );
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(numbers("7.3.4-1~bpo13+1"), [7, 3, 4]);
        assert!(numbers("6.12.107-1") > numbers("6.12.95-1~bpo12+1"));
        assert!(numbers("7.2.13-1") > numbers("6.12.107-1"));
    }
}
