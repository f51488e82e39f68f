//! What a PostgreSQL process waits for, without a login: the word that the server itself publishes to
//! `pg_stat_activity`, read from the process's memory.
//!
//! `my_wait_event_info` is a variable that the program exports from version 14 on: a pointer to the word, whose
//! uppermost byte is the class of the wait. Forked processes all have it at the same address.

use crate::attach::memory::Memory;
use crate::errors::in_words;
use crate::snapshot::connections::Connections;
use anyhow::{Context as _, Result, anyhow, bail};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache};
use procfs::process::Process;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

const SYMBOL: &str = "my_wait_event_info";
/// Of `/proc/PID/auxv`: where the program headers lie in memory.
const AT_PHDR: u64 = 3;
/// The versions whose classes are known.
const VERSIONS: std::ops::RangeInclusive<u32> = 14..=18;

/// Classes by number, with the first version that has each. `wait_event.h` of versions 14 to 17,
/// `wait_classes.h` of 18; the names are those of `pgstat_get_wait_event_type`.
const CLASSES: [(u8, u32, &str); 10] = [
    (0x01, 14, "LWLock"),
    (0x03, 14, "Lock"),
    (0x04, 14, "BufferPin"),
    (0x05, 14, "Activity"),
    (0x06, 14, "Client"),
    (0x07, 14, "Extension"),
    (0x08, 14, "IPC"),
    (0x09, 14, "Timeout"),
    (0x0a, 14, "IO"),
    (0x0b, 17, "InjectionPoint"),
];

/// Where the processes of one server say what they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    version: u32,
    /// Of the pointer, in each process.
    address: u64,
}

impl Waits {
    /// Those of a server, by its postmaster: to be found once for all that it forks.
    ///
    /// # Errors
    /// If its version is not one of those known, if the program does not export the word, or if we may not look.
    pub fn of(postmaster: u32) -> Result<Self> {
        let version = version(postmaster)?;
        if !VERSIONS.contains(&version) {
            bail!("cannot tell what PostgreSQL {version} waits for; versions 14 to 18 are known");
        }
        let address = address(postmaster)?;
        Ok(Self { version, address })
    }

    /// The class of what a process of that server waits for, in the words of `pg_stat_activity`; none if it
    /// does not wait.
    ///
    /// # Errors
    /// If it has ended, if we may not read its memory, or if there is no such class in this version.
    pub fn class(&self, pid: u32) -> Result<Option<&'static str>> {
        let read = || {
            let memory = Memory::of(pid)?;
            memory.word(memory.double_word(self.address)?)
        };
        let word = read().map_err(|error| {
            anyhow!("cannot read the memory of pid {pid}: {}", in_words(&error))
        })?;
        self.name(word)
    }

    /// The same of all connections that are named. Of one that ended meanwhile, or whose wait cannot be told, none is
    /// there, which does not say that it does not wait: the latter are counted, with the reason of one.
    pub fn add_to(&self, connections: &mut Connections) {
        let mut untold = Vec::new();
        for connection in &mut connections.named {
            let class = self.class(connection.pid);
            connection.wait = class.as_ref().ok().copied().flatten().map(str::to_owned);
            let has_ended = || !Path::new("/proc").join(connection.pid.to_string()).exists();
            untold.extend(class.err().filter(|_| !has_ended()));
        }
        if let Some(error) = untold.first() {
            let _ = write!(
                connections.method,
                "; whether {} of them wait is not known: {error:#}",
                untold.len()
            );
        }
    }

    fn name(&self, word: u32) -> Result<Option<&'static str>> {
        if word == 0 {
            return Ok(None);
        }
        let [number, ..] = word.to_be_bytes();
        let mut classes = CLASSES.iter();
        let found = classes.find(|(it, since, _)| *it == number && *since <= self.version);
        let Some((_, _, name)) = found else {
            bail!("PostgreSQL {} has no waits of class {number}", self.version);
        };
        Ok(Some(name))
    }
}

