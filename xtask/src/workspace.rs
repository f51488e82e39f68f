//! What `cargo metadata` says about the members of the workspace, reduced to what we ask.

use crate::cargo;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::env;
use std::path::PathBuf;

/// The members of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Where Cargo puts what it builds.
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `normal`, `dev` or `build`.
    pub(crate) kind: String,
}

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `bench`, ...
    pub(crate) kind: String,
}

/// The folder that holds the workspace: the one above ours.
pub(crate) fn root() -> PathBuf {
    let ours =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(ours)
        .join("..")
        .canonicalize()
        .expect("the workspace exists")
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) fn read() -> Result<Self> {
        let output = cargo::command(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata = serde_json::from_slice(&output.stdout)
            .context("cannot read the output of cargo metadata")?;
        Self::parse(&metadata).context("cargo metadata lacks a field")
    }

    /// `None` if a field is missing.
    pub(crate) fn parse(metadata: &Value) -> Option<Self> {
        Some(Self {
            packages: list(metadata, "packages", package)?,
            target_directory: text(metadata, "target_directory")?.into(),
        })
    }

    /// The names of all targets of this kind, sorted, each once.
    pub(crate) fn targets(&self, kind: &str) -> Vec<&str> {
        let all = self.packages.iter().flat_map(|package| &package.targets);
        let mut names: Vec<_> = all
            .filter(|target| target.kind == kind)
            .map(|target| target.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn package(value: &Value) -> Option<Package> {
    Some(Package {
        name: text(value, "name")?,
        manifest: text(value, "manifest_path")?.into(),
        dependencies: list(value, "dependencies", dependency)?,
        targets: list(value, "targets", target)?,
    })
}

fn dependency(value: &Value) -> Option<Dependency> {
    // A dependency of the usual kind has none.
    let kind = value.get("kind")?.as_str().unwrap_or("normal").to_owned();
    Some(Dependency {
        name: text(value, "name")?,
        kind,
    })
}

fn target(value: &Value) -> Option<Target> {
    Some(Target {
        name: text(value, "name")?,
        kind: value.get("kind")?.get(0)?.as_str()?.to_owned(),
    })
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn list<T>(value: &Value, field: &str, item: fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.get(field)?.as_array()?.iter().map(item).collect()
}
