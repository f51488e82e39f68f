//! Takes a package from npm's registry: a version that is named, with the contents that it is known by.
//! Nothing of it is installed, and no script of it is run.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// One version of a package.
pub(crate) struct Package {
    /// As npm is asked for it.
    pub(crate) name: &'static str,
    /// The SHA-512 of its archive, as npm writes it.
    pub(crate) integrity: &'static str,
}

impl Package {
    /// Downloads it and unpacks what it has below `part` into `folder`, which is there.
    pub(crate) fn unpack(&self, part: &str, folder: &Path) -> Result<()> {
        let archives = folder.with_extension("npm");
        crate::apt::remove_folder(&archives)?;
        std::fs::create_dir_all(&archives)?;
        eprintln!("downloading {} from npm", self.name);
        let output = Command::new("npm")
            .args(["pack", "--json", "--ignore-scripts", self.name])
            .current_dir(&archives)
            .output()
            .context("cannot run npm")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("cannot download {}: {}", self.name, said.trim());
        }
        let archive = archives.join(self.checked(&output.stdout)?);
        let inside = format!("package/{part}");
        let status = Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(folder)
            .args(["--no-same-owner", "--strip-components"])
            .arg(Path::new(&inside).components().count().to_string())
            .arg(&inside)
            .status()
            .context("cannot run tar")?;
        ensure!(status.success(), "cannot unpack {}", archive.display());
        crate::apt::remove_folder(&archives)
    }

    /// The name of the archive, from what npm says of it, if its contents are those that are wanted.
    fn checked(&self, said: &[u8]) -> Result<String> {
        let said: Value = serde_json::from_slice(said).context("npm says what is no JSON")?;
        let word = |name: &str| {
            let word = said[0][name].as_str().map(str::to_owned);
            word.with_context(|| format!("npm says no {name} of {}", self.name))
        };
        let found = word("integrity")?;
        ensure!(
            found == self.integrity,
            "{} is not what it was: {found} instead of {}",
            self.name,
            self.integrity
        );
        word("filename")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_contents_are_refused() {
        let package = Package {
            name: "it@1.0.0",
            integrity: "sha512-aa==",
        };
        let checked = |said: &str| package.checked(said.as_bytes());
        let right = r#"[{"filename": "it-1.0.0.tgz", "integrity": "sha512-aa=="}]"#;
        assert_eq!(checked(right).unwrap(), "it-1.0.0.tgz");
        let refused = checked(&right.replace("aa", "ab")).unwrap_err();
        assert!(refused.to_string().contains("is not what it was"));
        assert!(checked("[]").is_err() && checked("").is_err());
    }
}
