//! The names of functions, by their addresses.

use super::{
    images::{Images, MappingOf},
    modules::{Module, Modules},
};
use crate::snapshot::stacks::{Frame, FrameKind, Taken};
use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Symbolizer,
        source::{Elf, Kernel, Source},
    },
};
use probe_ebpf::stack_sample::Frames;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
};

/// What a stack ends with that goes back to where its thread or process began. Of others the outermost frames are
/// missing.
const STARTS: [&str; 10] = [
    "_start",
    "main",
    "__libc_start_main",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "clone3",
    "__clone3",
    "runtime.goexit.abi0",
    "runtime.mstart",
];
/// Libraries that threads begin in, whose functions for that have no names where they are stripped.
const STARTERS: [&str; 4] = ["libc.so", "libc-2.", "ld-linux", "ld-musl"];
/// The last function of the kernel before the switch: what comes in it is of the switch itself, and of us.
const SWITCH: &str = "__schedule";

/// Names functions, and remembers them.
pub(super) struct Symbols {
    images: Images,
    modules: Modules,
    symbolizer: Symbolizer,
    kernel: Option<Source<'static>>,
    in_kernel: HashMap<u64, Frame>,
    in_module: HashMap<(usize, u64), Frame>,
}

impl Symbols {
    pub(super) fn new() -> Self {
        let kernel = Kernel {
            vmlinux: MaybeDefault::None,
            debug_syms: false,
            ..Kernel::default()
        };
        Self {
            images: Images::default(),
            modules: Modules::default(),
            symbolizer: Symbolizer::builder()
                .enable_code_info(false)
                .enable_inlined_fns(false)
                .enable_auto_reload(false)
                .build(),
            kernel: tells_addresses().then_some(Source::Kernel(kernel)),
            in_kernel: HashMap::new(),
            in_module: HashMap::new(),
        }
    }

    /// Whether functions of the kernel have names.
    pub(super) fn kernel_named(&self) -> bool {
        self.kernel.is_some()
    }

    /// Looks at processes, so that what they have mapped is known when others are gone that they forked.
    pub(super) fn prepare(&mut self, processes: impl Iterator<Item = u32>) {
        for pid in processes {
            self.images.prepare(pid, &mut self.modules);
        }
    }

    /// From now on processes may be looked at again.
    pub(super) fn look_again(&mut self) {
        self.images.look_again();
    }

    /// What a process has mapped; none if that is not known.
    pub(super) fn mapped(&mut self, pid: u32, image: u64, stack: &Frames) -> Option<usize> {
        self.images
            .space(pid, image, &stack.user, &mut self.modules)
    }

    /// The functions of a stack, outermost first. Of one that `left` its CPU, without those of the switch.
    pub(super) fn stack(
        &mut self,
        mapped: Option<usize>,
        stack: &Frames,
        left: bool,
        in_kernel_alone: bool,
    ) -> (Taken, Vec<Frame>) {
        let mut frames = Vec::new();
        for (place, address) in stack.kernel.iter().enumerate() {
            // Where a call returns to may be another function.
            let frame = self.kernel_frame(address.saturating_sub(u64::from(place > 0)));
            if left && frame.name == SWITCH {
                frames.clear();
                continue;
            }
            frames.push(frame);
        }
        let user = self.user_frames(mapped, &stack.user);
        let starts = user.last().is_some_and(is_start) || in_kernel_alone;
        let taken = match stack.user.is_empty() {
            true if !in_kernel_alone => Taken::KernelAlone,
            _ if starts && user.len() == stack.user.len() => Taken::Whole,
            _ => Taken::CutShort,
        };
        frames.extend(user.into_iter().map(|(frame, _)| frame));
        frames.reverse();
        (taken, frames)
    }

