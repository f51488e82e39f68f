//! The types of the kernel that our programs name, cut out of all that its BTF describes.
//!
//! Loading an object, libbpf looks for each kernel type it names among all of them, some 126,000, each time
//! from the first to the last; that took half of the time from our start to the first data. Among
//! the few that are named at all it is found at once. A type of a field comes along; what a field
//! points to does not, since nothing is relocated through a pointer.
//!
//! BTF as in <https://docs.kernel.org/bpf/btf.html>.

use crate::{abi, platform::BTF_PATH};
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    collections::{HashMap, HashSet},
    ffi::CStr,
    fs::File,
    io::{self, Read, Write},
    ops::Deref,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

include!(concat!(env!("OUT_DIR"), "/kernel_names.rs"));

const MAGIC: u16 = 0xeb9f;
/// Bytes of a type before what its kind adds.
const TYPE: usize = 12;
/// How deep types lie in each other at most; in a kernel it is a dozen.
const DEEPEST: u32 = 64;

/// The kinds of BTF that are told apart here.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const POINTER: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The kernel's types, as an object is loaded with them.
pub(crate) struct KernelTypes {
    /// Holds their BTF.
    file: File,
    /// The numbers of some in the kernel's own BTF.
    pub(crate) ids: abi::kernel_type_ids,
    /// Where its per-CPU variables lie.
    per_cpu: HashMap<String, u32>,
    /// Its tracepoints for programs with typed arguments.
    tracepoints: HashSet<String>,
}

impl KernelTypes {
    /// Those of the running kernel, read once.
    ///
    /// # Errors
    /// If the kernel has no BTF, or none that can be read.
    pub(crate) fn of_this_kernel() -> io::Result<&'static Self> {
        static THEM: Mutex<Option<&'static KernelTypes>> = Mutex::new(None);
        let mut them = THEM.lock().unwrap_or_else(PoisonError::into_inner);
        match *them {
            Some(them) => Ok(them),
            None => {
                let read = Self::cut_out(&Bytes::of(File::open(BTF_PATH)?)?)?;
                Ok(them.insert(Box::leak(Box::new(read))))
            }
        }
    }

    fn cut_out(btf: &[u8]) -> io::Result<Self> {
        let btf = Btf::parse(btf)?;
        // Some hosts want it said that a file will not be executed; kernels before 6.3 know no such flag.
        let create = |more| memfd_create("kernel-types", MemfdFlags::CLOEXEC | more);
        let created = create(MemfdFlags::NOEXEC_SEAL).or_else(|_| create(MemfdFlags::empty()));
        let mut file = File::from(created?);
        let mut cut = Cut::of(&btf);
        cut.take(&NAMES.iter().map(|name| name.as_bytes()).collect())?;
        file.write_all(&cut.encoded())?;
        let id = |name: &str| cut.ids.get(name.as_bytes()).copied().unwrap_or_default();
        Ok(Self {
            file,
            ids: abi::kernel_type_ids {
                task_struct: id("task_struct"),
                llist_head: id("llist_head"),
                file: id("file"),
                pt_regs___call: id("pt_regs"),
            },
            per_cpu: cut.per_cpu,
            tracepoints: cut.tracepoints,
        })
    }

    /// Where libbpf finds them.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// Whether programs with typed arguments can be attached to the tracepoint of that name, which is sooner
    /// told than by one that is refused.
    pub(crate) fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.contains(name)
    }

    /// How far per-CPU variables lie from one of them, in bytes; none for those that BTF does not have.
    pub(crate) fn distances_per_cpu<const N: usize>(
        &self,
        from: &str,
        to: [&str; N],
    ) -> [Option<i64>; N] {
        let place = |name: &str| self.per_cpu.get(name).copied().map(i64::from);
        to.map(|to| Some(place(to)? - place(from)?))
    }
}

