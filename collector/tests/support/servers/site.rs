//! Where a server's programs are, and the folder and the user that it has for itself.

use crate::program::CONNSCOPE;
use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    ptr::null,
};
use tempfile::TempDir;

/// Whose programs are run.
#[derive(Clone, Debug)]
pub enum Place {
    /// Those that are installed here.
    Host,
    /// Those below a folder, which becomes their root directory.
    Unpacked(PathBuf),
}

impl Place {
    /// What `cargo xtask setup` has unpacked under that name.
    #[track_caller]
    pub fn unpacked(name: &str) -> Self {
        let folder = built().join("servers").join(name);
        assert!(
            folder.is_dir(),
            "{} is missing; run cargo xtask setup",
            folder.display()
        );
        Self::Unpacked(folder)
    }

    /// As the host has it, the file that is called so there.
    fn on_host(&self, path: &str) -> PathBuf {
        match self {
            Self::Host => path.into(),
            Self::Unpacked(root) => root.join(path.trim_start_matches('/')),
        }
    }
}

/// Cargo's folder for all that is built.
pub fn built() -> &'static Path {
    let target = Path::new(CONNSCOPE).ancestors().nth(2);
    target.expect("a target directory")
}

/// A folder of a server's own, which goes with it, and the user it runs as.
pub struct Site {
    place: Place,
    user: (u32, u32),
    folder: TempDir,
}

/// Where an unpacked server sees its folder.
const INSIDE: &str = "/srv";

impl Site {
    #[track_caller]
    pub fn new(place: Place, user: &str) -> Self {
        let user = user_of(&place.on_host("/etc/passwd"), user);
        Self::of(place, user)
    }

    /// Another one, with the same programs and the same user.
    #[track_caller]
    pub fn like(&self) -> Self {
        Self::of(self.place.clone(), self.user)
    }

    #[track_caller]
    fn of(place: Place, user: (u32, u32)) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("connscope-server-")
            .tempdir()
            .expect("a temporary folder");
        chown(folder.path(), Some(user.0), Some(user.1)).expect("root may give folders away");
        Self {
            place,
            user,
            folder,
        }
    }

    /// A file or folder in the server's folder, as we see it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same, as the server sees it.
    pub fn seen(&self, name: &str) -> String {
        let folder = match &self.place {
            Place::Host => self.folder.path(),
            Place::Unpacked(_) => Path::new(INSIDE),
        };
        folder.join(name).display().to_string()
    }

    /// The folder that is the root directory of what is run, as we see it.
    pub fn root(&self) -> &Path {
        match &self.place {
            Place::Host => Path::new("/"),
            Place::Unpacked(root) => root,
        }
    }

    /// A program's file, as we see it.
    #[track_caller]
    pub fn program(&self, name: &str) -> PathBuf {
        let here = self.place.on_host(name);
        let there = here.is_file();
        assert!(
            there,
            "{} is missing; run cargo xtask setup",
            here.display()
        );
        here
    }

    /// A program, to be run as the server's user, in its folder; killed by that signal if we end first.
    #[track_caller]
    pub fn command(&self, program: &str, on_our_end: i32) -> Command {
        self.program(program);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .process_group(0);
        let entry = Entry::of(self, on_our_end);
        // SAFETY: between fork and exec, only system calls that allocate nothing.
        unsafe { command.pre_exec(move || entry.enter()) };
        command
    }

    /// Runs a program to its end, which must be a good one.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program, libc::SIGKILL);
        let output = command.args(arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
    }
}

/// What a program does before it is the server's, made ready for a process that may not allocate.
struct Entry {
    root: Option<Root>,
    folder: CString,
    user: (u32, u32),
    on_our_end: i32,
}

struct Root {
    path: CString,
    /// From where to where, of the host's.
    mounts: [(CString, CString); 3],
}

impl Entry {
    fn of(site: &Site, on_our_end: i32) -> Self {
        let root = match &site.place {
            Place::Host => None,
            Place::Unpacked(root) => {
                let at = |name: &str| c_path(&root.join(name));
                let mounts = [
                    (c"/dev".to_owned(), at("dev")),
                    (c"/proc".to_owned(), at("proc")),
                    (c_path(site.folder.path()), at("srv")),
                ];
                let path = c_path(root);
                Some(Root { path, mounts })
            }
        };
        Self {
            root,
            folder: c_path(Path::new(&site.seen(""))),
            user: site.user,
            on_our_end,
        }
    }

    fn enter(&self) -> io::Result<()> {
        if let Some(root) = &self.root {
            root.enter()?;
        }
        let (user, group) = self.user;
        // SAFETY: they change our own process only; the strings live as long as we do.
        unsafe {
            check(libc::chdir(self.folder.as_ptr()))?;
            check(libc::setgroups(0, null()))?;
            check(libc::setgid(group))?;
            check(libc::setuid(user))?;
            // Last: a change of the user takes it back.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, self.on_our_end))
        }
    }
}

impl Root {
    /// The mounts are our process's own, and of its children: they go with the last of them.
    fn enter(&self) -> io::Result<()> {
        let mount = |from: *const libc::c_char, to: &CStr, flags| {
            // SAFETY: the strings live as long as we do.
            check(unsafe { libc::mount(from, to.as_ptr(), null(), flags, null()) })
        };
        // SAFETY: as above.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        mount(null(), c"/", libc::MS_REC | libc::MS_PRIVATE)?;
        for (from, to) in &self.mounts {
            mount(from.as_ptr(), to, libc::MS_BIND | libc::MS_REC)?;
        }
        // SAFETY: as above.
        check(unsafe { libc::chroot(self.path.as_ptr()) })
    }
}

fn check(result: i32) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no path has a zero byte")
}

/// The ids of a user and of its group.
#[track_caller]
fn user_of(passwd: &Path, name: &str) -> (u32, u32) {
    let users = fs::read_to_string(passwd).expect("a list of users");
    let of_user = |line: &str| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.first() == Some(&name))
            .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))?
    };
    let ids = users.lines().find_map(of_user);
    ids.unwrap_or_else(|| {
        panic!(
            "{} has no user {name}; run cargo xtask setup",
            passwd.display()
        )
    })
}
