//! Loads one object of BPF programs, gives it the maps it shares with others, and attaches it.

mod batch;
mod refusal;

use crate::{
    Error,
    abi::{self, Plain, kernel_type_ids},
    cost::{self, ProgramId},
    kernel_types::KernelTypes,
    probes::{MapSize, Probe},
    sample::Loss,
    tracing::Tier,
};
use batch::{read_all, take_all};
use libbpf_rs::{
    Link, Map, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject, OpenProgramMut,
    Program, ProgramAttachType, ProgramInput,
};
use refusal::{CapturedLog, refusal};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
};

/// A probe that runs in the kernel until it is dropped.
pub(crate) struct Loaded {
    probe: &'static Probe,
    /// In front of the object: dropped first.
    links: Vec<(String, Link)>,
    object: Object,
    /// The kernel's ids of its programs.
    program_ids: Vec<u32>,
}

/// How an object is loaded, where it matters.
#[derive(Default)]
pub(crate) struct How<'a> {
    /// Programs of it that are left out.
    pub(crate) without: &'a [&'a str],
    /// Each program is attached to many functions by one link.
    pub(crate) uprobe_multi: bool,
    /// Programs for another way into the kernel's functions than this are left out.
    pub(crate) tier: Option<Tier>,
    /// How many entries maps of these names have.
    pub(crate) sizes: &'a [(&'a str, u32)],
}

impl How<'_> {
    fn leaves_out(&self, program: &OpenProgramMut<'_>) -> bool {
        let of_other_tier = |tier: &Tier| tier.leaves_out(program.section());
        self.without.iter().any(|name| program.name() == *name)
            || self.tier.as_ref().is_some_and(of_other_tier)
    }
}

impl Loaded {
    /// Loads and attaches a probe. Maps that `owner` has by the same name are shared with it, the
    /// others are made; the ones kept by group have room for `groups`.
    pub(crate) fn load(
        probe: &'static Probe,
        owner: Option<&Self>,
        groups: u32,
    ) -> Result<Self, Error> {
        Self::load_with(probe, owner, groups, &How::default())
    }

    /// The same, but for what is left out.
    pub(crate) fn load_with(
        probe: &'static Probe,
        owner: Option<&Self>,
        groups: u32,
        how: &How<'_>,
    ) -> Result<Self, Error> {
        let mut loaded = Self::load_only(probe, owner, groups, how)?;
        loaded.links = attach(probe, &loaded.object)?;
        Ok(loaded)
    }

    /// Loads a probe, whose programs are attached later.
    pub(crate) fn load_only(
        probe: &'static Probe,
        owner: Option<&Self>,
        groups: u32,
        how: &How<'_>,
    ) -> Result<Self, Error> {
        let log = CapturedLog::begin();
        let refused = |source| refusal(probe, &source, &log.text());
        let types = KernelTypes::of_this_kernel()
            .map_err(|error| refused(libbpf_rs::Error::from(error)))?;
        let mut open = ObjectBuilder::default()
            .name(probe.name)
            .and_then(|builder| builder.btf_custom_path(types.path()))
            .and_then(|builder| builder.open_memory(probe.object))
            .map_err(refused)?;
        for mut program in open.progs_mut() {
            if how.leaves_out(&program) {
                program.set_autoload(false);
            }
            if how.uprobe_multi {
                program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
            }
        }
        prepare_maps(probe, &mut open, owner, groups, &types.ids).map_err(refused)?;
        for mut map in open.maps_mut() {
            if let Some((_, size)) = how.sizes.iter().find(|(name, _)| map.name() == *name) {
                map.set_max_entries(*size).map_err(refused)?;
            }
        }
        let object = open.load().map_err(refused)?;
        let id = |program: libbpf_rs::ProgramMut<'_>| Program::id_from_fd(program.as_fd()).ok();
        Ok(Self {
            probe,
            links: Vec::new(),
            program_ids: loaded_programs(&object).filter_map(id).collect(),
            object,
        })
    }

    /// Attaches one program to the hook its section names; detached when the link is dropped.
    pub(crate) fn attach_program(&self, name: &'static str) -> Result<Link, Error> {
        self.attach_by(name, |program| program.attach())
    }

