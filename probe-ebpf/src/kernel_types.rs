//! The types of the kernel that our programs name, cut out of all that its BTF describes.
//!
//! Loading an object, libbpf looks for each kernel type it names among all of them, some 126,000, each time
//! from the first to the last; that took half of the time from our start to the first data. Among
//! the few that are named at all it is found at once. A type of a field comes along; what a field
//! points to does not, since nothing is relocated through a pointer.

mod btf;
mod cut;

use crate::{abi, platform::BTF_PATH};
use btf::Btf;
use cut::Cut;
use libbpf_rs::btf::types;
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    ops::Deref,
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

include!(concat!(env!("OUT_DIR"), "/kernel_names.rs"));

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

    /// Whether a struct that our programs name has a field of this name.
    ///
    /// # Errors
    /// If the types cannot be read.
    pub(crate) fn has_field(&self, of: &str, field: &str) -> libbpf_rs::Result<bool> {
        let btf = libbpf_rs::btf::Btf::from_path(self.path())?;
        let found: Option<types::Struct<'_>> = btf.type_by_name(of);
        let is_it = |name: &OsStr| name == field;
        Ok(found.is_some_and(|found| found.iter().any(|one| one.name.is_some_and(is_it))))
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

#[cfg(test)]
mod tests {
    use super::btf::{MAGIC, kind, words};
    use super::*;
    use libbpf_rs::{HasSize, btf::Btf as Theirs};

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
        assert!(types.has_field("sched_entity", "sum_exec_runtime").unwrap());
        assert!(!types.has_field("sched_entity", "no_such_field").unwrap());
        assert!(
            !types
                .has_field("no_such_struct", "sum_exec_runtime")
                .unwrap()
        );
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