/// The major version, from the data directory, where a postmaster works.
fn version(postmaster: u32) -> Result<u32> {
    let path = format!("/proc/{postmaster}/cwd/PG_VERSION");
    let text = fs::read_to_string(&path)
        .map_err(|error| anyhow!("cannot read {path}: {}", in_words(&error)))?;
    let text = text.trim();
    text.parse()
        .with_context(|| format!("{path} says {text:?}, which is no version that is known"))
}

/// Where the pointer lies in the memory of a process.
fn address(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/exe");
    let file =
        File::open(&path).map_err(|error| anyhow!("cannot read {path}: {}", in_words(&error)))?;
    let cache = ReadCache::new(file);
    let program: ElfFile64<'_, object::Endianness, _> =
        ElfFile64::parse(&cache).with_context(|| format!("cannot read {path}"))?;
    let symbol = program
        .dynamic_symbols()
        .find(|it| it.is_definition() && it.name() == Ok(SYMBOL));
    let Some(symbol) = symbol else {
        bail!("the server's program does not export {SYMBOL}");
    };
    let endian = program.endian();
    let in_file: u64 = program.elf_header().e_phoff(endian);
    let mut segments = program.segments();
    // Where the headers would lie if the program was loaded at the address it was linked for.
    let linked = segments.find_map(|segment| {
        let (offset, size) = segment.file_range();
        let place = in_file.checked_sub(offset).filter(|place| *place < size)?;
        Some(segment.address() + place)
    });
    let linked = linked.with_context(|| format!("{path} does not load its program headers"))?;
    let auxiliary = Process::new(pid as i32).and_then(|process| process.auxv());
    let auxiliary = auxiliary.with_context(|| format!("cannot read /proc/{pid}/auxv"))?;
    let loaded = auxiliary.get(&AT_PHDR);
    let loaded = loaded.with_context(|| format!("/proc/{pid}/auxv does not say where it lies"))?;
    Ok(symbol.address().wrapping_add(loaded.wrapping_sub(linked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::connections::Connection;

    #[test]
    fn classes_of_each_version() {
        let name = |version, word| {
            let waits = Waits {
                version,
                address: 0,
            };
            waits.name(word).ok()
        };
        assert_eq!(name(14, 0), Some(None));
        assert_eq!(name(14, 0x0600_0000), Some(Some("Client")));
        assert_eq!(name(18, 0x0a00_0012), Some(Some("IO")));
        assert_eq!(name(17, 0x0b00_0001), Some(Some("InjectionPoint")));
        assert_eq!(name(16, 0x0b00_0001), None);
        assert_eq!(name(18, 0x0200_0000), None);
        assert_eq!(name(18, 1), None);
    }

    #[test]
    fn waits_that_cannot_be_read_are_counted() {
        let mut found = Connections {
            named: vec![Connection::default(); 3],
            ..Connections::default()
        };
        let own = std::process::id();
        for one in &mut found.named {
            one.pid = own;
        }
        let waits = |address| Waits {
            version: 15,
            address,
        };
        // A pointer of ours to a word that says that we wait for nothing.
        let word = 0_u32;
        let pointer = &raw const word;
        waits(&raw const pointer as u64).add_to(&mut found);
        assert_eq!(found.method, "");
        waits(0).add_to(&mut found);
        assert!(found.named.iter().all(|one| one.wait.is_none()));
        let said = "; whether 3 of them wait is not known: cannot read the memory of pid ";
        assert!(found.method.starts_with(said), "{}", found.method);
    }

    #[test]
    fn a_program_that_is_no_server_says_why_not() {
        let own = std::process::id();
        let refused = Waits::of(own).expect_err("no data directory").to_string();
        assert!(refused.contains("PG_VERSION: no such file"), "{refused}");
        let refused = address(own).expect_err("no such symbol").to_string();
        assert!(
            refused.contains("does not export my_wait_event_info"),
            "{refused}"
        );
    }
}
