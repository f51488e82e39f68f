//! Where the functions lie that create tasks: in the C library that a process has mapped, in its
//! own mount namespace and even if the file has been replaced since, or in a program that holds it.

use crate::calls::CallKind;
use object::{Object, ObjectSegment, ObjectSymbol, ReadCache, ReadCacheOps, ReadRef, SymbolFlags};
use procfs::{
    FromBufRead, ProcResult,
    process::{MMapPath, MemoryMap, MemoryMaps, Process},
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The functions by name, of glibc and musl; some only a static program names.
const FUNCTIONS: [(&str, CallKind); 14] = [
    ("fork", CallKind::Fork),
    ("__libc_fork", CallKind::Fork),
    ("_Fork", CallKind::Fork),
    ("vfork", CallKind::Spawn),
    ("__vfork", CallKind::Spawn),
    ("__libc_vfork", CallKind::Spawn),
    ("posix_spawn", CallKind::Spawn),
    ("__posix_spawn", CallKind::Spawn),
    ("posix_spawnp", CallKind::Spawn),
    ("pthread_create", CallKind::Thread),
    ("__pthread_create", CallKind::Thread),
    ("__pthread_create_2_1", CallKind::Thread),
    ("clone", CallKind::Clone),
    ("__clone", CallKind::Clone),
];

/// A file with such functions.
#[derive(Debug)]
pub(crate) struct Library {
    /// A path to it that leads to the very file that is mapped, while the process lives.
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    pub(crate) functions: Vec<Function>,
}

/// A function that creates tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) kind: CallKind,
    /// In the file.
    pub(crate) offset: usize,
    /// It returns a pid or -1; others return 0 or the error.
    pub(crate) returns_pid: bool,
}

/// The libraries that a process calls to create tasks, at least one.
///
/// # Errors
/// Why there is none.
pub(crate) fn of_process(pid: u32) -> Result<Vec<Library>, String> {
    let unreadable = |error| format!("cannot read /proc/{pid}/maps: {error}");
    let process = Process::new(pid as i32).map_err(unreadable)?;
    let program = process.exe().map_err(unreadable)?;
    let maps = code_maps(pid).map_err(unreadable)?;
    let (mut seen, mut libraries, mut problems) = (HashSet::new(), Vec::new(), Vec::new());
    for map in &maps {
        let MMapPath::Path(mapped) = &map.pathname else {
            continue;
        };
        let is_program = *mapped == program;
        if !(is_program || is_c_library(mapped)) || !seen.insert((map.dev, map.inode)) {
            continue;
        }
        match read(pid, map, mapped, is_program) {
            Ok(library) if library.functions.is_empty() => {}
            Ok(library) => libraries.push(library),
            Err(problem) => problems.push(problem),
        }
    }
    if libraries.is_empty() {
        return Err(problems.pop().unwrap_or_else(|| none_found(&program)));
    }
    Ok(libraries)
}

/// What a process has mapped to execute. A process of many threads has two mappings for each, which are
/// not taken apart.
fn code_maps(pid: u32) -> ProcResult<MemoryMaps> {
    let lines = BufReader::new(File::open(format!("/proc/{pid}/maps"))?).split(b'\n');
    let mut of_code = Vec::new();
    for line in lines {
        let line = line?;
        let permissions = line.split(|&byte| byte == b' ').nth(1);
        if permissions.is_some_and(|permissions| permissions.contains(&b'x')) {
            of_code.extend(line);
            of_code.push(b'\n');
        }
    }
    MemoryMaps::from_buf_read(of_code.as_slice())
}

fn none_found(program: &Path) -> String {
    format!(
        "no fork or pthread_create of a C library was found in {} or what it has loaded: it is static \
         and without symbols, or calls the kernel itself, as Go does",
        program.display()
    )
}

/// glibc (until 2.33 with its threads apart) and musl, by the names distributions give them.
fn is_c_library(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let starts = [
        "libc.so",
        "libc-",
        "libc.musl",
        "libpthread",
        "ld-musl",
        "libuClibc",
    ];
    starts.iter().any(|start| name.starts_with(start)) && name.contains(".so")
}

