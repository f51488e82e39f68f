//! The server in Go: by the toolchain in PATH, without modules of others and without a C compiler.

use super::{Built, Place};
use crate::host::find_program;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What the sources ask for (`go.mod`): Debian 12 has it.
const OLDEST: (u32, u32) = (1, 19);

pub(super) fn build(place: &Place) -> Result<Built> {
    let left_out = |reason: String| {
        Ok(Built::LeftOut(format!(
            "{reason}; install Go {}.{} or newer (Debian: golang-go), or run cargo xtask setup",
            OLDEST.0, OLDEST.1
        )))
    };
    let Some(go) = find_program("go") else {
        return left_out("there is no go in PATH".to_owned());
    };
    let version = version_of(&go)?;
    if parse(&version).is_none_or(|version| version < OLDEST) {
        return left_out(format!("{} is {:?}", go.display(), version));
    }
    eprintln!("building the reference server goroutines");
    let status = Command::new(&go)
        .current_dir(&place.sources)
        .args(["build", "-trimpath", "-buildvcs=false", "-o"])
        .args([place.program.as_os_str(), ".".as_ref()])
        .env("GOCACHE", &place.cache)
        .env("GOENV", "off")
        .env("GOFLAGS", "")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .status()
        .with_context(|| format!("cannot run {}", go.display()))?;
    match status.success() {
        true => Ok(Built::Done),
        false => bail!("go build failed, see above"),
    }
}

/// What the toolchain in PATH says it is, if there is one.
pub(super) fn version() -> Option<String> {
    version_of(&find_program("go")?).ok()
}

fn version_of(go: &Path) -> Result<String> {
    let output = Command::new(go)
        .arg("version")
        // Not that of a newer one which it would fetch.
        .env("GOTOOLCHAIN", "local")
        .output()
        .with_context(|| format!("cannot run {}", go.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The version in what `go version` says: `go version go1.19.8 linux/amd64`.
fn parse(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said
        .split_whitespace()
        .nth(2)?
        .strip_prefix("go")?
        .split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    // `1.22rc1` is as good as 1.22 for us.
    let digits = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse("go version go1.19.8 linux/amd64\n"), Some((1, 19)));
        assert_eq!(parse("go version go1.22rc1 linux/amd64"), Some((1, 22)));
        assert_eq!(parse("go version devel go1.22-abc linux/amd64"), None);
        assert_eq!(parse(""), None);
    }
}
