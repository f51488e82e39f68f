//! What a run finds, on its way to the report and, where that is asked for, to a file as well.

use super::{
    output::{cannot, open_stream, say},
    timeline::Drawing,
};
use crate::{
    host,
    record::{End, Entry, Error, Gathered, Origin, Reader, Record, Writer},
    snapshot::{Host, Method, Unavailable},
};
use anyhow::{Result, anyhow, bail};
use rustix::fs::{FlockOperation, flock};
use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Seek},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Gathers entries for the report, and writes them to a record as they come.
pub(super) struct Keeping {
    gathered: Gathered,
    file: Option<RecordFile>,
    /// In memory: what is drawn of a timeline is bounded.
    drawing: Option<Drawing<Vec<u8>>>,
    trouble: Option<String>,
}

impl Keeping {
    /// Opens the file before the work begins, so that a bad path costs nobody a measurement. What is in it
    /// stays until there is something to take its place.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        Ok(Self {
            gathered: Gathered::default(),
            file: path.map(RecordFile::open).transpose()?,
            drawing: None,
            trouble: None,
        })
    }

    /// The same; draws the timeline too, if that is asked for.
    pub(super) fn drawing(self, draws: bool) -> Self {
        Self {
            drawing: draws.then(|| Drawing::begin(Vec::new())),
            ..self
        }
    }

    /// Takes in the next entry. A file that cannot be written to ends there; the rest goes on.
    pub(super) fn take(&mut self, entry: Entry) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.put(&entry)
        {
            self.trouble = Some(format!(
                "{}; the record ends there, and can be read as far as it goes",
                cannot(&file.path, &error)
            ));
            self.file = None;
        }
        if let Some(drawing) = &mut self.drawing {
            // Memory takes it all.
            let _ = drawing.take(&entry);
        }
        self.gathered.take(entry);
    }

    /// The first entry: where it all comes from.
    pub(super) fn begin(
        &mut self,
        command: &str,
        host: Host,
        methods: Vec<Method>,
        unavailable: Vec<Unavailable>,
    ) {
        self.take(Entry::Origin(Box::new(Origin {
            command: command.to_owned(),
            command_line: env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            host_name: host::name(),
            operating_system: host::operating_system(),
            host,
            methods,
            unavailable,
        })));
    }

    /// The last entry, and what all of them make.
    ///
    /// # Errors
    /// If there is nothing to report on.
    pub(super) fn end(mut self, end: End) -> Result<Kept> {
        self.take(Entry::End(end));
        let Self {
            gathered,
            file,
            drawing,
            mut trouble,
        } = self;
        if let Some(file) = file {
            let path = file.path.clone();
            if let Err(error) = file.finish() {
                trouble = Some(cannot(&path, &error));
            }
        }
        Ok(Kept {
            snapshots: gathered.snapshots(),
            record: gathered.whole()?,
            drawing,
            trouble,
        })
    }

    /// Why there is no more to come in the file.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether there is a run that is over.
    pub(super) fn has_runs(&self) -> bool {
        self.gathered.has_runs()
    }
}

/// All that was found.
pub(super) struct Kept {
    pub(super) record: Record,
    /// Snapshots among it.
    pub(super) snapshots: u64,
    /// What was drawn of a timeline, if that was asked for.
    pub(super) drawing: Option<Drawing<Vec<u8>>>,
    /// Why not all of it is in the file.
    trouble: Option<String>,
}

impl Kept {
    /// The exit status, which is otherwise that of the report.
    pub(super) fn conclude(&self, status: ExitCode) -> ExitCode {
        match &self.trouble {
            Some(trouble) => {
                say(trouble);
                ExitCode::FAILURE
            }
            None => status,
        }
    }
}

/// A record being written.
struct RecordFile {
    path: PathBuf,
    file: File,
    /// Whether it was not there before.
    is_new: bool,
    /// Of what has begun to be written.
    writer: Option<Writer<File>>,
}

impl RecordFile {
    fn open(path: &Path) -> Result<Self> {
        let (file, is_new) = open_to_write(path).map_err(|error| anyhow!(cannot(path, &error)))?;
        let refuse = |why: &str| bail!("cannot write {}: {why}", path.display());
        if is_regular(&file) {
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                return refuse("another connscope is writing it");
            }
            if let Err(Error::Foreign | Error::Report) = Reader::begin(&file) {
                return refuse(
                    "it is there already and is no record; name another file, or remove it",
                );
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            is_new,
            writer: None,
        })
    }

    fn put(&mut self, entry: &Entry) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                if is_regular(&self.file) {
                    self.file.set_len(0)?;
                    self.file.rewind()?;
                }
                none.insert(Writer::begin(self.file.try_clone()?)?)
            }
        };
        writer.put(entry)
    }

    /// The end, on the disk.
    fn finish(mut self) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            self.is_new = false;
            let file = writer.finish()?;
            if is_regular(&file) {
                file.sync_all()?;
            }
        }
        Ok(())
    }
}

impl Drop for RecordFile {
    fn drop(&mut self) {
        if self.is_new && self.writer.is_none() {
            // Nothing is lost: it is empty, and was made by us.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file, and whether it is a new one. What is in one that is there stays in it.
fn open_to_write(path: &Path) -> io::Result<(File, bool)> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Ok((open_stream(path)?, false));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((options.open(path)?, false))
        }
        opened => Ok((opened?, true)),
    }
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}
