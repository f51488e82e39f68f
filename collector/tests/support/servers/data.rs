//! Data directories: each kind is initialised once for all tests, beside what is built, and copied for each server.

use super::site::{Site, built};
use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The data directory's name in a site's folder.
const DATA: &str = "data";
/// What stands in arguments for the site's folder, as the server sees it.
const FOLDER: &str = "{folder}";

/// Gives the site the folder `data` that a program makes with these arguments.
#[track_caller]
pub fn provide(site: &Site, program: &str, arguments: &[&str]) {
    let kept = kept(site, program, arguments);
    if !kept.is_dir() {
        let maker = site.like();
        let arguments = arguments
            .iter()
            .map(|it| it.replace(FOLDER, &maker.seen("")));
        let arguments: Vec<_> = arguments.collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        maker.run(program, &arguments);
        let partial = kept.with_extension(std::process::id().to_string());
        copy(&maker.path(DATA), &partial);
        // Last: a copy that was interrupted is not taken for a whole one. Another test may have been quicker.
        if fs::rename(&partial, &kept).is_err() {
            fs::remove_dir_all(&partial).expect("a folder of ours");
        }
    }
    copy(&kept, &site.path(DATA));
}

/// Where it is kept: elsewhere for another program, or for other arguments.
#[track_caller]
fn kept(site: &Site, program: &str, arguments: &[&str]) -> PathBuf {
    let file = fs::metadata(site.program(program)).expect("a program");
    let mut hasher = DefaultHasher::new();
    (program, arguments, file.size(), file.mtime()).hash(&mut hasher);
    let name = Path::new(program).file_name().expect("a name").display();
    let folder = built().join("data");
    fs::create_dir_all(&folder).expect("a folder beside what is built");
    folder.join(format!("{name}-{:016x}", hasher.finish()))
}

/// With owners, and without room for what is zero.
#[track_caller]
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.args(["--archive", "--sparse=always", "--no-target-directory"]);
    let output = command.arg(from).arg(to).output().expect("cp");
    assert!(output.status.success(), "{output:?}");
}