fn read(pid: u32, map: &MemoryMap, mapped: &Path, is_program: bool) -> Result<Library, String> {
    let (start, end) = map.address;
    let link = PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    // Following those links takes CAP_CHECKPOINT_RESTORE.
    let by_name = PathBuf::from(format!("/proc/{pid}/root{}", mapped.display()));
    let opened = File::open(&link).map(|file| (link, file));
    let opened = opened.or_else(|_| File::open(&by_name).map(|file| (by_name, file)));
    let problem = |error: &dyn std::fmt::Display| {
        format!("cannot read {} of pid {pid}: {error}", mapped.display())
    };
    let (path, file) = opened.map_err(|error| problem(&error))?;
    let metadata = file.metadata().map_err(|error| problem(&error))?;
    let cache = ReadCache::new(file);
    let functions = functions(&cache, is_program).map_err(|error| problem(&error))?;
    Ok(Library {
        path,
        identity: (metadata.dev(), metadata.ino()),
        functions,
    })
}

/// The functions that a file defines. A program that loads a C library may have others by the same
/// names, so only one that loads none is searched.
fn functions(
    cache: &ReadCache<impl ReadCacheOps>,
    is_program: bool,
) -> Result<Vec<Function>, object::Error> {
    let elf = object::File::parse(cache)?;
    let mut found = Vec::new();
    if is_program && elf.section_by_name(".interp").is_some() {
        return Ok(found);
    }
    let symbols: Box<dyn Iterator<Item = _>> = match is_program {
        true => Box::new(elf.symbols()),
        false => Box::new(elf.dynamic_symbols()),
    };
    for symbol in symbols {
        let known = symbol
            .name()
            .ok()
            .and_then(|name| FUNCTIONS.iter().find(|(known, _)| *known == name));
        let (Some(&(name, kind)), true) = (known, is_function(&symbol)) else {
            continue;
        };
        let Some(offset) = offset_of(&elf, symbol.address()) else {
            continue;
        };
        let returns_pid = kind != CallKind::Thread && !name.contains("posix_spawn");
        let known = found.iter().any(|other: &Function| other.offset == offset);
        if !known {
            found.push(Function {
                kind,
                offset,
                returns_pid,
            });
        }
    }
    Ok(found)
}

/// Code, and not one that chooses the function as the library is loaded (STT_GNU_IFUNC).
fn is_function<'data>(symbol: &impl ObjectSymbol<'data>) -> bool {
    const STT_FUNC: u8 = 2;
    let kind = match symbol.flags() {
        SymbolFlags::Elf { st_info, .. } => st_info & 0xf,
        _ => STT_FUNC,
    };
    symbol.is_definition() && kind == STT_FUNC
}

fn offset_of<'data, R: ReadRef<'data>>(
    elf: &object::File<'data, R>,
    address: u64,
) -> Option<usize> {
    elf.segments().find_map(|segment| {
        let (offset, size) = segment.file_range();
        let within = address.checked_sub(segment.address())?;
        (within < size).then_some((offset + within) as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_c_library_with_each_kind_of_call() {
        let libraries = of_process(std::process::id()).expect("a C library");
        for kind in CallKind::ALL {
            let functions = libraries.iter().flat_map(|library| &library.functions);
            let of_kind = functions.filter(|function| function.kind == kind);
            assert!(of_kind.count() > 0, "no {}", kind.name());
        }
    }

    #[test]
    fn c_libraries_are_known_by_name() {
        for name in [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/libc-2.31.so",
            "/lib/libpthread-2.31.so",
            "/lib/ld-musl-x86_64.so.1",
            "/lib/libc.so.6 (deleted)",
        ] {
            assert!(is_c_library(Path::new(name)), "{name}");
        }
        for name in ["/lib/libcap.so.2", "/lib/libcrypto.so.3", "/bin/libc-test"] {
            assert!(!is_c_library(Path::new(name)), "{name}");
        }
    }
}
