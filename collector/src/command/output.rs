//! Where a report goes: stdout, or a file that is there whole or not at all.

use crate::{
    cli::Output,
    errors::in_words,
    export::{self, Document, Style},
};
use anyhow::{Result, anyhow};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fcntl_setfl, linkat, openat};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process::ExitCode,
};

/// A place to write one report to, opened before the work begins, so that a bad path costs nobody
/// a measurement.
pub(crate) enum Sink {
    Stdout,
    /// A device or a pipe: written to as it is.
    Stream(File, PathBuf),
    /// A regular file: written without a name in the same folder, so that nothing is left of it
    /// whatever ends us, and put in its place when it is whole.
    File {
        file: File,
        /// The name it gets in between; where the file system makes no files without one, from the
        /// beginning.
        partial: PathBuf,
        named: bool,
        path: PathBuf,
    },
}

impl Sink {
    pub(crate) fn open(output: &Output) -> Result<Self> {
        output
            .out
            .as_deref()
            .map_or(Ok(Self::Stdout), Self::open_at)
    }

    /// The file or device of that name.
    pub(crate) fn open_at(path: &Path) -> Result<Self> {
        Self::at(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!("{}; make its folder first", cannot(path, &error)),
            _ => anyhow!(cannot(path, &error)),
        })
    }

    fn at(path: &Path) -> io::Result<Self> {
        // What a link leads to is replaced, and not the link: it may be /dev/stdout.
        let path = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path)?,
            _ => path.to_owned(),
        };
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Stream(open_stream(&path)?, path));
        }
        if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let partial = partial_name(&path);
        let (file, named) = match nameless(&path) {
            Ok(file) => (file, false),
            Err(_) => (File::create(&partial)?, true),
        };
        Ok(Self::File {
            file,
            partial,
            named,
            path,
        })
    }

    /// Writes the report. One that the file cannot hold is not lost: it goes to stdout.
    pub(crate) fn write<'a>(
        mut self,
        report: impl Into<Document<'a>>,
        output: &Output,
    ) -> Result<()> {
        let report = report.into();
        if matches!(self, Self::Stdout) {
            return write_stdout(report, output);
        }
        let written = self.fill(|file| {
            export::write(report, output.format, &Style::default(), file)?;
            Ok(true)
        });
        let Err(cannot) = written else {
            return Ok(());
        };
        match write_stdout(report, output) {
            Ok(()) => Err(anyhow!("{cannot}; the report is on stdout instead")),
            Err(error) => Err(anyhow!("{cannot}, and {error}")),
        }
    }

    /// Writes what is no report, and too long to be kept. `fill` says whether it is to be there at all.
    pub(crate) fn stream(
        mut self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<bool>,
    ) -> Result<()> {
        self.fill(fill).map_err(|cannot| anyhow!(cannot))
    }

    /// Fills the file and puts it in its place; or says why it cannot, in a line.
    fn fill(
        &mut self,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<bool>,
    ) -> Result<(), String> {
        let (written, path) = match self {
            Self::Stdout => {
                return fill(&mut io::stdout())
                    .map(drop)
                    .map_err(|it| in_words(&it));
            }
            Self::Stream(file, path) => (buffered(file, fill).map(drop), path),
            Self::File {
                file,
                partial,
                named,
                path,
            } => {
                let placed = match buffered(file, fill) {
                    Ok(true) => file
                        .sync_all()
                        .and_then(|()| match *named {
                            true => Ok(()),
                            false => name(file, partial),
                        })
                        .inspect(|()| *named = true)
                        .and_then(|()| fs::rename(partial, &*path)),
                    not_wanted => not_wanted.map(drop),
                };
                (placed, path)
            }
        };
        written.map_err(|error| cannot(path, &error))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::File {
            partial,
            named: true,
            ..
        } = self
        {
            // Renamed by now, unless the report was never written.
            let _ = fs::remove_file(partial);
        }
    }
}

pub(super) fn cannot(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {}", path.display(), in_words(error))
}

/// Opens a device or a pipe. A named pipe that nobody reads is an error, not a reason to wait.
pub(super) fn open_stream(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let file = options.write(true).custom_flags(nonblocking).open(path)?;
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// A new file without a name in the folder of `path`.
fn nameless(path: &Path) -> io::Result<File> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, folder, flags, Mode::from_raw_mode(0o666))?;
    Ok(file.into())
}

/// Gives a name to a file without one. The name is to be free; a link cannot replace what is there.
fn name(file: &File, name: &Path) -> io::Result<()> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    let _ = fs::remove_file(name);
    Ok(linkat(CWD, open, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn buffered<T>(
    file: &mut File,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> io::Result<T> {
    let mut buffered = BufWriter::new(file);
    let filled = fill(&mut buffered)?;
    buffered.flush()?;
    Ok(filled)
}

fn write_stdout(report: Document<'_>, output: &Output) -> Result<()> {
    let mut text = Vec::new();
    export::write(report, output.format, &Style::of_stdout(), &mut text)?;
    print(&text)
}

/// Writes to stdout; whoever reads it may stop when they have seen enough.
pub(crate) fn print(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| anyhow!("cannot write to stdout: {}", in_words(&error))),
    }
}

/// Writes a line to stderr; if that cannot be written to, there is nobody to tell.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "connscope: {line}");
}

/// The exit status of a report, which is a failure if it is not whole; says why on stderr.
pub(crate) fn conclude(troubles: &[String]) -> ExitCode {
    let Some((first, others)) = troubles.split_first() else {
        return ExitCode::SUCCESS;
    };
    let others = match others.len() {
        0 => String::new(),
        number => format!("; the report names {number} more"),
    };
    say(&format!("the report is incomplete: {first}{others}"));
    ExitCode::FAILURE
}