    /// Those up to the first address where there is no code: from there on frame pointers have led nowhere. With
    /// each, whether it lies in a library that threads begin in and is not the innermost.
    fn user_frames(&mut self, mapped: Option<usize>, addresses: &[u64]) -> Vec<(Frame, bool)> {
        let mut frames = Vec::new();
        for (place, address) in addresses.iter().enumerate() {
            let Some(mapped) = mapped else {
                let name = "[process that has ended]".to_owned();
                let kind = FrameKind::UserNameless;
                return vec![(Frame { name, kind }, false)];
            };
            let address = address.saturating_sub(u64::from(place > 0));
            let Some(frame) = self.user_frame(mapped, address) else {
                break;
            };
            frames.push((frame.0, frame.1 && place > 0));
        }
        frames
    }

    fn user_frame(&mut self, mapped: usize, address: u64) -> Option<(Frame, bool)> {
        let mapping = self.images.mapping(mapped, address)?;
        let number = match &mapping.of {
            MappingOf::File(number) => *number,
            MappingOf::Named(name) => {
                let frame = Frame {
                    name: name.clone(),
                    kind: FrameKind::UserNameless,
                };
                return Some((frame, false));
            }
        };
        let offset = address - mapping.start + mapping.offset;
        let module = self.modules.get(number);
        let is_starter = STARTERS.iter().any(|start| module.name.starts_with(start));
        let symbolizer = &self.symbolizer;
        let frame = self
            .in_module
            .entry((number, offset))
            .or_insert_with(|| frame_in(symbolizer, module, offset));
        Some((frame.clone(), is_starter))
    }

    fn kernel_frame(&mut self, address: u64) -> Frame {
        let (symbolizer, kernel) = (&self.symbolizer, &self.kernel);
        let frame = self.in_kernel.entry(address).or_insert_with(|| {
            let named = kernel.as_ref().and_then(|kernel| {
                let found = symbolizer.symbolize_single(kernel, Input::AbsAddr(address));
                Some(found.ok()?.into_sym()?.name.into_owned())
            });
            match named {
                Some(name) => Frame {
                    name,
                    kind: FrameKind::Kernel,
                },
                None => Frame {
                    name: "[kernel]".into(),
                    kind: FrameKind::KernelNameless,
                },
            }
        });
        frame.clone()
    }
}

/// The function at a place in a file.
fn frame_in(symbolizer: &Symbolizer, module: &Module, offset: u64) -> Frame {
    let address = module.address(offset);
    let named = address.and_then(|address| {
        module.readable.iter().find_map(|path| {
            let source = Source::Elf(Elf {
                debug_syms: false,
                ..Elf::new(path)
            });
            let found = symbolizer.symbolize_single(&source, Input::VirtOffset(address));
            let symbol = found.ok()?.into_sym()?;
            // Beyond the end of the one before is a function without a name.
            let within = symbol
                .size
                .is_none_or(|size| size == 0 || symbol.offset < size);
            within.then(|| symbol.name.into_owned())
        })
    });
    match named {
        Some(name) => Frame {
            name,
            kind: FrameKind::User,
        },
        None => Frame {
            name: format!("{}+{:#x}", module.name, address.unwrap_or(offset)),
            kind: FrameKind::UserNameless,
        },
    }
}

fn is_start((frame, in_starter): &(Frame, bool)) -> bool {
    match frame.kind {
        FrameKind::User => STARTS.contains(&frame.name.as_str()),
        _ => *in_starter,
    }
}

/// Whether the kernel tells us the addresses of its functions (kernel.kptr_restrict, CAP_SYSLOG).
fn tells_addresses() -> bool {
    let Ok(file) = File::open("/proc/kallsyms") else {
        return false;
    };
    let is_address = |line: &str| {
        let address = line.split(' ').next().unwrap_or_default();
        u64::from_str_radix(address, 16).is_ok_and(|address| address >> 47 > 0)
    };
    // The first may lie at 0 though: where all symbols are there, these are per-CPU variables.
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.take(10_000).any(|line| is_address(&line))
}
