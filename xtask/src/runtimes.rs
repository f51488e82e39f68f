//! The reference servers of other languages' runtimes: built where their toolchain is, beside
//! `connscope-target`, which becomes them. What is up to date costs a look at its files.

mod go;
mod java;

use crate::workspace::{self, Workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One such server.
struct Server {
    /// Its model.
    name: &'static str,
    /// Where its sources are, below `targets/runtimes`.
    folder: &'static str,
    /// Puts the toolchain where it is not installed into the folder that is kept between builds.
    unpack: fn(&Path) -> Result<()>,
    build: fn(&Place) -> Result<Built>,
}

const SERVERS: &[Server] = &[
    Server {
        name: "goroutines",
        folder: "go",
        unpack: |_| Ok(()),
        build: go::build,
    },
    Server {
        name: "virtual-threads",
        folder: "java",
        unpack: java::unpack,
        build: java::build,
    },
];

/// Where a server is built.
struct Place {
    sources: PathBuf,
    /// What is to be made: a program that takes the options of `connscope_target`'s models.
    program: PathBuf,
    /// For what the toolchain keeps between builds.
    cache: PathBuf,
}

/// What became of a build that did not fail.
enum Built {
    Done,
    /// The toolchain is not here: why, and what to do.
    LeftOut(String),
}

/// Makes toolchains ready that are no packages of this host. One that cannot be had is no error: its
/// server is left out.
pub(crate) fn unpack() -> Result<()> {
    let target = Workspace::read()?.target_directory;
    for server in SERVERS {
        let cache = target.join("runtimes").join(server.folder);
        if let Err(error) = (server.unpack)(&cache) {
            eprintln!(
                "the reference server {} may be left out: {error:#}",
                server.name
            );
        }
    }
    Ok(())
}

/// Builds every server whose program is older than its sources.
pub(crate) fn build() -> Result<()> {
    let target = Workspace::read()?.target_directory;
    for server in SERVERS {
        let place = Place {
            sources: workspace::root()
                .join("targets/runtimes")
                .join(server.folder),
            program: target.join(format!("release/connscope-target-{}", server.name)),
            cache: target.join("runtimes").join(server.folder),
        };
        if is_up_to_date(&place)? {
            continue;
        }
        fs::create_dir_all(&place.cache)?;
        if let Built::LeftOut(reason) = (server.build)(&place)? {
            eprintln!("the reference server {} is left out: {reason}", server.name);
            // Better none than an old one.
            remove(&place.program)?;
        }
    }
    Ok(())
}

fn is_up_to_date(place: &Place) -> Result<bool> {
    let Ok(built) = modified(&place.program) else {
        return Ok(false);
    };
    let sources = fs::read_dir(&place.sources)
        .with_context(|| format!("cannot read {}", place.sources.display()))?;
    for source in sources {
        if modified(&source?.path())? >= built {
            return Ok(false);
        }
    }
    Ok(true)
}

fn modified(path: &Path) -> Result<SystemTime> {
    Ok(path.metadata()?.modified()?)
}

fn remove(path: &Path) -> Result<()> {
    match path.exists() {
        true => fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display())),
        false => Ok(()),
    }
}
