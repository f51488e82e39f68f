//! What processes have mapped, kept beyond their end.
//!
//! A process that has ended before it was looked at had what the process has that forked it: both have the same image
//! (see [`image_number`]), until one executes another program. What it mapped by itself meanwhile is not known,
//! and is not guessed: only what was mapped when that one was first looked at counts.

use super::modules::Modules;
use probe_ebpf::stack_sample::image_number;
use procfs::process::{MMPermissions, MMapPath, Process};
use std::collections::HashMap;

/// A part of an address space with code in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// In the file.
    pub(super) offset: u64,
    pub(super) of: MappingOf,
}

/// What is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum MappingOf {
    /// A file, by its number among the [`Modules`].
    File(usize),
    /// Something of the kernel's, such as `[vdso]`, or memory without a file.
    Named(String),
}

/// Address spaces, as far as there is code in them.
#[derive(Default)]
pub(super) struct Images {
    /// Each once; what processes share they share here.
    spaces: Vec<Vec<Mapping>>,
    numbers: HashMap<Vec<Mapping>, usize>,
    /// By pid and image.
    of_process: HashMap<(u32, u64), Known>,
    /// By image, of the process that was looked at first.
    of_image: HashMap<u64, usize>,
    /// A process is looked at once in each, at most.
    turn: u32,
}

/// Turns after which a process is looked at again in which frame pointers lead to where no code is known: most lead
/// nowhere, and some to code that was mapped meanwhile.
const LATER: u32 = 10;

/// What is known of a process.
#[derive(Clone, Copy)]
struct Known {
    space: Option<usize>,
    /// The turn in which it was looked at last.
    looked: u32,
}

impl Images {
    /// Looks at a process, unless another one of the same image is known.
    pub(super) fn prepare(&mut self, pid: u32, modules: &mut Modules) {
        if image_of(pid).is_some_and(|image| !self.of_image.contains_key(&image)) {
            self.look(pid, None, modules);
        }
    }

    /// From now on processes may be looked at again.
    pub(super) fn look_again(&mut self) {
        self.turn += 1;
    }

    /// The address space of a process, in which these addresses should be, innermost first; none if nothing is
    /// known of it.
    pub(super) fn space(
        &mut self,
        pid: u32,
        image: u64,
        addresses: &[u64],
        modules: &mut Modules,
    ) -> Option<usize> {
        let known = self.of_process.get(&(pid, image)).copied();
        let old = known.and_then(|known| known.space);
        if known.is_some_and(|known| self.suffices(&known, addresses)) {
            return old;
        }
        let seen = self.look(pid, Some(image), modules);
        let space = seen.or(old).or_else(|| self.of_image.get(&image).copied());
        let looked = self.turn;
        self.of_process
            .insert((pid, image), Known { space, looked });
        space
    }

    /// Whether there is no need to look again.
    fn suffices(&self, known: &Known, addresses: &[u64]) -> bool {
        let missing = |address: &&u64| {
            known
                .space
                .is_none_or(|space| self.mapping(space, **address).is_none())
        };
        let age = self.turn - known.looked;
        // The innermost is where the task was: there is code, by all means.
        age == 0
            || !addresses.first().as_ref().is_some_and(missing)
                && (age < LATER || !addresses.iter().any(|it| missing(&it)))
    }

    /// What is mapped there.
    pub(super) fn mapping(&self, space: usize, address: u64) -> Option<&Mapping> {
        let space = self.spaces.get(space)?;
        let place = space.partition_point(|mapping| mapping.end <= address);
        space.get(place).filter(|mapping| mapping.start <= address)
    }

    /// Reads what a process has mapped, if it has that image, or any.
    fn look(&mut self, pid: u32, image: Option<u64>, modules: &mut Modules) -> Option<usize> {
        let before = image_of(pid)?;
        if image.is_some_and(|image| image != before) {
            return None;
        }
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let mappings: Vec<Mapping> = process
            .maps()
            .ok()?
            .into_iter()
            .filter(|mapping| mapping.perms.contains(MMPermissions::EXECUTE))
            .map(|mapping| Mapping {
                start: mapping.address.0,
                end: mapping.address.1,
                offset: mapping.offset,
                of: match &mapping.pathname {
                    MMapPath::Path(path) => MappingOf::File(modules.number(pid, &mapping, path)),
                    MMapPath::Vdso => MappingOf::Named("[vdso]".into()),
                    MMapPath::Vsyscall => MappingOf::Named("[vsyscall]".into()),
                    _ => MappingOf::Named("[anonymous code]".into()),
                },
            })
            .collect();
        // Of one that executes another program meanwhile nothing is known.
        if image_of(pid)? != before {
            return None;
        }
        let next = self.spaces.len();
        let number = *self.numbers.entry(mappings.clone()).or_insert(next);
        if number == next {
            self.spaces.push(mappings);
        }
        self.of_image.entry(before).or_insert(number);
        let known = Known {
            space: Some(number),
            looked: self.turn,
        };
        self.of_process.insert((pid, before), known);
        Some(number)
    }
}

fn image_of(pid: u32) -> Option<u64> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    Some(image_number(stat.startcode, stat.endcode, stat.startstack))
}
