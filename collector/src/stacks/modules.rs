//! Files with code that processes have mapped, held open: so they can be read when the process has ended, the file was
//! replaced, or lies in another mount namespace.

use object::{
    Endianness,
    elf::{FileHeader64, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
};
use procfs::process::MemoryMap;
use std::{
    collections::HashMap,
    fs::File,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Files held open at most; of others functions have no names.
const FILES_MAX: usize = 512;
/// Where separate symbols of distributions are.
const DEBUG: &str = "/usr/lib/debug/.build-id";

/// The files.
#[derive(Default)]
pub(super) struct Modules {
    files: Vec<Module>,
    /// By device and inode, as they are mapped.
    numbers: HashMap<(i32, i32, u64), usize>,
}

/// A file.
pub(super) struct Module {
    /// Without its folder.
    pub(super) name: String,
    _held: Option<File>,
    /// Where its symbols can be read, in the order to try.
    pub(super) readable: Vec<PathBuf>,
    /// Its loaded parts: offset in the file, length, address.
    segments: Vec<(u64, u64, u64)>,
}

impl Modules {
    /// The number of a file that a process has mapped.
    pub(super) fn number(&mut self, pid: u32, mapping: &MemoryMap, path: &Path) -> usize {
        let key = (mapping.dev.0, mapping.dev.1, mapping.inode);
        if let Some(known) = self.numbers.get(&key) {
            return *known;
        }
        let held = (self.files.len() < FILES_MAX)
            .then(|| open(pid, mapping, path))
            .flatten();
        self.files.push(Module::of(path, held));
        self.numbers.insert(key, self.files.len() - 1);
        self.files.len() - 1
    }

    pub(super) fn get(&self, number: usize) -> &Module {
        &self.files[number]
    }
}

impl Module {
    fn of(path: &Path, held: Option<File>) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut module = Self {
            name: name.trim_end_matches(" (deleted)").to_owned(),
            _held: None,
            readable: Vec::new(),
            segments: Vec::new(),
        };
        let Some(file) = held else { return module };
        module.readable = vec![format!("/proc/self/fd/{}", file.as_raw_fd()).into()];
        let data = object::ReadCache::new(&file);
        if let Some((segments, build_id)) = shape(&data) {
            module.segments = segments;
            module
                .readable
                .extend(build_id.and_then(|id| separate(&id)));
        }
        drop(data);
        module._held = Some(file);
        module
    }

    /// The address that a place in the file is linked to, as `nm` and `addr2line` have it.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        self.segments
            .iter()
            .find(|(start, length, _)| (*start..start + length).contains(&offset))
            .map(|(start, _, address)| offset - start + address)
    }
}

/// Opens a file by what is mapped, whatever has become of its name since; else by its name, as the process sees it, if
/// that is the same file still.
fn open(pid: u32, mapping: &MemoryMap, path: &Path) -> Option<File> {
    let (start, end) = mapping.address;
    let mapped = format!("/proc/{pid}/map_files/{start:x}-{end:x}");
    File::open(mapped).ok().or_else(|| {
        let within = path.strip_prefix("/").ok()?;
        let file = File::open(Path::new(&format!("/proc/{pid}/root")).join(within)).ok()?;
        let same = file.metadata().ok()?.ino() == mapping.inode;
        same.then_some(file)
    })
}

type Segments = Vec<(u64, u64, u64)>;

/// The loaded parts of an ELF file, and its build id.
fn shape<'a>(data: impl object::ReadRef<'a>) -> Option<(Segments, Option<Vec<u8>>)> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let parts = header.program_headers(endian, data).ok()?;
    let loaded = parts.iter().filter(|part| part.p_type(endian) == PT_LOAD);
    let segments = loaded.map(|part| {
        (
            part.p_offset(endian),
            part.p_filesz(endian),
            part.p_vaddr(endian),
        )
    });
    let build_id = parts.iter().find_map(|part| {
        let mut notes = part.notes(endian, data).ok()??;
        while let Ok(Some(note)) = notes.next() {
            if note.n_type(endian) == object::elf::NT_GNU_BUILD_ID && note.name() == b"GNU" {
                return Some(note.desc().to_vec());
            }
        }
        None
    });
    Some((segments.collect(), build_id))
}

/// The file with the symbols that were taken out of another, if it is installed.
fn separate(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = PathBuf::from(format!("{DEBUG}/{first:02x}/{rest}.debug"));
    path.exists().then_some(path)
}