    /// Attaches one program to a perf event, which is closed with the link.
    pub(crate) fn attach_to_event(
        &self,
        name: &'static str,
        event: OwnedFd,
    ) -> Result<Link, Error> {
        let fd = event.as_raw_fd();
        let link = self.attach_by(name, |program| program.attach_perf_event(fd))?;
        let _ = event.into_raw_fd(); // the link's from now on
        Ok(link)
    }

    /// A map, to be read from another thread.
    pub(crate) fn handle(&self, name: &'static str) -> Result<MapHandle, Error> {
        MapHandle::try_from(&self.map(name)).map_err(|source| self.unreadable(name, source))
    }

    /// The link of a program that was attached as the object was loaded.
    ///
    /// # Panics
    /// If there is none: a mistake in this crate, found by its tests.
    pub(crate) fn link(&self, program: &'static str) -> &Link {
        let of_program = |(name, _): &&(String, Link)| name == program;
        let found = self.links.iter().find(of_program);
        &found
            .unwrap_or_else(|| panic!("probe {} has not attached {program}", self.probe.name))
            .1
    }

    /// Runs the program without a hook here and now; returns what it returns.
    pub(crate) fn run(&self, argument: u64) -> Result<u32, Error> {
        let failed = |source| self.unreadable("raw_tp", source);
        let unhooked = self.object.progs_mut().find(|p| p.section() == UNHOOKED);
        let program =
            unhooked.ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound).into()))?;
        let mut context = argument.to_ne_bytes();
        let input = ProgramInput {
            context_in: Some(&mut context),
            ..ProgramInput::default()
        };
        let output = program.test_run(input).map_err(failed)?;
        Ok(output.return_value)
    }

    /// Runs a program at fentry, for which the kernel calls empty functions of its own.
    pub(crate) fn run_on_nothing(&self, name: &'static str) -> Result<(), Error> {
        let found = self.object.progs_mut().find(|one| one.name() == name);
        let program =
            found.unwrap_or_else(|| panic!("probe {} has no program {name}", self.probe.name));
        program
            .test_run(ProgramInput::default())
            .map(drop)
            .map_err(|source| self.unreadable(name, source))
    }

    /// Attaches the program of that name in the way that `attach` says.
    pub(crate) fn attach_by<L>(
        &self,
        name: &'static str,
        attach: impl FnOnce(libbpf_rs::ProgramMut<'_>) -> libbpf_rs::Result<L>,
    ) -> Result<L, Error> {
        let found = self.object.progs_mut().find(|one| one.name() == name);
        let program =
            found.unwrap_or_else(|| panic!("probe {} has no program {name}", self.probe.name));
        attach(program).map_err(|source| Error::Attach {
            probe: self.probe.name,
            program: name.to_owned(),
            source,
        })
    }

    /// The kernel's ids of its programs.
    pub(crate) fn program_ids(&self) -> Vec<u32> {
        self.program_ids.clone()
    }

    /// The same, with whose they are.
    pub(crate) fn programs(&self) -> Vec<ProgramId> {
        let ids = self.program_ids.iter();
        ids.map(|&id| (id, self.probe.name)).collect()
    }

    /// Something that it did not see.
    pub(crate) fn loss(&self, what: &'static str, count: u64) -> Loss {
        Loss {
            probe: self.probe.name,
            what,
            count,
        }
    }

    /// How often the kernel did not run one of its programs, since an interrupt came while the same
    /// program ran on that CPU.
    pub(crate) fn skipped(&self) -> Result<Loss, Error> {
        let skipped = |program: libbpf_rs::ProgramMut<'_>| {
            let info = cost::program_info(program.as_fd());
            info.map(|info| info.recursion_misses)
                .map_err(|error| self.unreadable("recursion_misses", error.into()))
        };
        let count = loaded_programs(&self.object)
            .map(skipped)
            .sum::<Result<_, _>>()?;
        Ok(self.loss(
            "events not seen (an interrupt came within our program)",
            count,
        ))
    }

    /// A map by the name it has in the C source.
    ///
    /// # Panics
    /// If the object has no such map: a mistake in this crate, found by its tests.
    pub(crate) fn map(&self, name: &'static str) -> Map<'_> {
        self.object
            .maps()
            .find(|map| map.name() == name)
            .unwrap_or_else(|| panic!("probe {} has no map {name}", self.probe.name))
    }

    /// The value at `index` of an array.
    pub(crate) fn value<T: Plain>(&self, name: &'static str, index: u32) -> Result<T, Error> {
        let found = self.map(name).lookup(&index.to_ne_bytes(), MapFlags::ANY);
        let bytes = found.map_err(|source| self.unreadable(name, source))?;
        bytes
            .and_then(|bytes| abi::from_bytes(&bytes))
            .ok_or_else(|| self.too_short(name))
    }

    /// The values of all CPUs at `index` of a per-CPU array.
    pub(crate) fn values<T: Plain>(&self, name: &'static str, index: u32) -> Result<Vec<T>, Error> {
        let found = self
            .map(name)
            .lookup_percpu(&index.to_ne_bytes(), MapFlags::ANY);
        let cpus = found
            .map_err(|source| self.unreadable(name, source))?
            .unwrap_or_default();
        let values: Option<Vec<T>> = cpus.iter().map(|bytes| abi::from_bytes(bytes)).collect();
        values
            .filter(|values| !values.is_empty())
            .ok_or_else(|| self.too_short(name))
    }

    pub(crate) fn unreadable(&self, object: &'static str, source: libbpf_rs::Error) -> Error {
        Error::Read {
            probe: self.probe.name,
            object,
            source,
        }
    }

    /// Takes all entries out of a hash map.
    pub(crate) fn take_all<K: Plain, V: Plain>(
        &self,
        name: &'static str,
        which: impl Fn(&K) -> bool,
    ) -> Result<Vec<(K, V)>, Error> {
        take_all(&self.map(name), which).map_err(|error| self.unreadable(name, error))
    }

    /// All entries of a hash map, which stay there.
    pub(crate) fn entries<K: Plain, V: Plain>(
        &self,
        name: &'static str,
    ) -> Result<Vec<(K, V)>, Error> {
        read_all(&self.map(name), |_| true).map_err(|error| self.unreadable(name, error))
    }

    fn too_short(&self, object: &'static str) -> Error {
        self.unreadable(object, io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

/// The programs of an object that were not left out.
fn loaded_programs(object: &Object) -> impl Iterator<Item = libbpf_rs::ProgramMut<'_>> {
    object.progs_mut().filter(|program| program.autoload())
}

/// The constants of bpf/read_at.h.
const TYPE_IDS: &str = ".rodata.types";

fn prepare_maps(
    probe: &Probe,
    open: &mut OpenObject,
    owner: Option<&Loaded>,
    groups: u32,
    type_ids: &kernel_type_ids,
) -> Result<(), libbpf_rs::Error> {
    for mut map in open.maps_mut() {
        if map.name() == TYPE_IDS {
            map.set_initial_value(abi::to_bytes(type_ids))?;
            continue;
        }
        let shared =
            owner.and_then(|owner| owner.object.maps().find(|owned| owned.name() == map.name()));
        if let Some(shared) = shared {
            map.reuse_fd(shared.as_fd())?;
            continue;
        }
        let size = |size: &&MapSize| map.name() == size.map;
        if let Some(size) = probe.map_sizes.iter().find(size) {
            map.set_max_entries((size.entries)(groups))?;
        }
    }
    Ok(())
}

/// The section of programs that are run by hand.
const UNHOOKED: &str = "raw_tp";

fn attach(probe: &'static Probe, object: &Object) -> Result<Vec<(String, Link)>, Error> {
    let attach_one = |program: libbpf_rs::ProgramMut<'_>| {
        let name = program.name().to_string_lossy().into_owned();
        match program.attach() {
            Ok(link) => Ok((name, link)),
            Err(source) => Err(Error::Attach {
                probe: probe.name,
                program: format!("{name} at {}", program.section().to_string_lossy()),
                source,
            }),
        }
    };
    let hooked = loaded_programs(object).filter(|program| program.section() != UNHOOKED);
    hooked.map(attach_one).collect()
}