/// The kernel's BTF.
enum Bytes {
    /// Where it allows that (since 6.16): a copy takes longer than all that is done with it.
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Bytes {
    fn of(mut file: File) -> io::Result<Self> {
        // SAFETY: the kernel never changes its BTF.
        if let Ok(mapped) = unsafe { MmapOptions::new().map_copy_read_only(&file) } {
            return Ok(Self::Mapped(mapped));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

/// A type: its name, its kind with the number of parts, its size or the type it refers to, and what its
/// kind adds.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    info: u32,
    size_or_type: u32,
    more: &'a [u8],
}

impl<'a> Type<'a> {
    /// The first of `types`.
    fn first(types: &'a [u8]) -> io::Result<Self> {
        let info = u32_at(types, 4)?;
        let more = types.get(TYPE..TYPE + bytes_added(info)?);
        Ok(Self {
            name: u32_at(types, 0)?,
            info,
            size_or_type: u32_at(types, 8)?,
            more: more.ok_or_else(|| malformed("it ends within a type"))?,
        })
    }

    fn kind(&self) -> u32 {
        kind_in(self.info)
    }
}

/// All types of a kernel.
struct Btf<'a> {
    types: &'a [u8],
    /// Where each begins, by number; 0 is void.
    starts: Vec<u32>,
    strings: &'a [u8],
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the kernel's BTF cannot be read: {what}"),
    )
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    let found = found.ok_or_else(|| malformed("it ends early"))?;
    Ok(u32::from_ne_bytes(*found))
}

impl<'a> Btf<'a> {
    fn parse(btf: &'a [u8]) -> io::Result<Self> {
        let word = |at| u32_at(btf, at).map(|word| word as usize);
        if btf.first_chunk().copied().map(u16::from_ne_bytes) != Some(MAGIC) {
            return Err(malformed("it does not begin like BTF"));
        }
        let section = |at: usize| {
            let start = word(4)? + word(at)?;
            let section = btf.get(start..start + word(at + 4)?);
            section.ok_or_else(|| malformed("a section lies outside"))
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut starts = vec![0];
        let mut start = 0;
        while start < types.len() {
            starts.push(start as u32);
            start += TYPE + bytes_added(u32_at(types, start + 4)?)?;
        }
        Ok(Self {
            types,
            starts,
            strings,
        })
    }

    /// Each with its number.
    fn types(&self) -> impl Iterator<Item = io::Result<(u32, Type<'a>)>> {
        let numbered = (0u32..).zip(&self.starts).skip(1);
        numbered.map(|(number, &start)| Ok((number, Type::first(&self.types[start as usize..])?)))
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        CStr::from_bytes_until_nul(rest).map_or(&[], CStr::to_bytes)
    }

    fn by_number(&self, number: u32) -> io::Result<Type<'a>> {
        match self.starts.get(number as usize) {
            Some(&start) if number > 0 => Type::first(&self.types[start as usize..]),
            _ => Err(malformed("it refers to a type that it does not have")),
        }
    }
}

fn kind_in(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// How many bytes a type has beyond those that each has.
fn bytes_added(info: u32) -> io::Result<usize> {
    let parts = (info & 0xffff) as usize;
    match kind_in(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => Ok(4),
        kind::ARRAY => Ok(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => Ok(12 * parts),
        kind::ENUM | kind::FUNC_PROTO => Ok(8 * parts),
        1..kind::ENUM64 => Ok(0),
        kind => Err(malformed(&format!(
            "it has a type of the unknown kind {kind}"
        ))),
    }
}

/// A name without its flavour, by which libbpf compares.
fn essential(name: &[u8]) -> &[u8] {
    let end = name.windows(3).position(|three| three == b"___");
    &name[..end.unwrap_or(name.len())]
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Some of the types, numbered anew.
struct Cut<'b, 'a> {
    all: &'b Btf<'a>,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// New numbers by old ones.
    numbers: HashMap<u32, u32>,
    count: u32,
    /// Where a name went.
    names: HashMap<u32, u32>,
    /// Numbers in the kernel's own BTF, of the first type of each name.
    ids: HashMap<&'a [u8], u32>,
    /// Offsets of the per-CPU variables in their section.
    per_cpu: HashMap<String, u32>,
    tracepoints: HashSet<String>,
}

impl<'b, 'a> Cut<'b, 'a> {
    fn of(all: &'b Btf<'a>) -> Self {
        Self {
            all,
            types: Vec::new(),
            strings: vec![0],
            numbers: HashMap::from([(0, 0)]),
            count: 0,
            names: HashMap::from([(0, 0)]),
            ids: HashMap::new(),
            per_cpu: HashMap::new(),
            tracepoints: HashSet::new(),
        }
    }

    /// Takes the types of these names, with those of their fields.
    fn take(&mut self, names: &HashSet<&[u8]>) -> io::Result<()> {
        for found in self.all.types() {
            let (number, found) = found?;
            let name = self.all.name(found.name);
            match found.kind() {
                kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64
                    if names.contains(essential(name)) =>
                {
                    self.keep(number, 0)?;
                    self.ids.entry(name).or_insert(number);
                }
                kind::TYPEDEF if names.contains(essential(name)) => {
                    let named = self.keep(found.size_or_type, 0)?;
                    let name = self.name(found.name);
                    self.add(name, found.info, named, &[]);
                }
                kind::TYPEDEF => {
                    let tracepoint = name.strip_prefix(b"btf_trace_");
                    self.tracepoints.extend(tracepoint.map(text));
                }
                kind::DATASEC if name == b".data..percpu" => {
                    for variable in found.more.chunks_exact(12) {
                        let name = self.all.by_number(u32_at(variable, 0)?)?.name;
                        let name = text(self.all.name(name));
                        self.per_cpu.insert(name, u32_at(variable, 4)?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps a type and those of its fields; returns its new number. In a field, names of types, and `const` and
    /// the like, make no difference to libbpf: what they stand for is kept in their place.
    fn keep(&mut self, number: u32, depth: u32) -> io::Result<u32> {
        if depth > DEEPEST {
            return Err(malformed("its types are nested too deep"));
        }
        let depth = depth + 1;
        if let Some(&kept) = self.numbers.get(&number) {
            return Ok(kept);
        }
        let found = self.all.by_number(number)?;
        let kept = match found.kind() {
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                self.keep(found.size_or_type, depth)?
            }
            kind::POINTER => self.add(0, found.info, 0, &[]),
            kind::ARRAY => {
                let element = self.keep(u32_at(found.more, 0)?, depth)?;
                let index = self.keep(u32_at(found.more, 4)?, depth)?;
                let more = words([element, index, u32_at(found.more, 8)?]);
                self.add(0, found.info, 0, &more)
            }
            kind::STRUCT | kind::UNION => {
                let more = self.parts(found.more, 12, |cut, part| {
                    let field = cut.keep(u32_at(part, 4)?, depth)?;
                    Ok(vec![field, u32_at(part, 8)?])
                })?;
                self.add_named(found, &more)
            }
            kind::ENUM => {
                let more = self.parts(found.more, 8, |_, part| Ok(vec![u32_at(part, 4)?]))?;
                self.add_named(found, &more)
            }
            kind::ENUM64 => {
                let more = self.parts(found.more, 12, |_, part| {
                    Ok(vec![u32_at(part, 4)?, u32_at(part, 8)?])
                })?;
                self.add_named(found, &more)
            }
            _ => self.add_named(found, found.more),
        };
        self.numbers.insert(number, kept);
        Ok(kept)
    }

    /// The parts of a type, each with its name first.
    fn parts(
        &mut self,
        parts: &[u8],
        size: usize,
        mut rest: impl FnMut(&mut Self, &[u8]) -> io::Result<Vec<u32>>,
    ) -> io::Result<Vec<u8>> {
        let mut more = Vec::with_capacity(parts.len());
        for part in parts.chunks_exact(size) {
            let name = self.name(u32_at(part, 0)?);
            more.extend(name.to_ne_bytes());
            for word in rest(self, part)? {
                more.extend(word.to_ne_bytes());
            }
        }
        Ok(more)
    }

    fn add_named(&mut self, found: Type<'_>, more: &[u8]) -> u32 {
        let name = self.name(found.name);
        self.add(name, found.info, found.size_or_type, more)
    }

    fn add(&mut self, name: u32, info: u32, size_or_type: u32, more: &[u8]) -> u32 {
        self.types.extend(words([name, info, size_or_type]));
        self.types.extend(more);
        self.count += 1;
        self.count
    }

    fn name(&mut self, name: u32) -> u32 {
        *self.names.entry(name).or_insert_with(|| {
            let at = self.strings.len() as u32;
            self.strings.extend(self.all.name(name));
            self.strings.push(0);
            at
        })
    }

    /// As libbpf reads it.
    fn encoded(&self) -> Vec<u8> {
        const HEADER: u32 = 24;
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut encoded = Vec::with_capacity((HEADER + types + strings) as usize);
        encoded.extend(MAGIC.to_ne_bytes());
        encoded.extend([1, 0]); // the version, and no flags
        encoded.extend(words([HEADER, 0, types, types, strings]));
        encoded.extend(&self.types);
        encoded.extend(&self.strings);
        encoded
    }
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use libbpf_rs::{
        HasSize,
        btf::{Btf as Theirs, types},
    };

    /// Size, and each field with its offset in bits and the size of its type, as libbpf reads them.
    fn layout(btf: &Theirs<'_>, name: &str) -> (usize, Vec<(String, String)>) {
        let found: types::Struct<'_> = btf.type_by_name(name).expect("a struct of that name");
        let fields = found.iter().map(|field| {
            let name = field.name.unwrap_or_default().to_string_lossy();
            (name.into_owned(), format!("{:?}", field.attr))
        });
        (found.size(), fields.collect())
    }

    #[test]
    fn what_is_cut_out_is_as_it_was() {
        let kernel = Theirs::from_vmlinux().expect("the kernel has BTF");
        let types = KernelTypes::of_this_kernel().expect("it can be read");
        let cut = Theirs::from_path(types.path()).expect("libbpf reads it");
        for name in ["task_struct", "rq", "mm_struct", "file", "percpu_counter"] {
            assert_eq!(layout(&cut, name), layout(&kernel, name), "{name}");
        }
        assert!(
            cut.len() < kernel.len() / 50,
            "{} of {}",
            cut.len(),
            kernel.len()
        );
        let task: types::Struct<'_> = kernel.type_by_name("task_struct").expect("it is there");
        let numbers = [types.ids.task_struct, types.ids.file, types.ids.llist_head];
        assert_eq!(numbers[0], u32::from(task.type_id()));
        assert!(!numbers.contains(&0), "{numbers:?}");
        assert!(types.has_tracepoint("sched_switch"));
        assert!(!types.has_tracepoint("sched_never"));
        let distances = types.distances_per_cpu("runqueues", ["runqueues", "no_such_variable"]);
        assert_eq!(distances, [Some(0), None]);
    }

    #[test]
    fn what_is_not_btf_is_refused() {
        let said = |bytes: &[u8]| KernelTypes::cut_out(bytes).err().map(|e| e.to_string());
        let refused = |bytes: &[u8], why: &str| {
            let said = said(bytes).expect("an error");
            assert!(said.contains(why), "{said}");
        };
        refused(b"ELF", "does not begin like BTF");
        let header = |types: u32, strings: u32| {
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            bytes.extend(words([24, 0, types, types, strings]));
            bytes
        };
        refused(&header(0, 0)[..12], "ends early");
        refused(&header(12, 1), "a section lies outside");
        let with = |one: [u32; 3]| [header(12, 1), words(one), vec![0]].concat();
        refused(&with([0, 31 << 24, 0]), "unknown kind 31");
        refused(&with([0, kind::INT << 24, 4]), "ends within a type");
        let of_itself = [words([1, kind::TYPEDEF << 24, 1]), b"\0rq\0".to_vec()].concat();
        refused(&[header(12, 4), of_itself].concat(), "nested too deep");
        assert_eq!(said(&with([0, kind::POINTER << 24, 0])), None);
    }
}
