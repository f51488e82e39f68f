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
    /// Which toolchain it is built with, given that folder; none where there is none, and what was
    /// built may stay.
    toolchain: fn(&Path) -> Option<String>,
    build: fn(&Place) -> Result<Built>,
}

const SERVERS: &[Server] = &[
    Server {
        name: "goroutines",
        folder: "go",
        unpack: |_| Ok(()),
        toolchain: |_| go::version(),
        build: go::build,
    },
    Server {
        name: "virtual-threads",
        folder: "java",
        unpack: java::unpack,
        toolchain: |cache| Some(java::version(cache)),
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

/// Builds every server whose program is older than its sources, or was built otherwise than it would be
/// now. Returns the models that are left out.
pub(crate) fn build() -> Result<Vec<&'static str>> {
    let target = Workspace::read()?.target_directory;
    let mut left_out = Vec::new();
    for server in SERVERS {
        let place = Place {
            sources: workspace::root()
                .join("targets/runtimes")
                .join(server.folder),
            program: target.join(format!("release/connscope-target-{}", server.name)),
            cache: target.join("runtimes").join(server.folder),
        };
        let toolchain = (server.toolchain)(&place.cache);
        if is_up_to_date(&place, toolchain.as_deref())? {
            continue;
        }
        fs::create_dir_all(&place.cache)?;
        remove(&place.stamp())?;
        match (server.build)(&place)? {
            Built::Done => fs::write(place.stamp(), place.made_with(toolchain.as_deref()))?,
            Built::LeftOut(reason) => {
                eprintln!("the reference server {} is left out: {reason}", server.name);
                // Better none than an old one.
                remove(&place.program)?;
                left_out.push(server.name);
            }
        }
    }
    Ok(left_out)
}

impl Place {
    /// Says what the program was built with.
    fn stamp(&self) -> PathBuf {
        self.cache.join("built-with")
    }

    fn made_with(&self, toolchain: Option<&str>) -> String {
        self.paths() + toolchain.unwrap_or_default()
    }

    /// A program may have them in it.
    fn paths(&self) -> String {
        format!("{}\n{}\n", self.program.display(), self.cache.display())
    }
}

fn is_up_to_date(place: &Place, toolchain: Option<&str>) -> Result<bool> {
    let Ok(built) = modified(&place.program) else {
        return Ok(false);
    };
    let stamp = fs::read_to_string(place.stamp()).unwrap_or_default();
    // Without a toolchain there is nothing to build it with anew.
    let same = match toolchain {
        Some(_) => stamp == place.made_with(toolchain),
        None => stamp.starts_with(&place.paths()),
    };
    if !same {
        return Ok(false);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What was built from one source with Go 1.19 in this folder.
    fn built(root: &Path) -> Place {
        let place = Place {
            sources: root.join("sources"),
            program: root.join("program"),
            cache: root.join("cache"),
        };
        fs::create_dir_all(&place.sources).unwrap();
        fs::create_dir_all(&place.cache).unwrap();
        let before = SystemTime::now() - std::time::Duration::from_secs(60);
        let source = fs::File::create(place.sources.join("main.go")).unwrap();
        source.set_modified(before).unwrap();
        fs::write(&place.program, "").unwrap();
        fs::write(place.stamp(), place.made_with(Some("go1.19"))).unwrap();
        place
    }

    #[test]
    fn what_was_built_otherwise_is_built_anew() {
        let folder = tempfile::tempdir().unwrap();
        let place = built(folder.path());
        let up_to_date = |toolchain| is_up_to_date(&place, toolchain).unwrap();
        assert!(up_to_date(Some("go1.19")) && up_to_date(None));
        assert!(!up_to_date(Some("go1.24")), "another toolchain");
        let moved = Place {
            cache: place.cache.join("../moved"),
            program: place.program.clone(),
            sources: place.sources.clone(),
        };
        fs::create_dir_all(&moved.cache).unwrap();
        fs::copy(place.stamp(), moved.stamp()).unwrap();
        for toolchain in [Some("go1.19"), None] {
            let same = is_up_to_date(&moved, toolchain).unwrap();
            assert!(!same, "another folder");
        }
        fs::write(place.sources.join("more.go"), "").unwrap();
        assert!(!up_to_date(Some("go1.19")), "a newer source");
        fs::remove_file(place.sources.join("more.go")).unwrap();
        fs::remove_file(place.stamp()).unwrap();
        assert!(!up_to_date(Some("go1.19")), "it is not known with what");
    }
}
