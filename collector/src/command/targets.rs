//! Whom `attach` and `top` watch: from what the user asked for to a watch over it, and whether it is still there.

use super::Usage;
use crate::{
    attach::{
        choice::{Asked, Chosen},
        process,
        telling::roles_of,
    },
    cli::Targets,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    sample::Sampler,
    snapshot::Snapshot,
};
use anyhow::{Result, bail};
use probe_ebpf::Options;

/// What the options ask for.
pub(super) fn asked(args: &Targets) -> Result<Asked> {
    if let Some(pid) = args
        .pid
        .iter()
        .find(|pid| args.pid.iter().filter(|other| other == pid).count() > 1)
    {
        return Err(Usage(format!("pid {pid} is given twice")).into());
    }
    let databases = [
        ("--postgres", &args.postgres),
        ("--mysql", &args.mysql),
        ("--redis", &args.redis),
        ("--pgbouncer", &args.pgbouncer),
    ];
    let databases = databases
        .into_iter()
        .flat_map(|(option, servers)| servers.iter().map(move |server| (option, server.clone())));
    Ok(Asked {
        pids: args.pid.clone(),
        databases: databases.collect(),
        ports: args.port.clone(),
        units: args.unit.clone(),
        cgroups: args.cgroup.clone(),
    })
}

/// The probes for these targets, which watch nobody yet.
pub(super) fn load(targets: &[Chosen], options: &Options) -> Result<Sampler> {
    let limit = raise_open_files();
    if limit < SPARE_DESCRIPTORS {
        bail!(too_few_files("load the probes", limit, SPARE_DESCRIPTORS));
    }
    let roles: Vec<_> = targets.iter().map(roles_of).collect();
    Ok(Sampler::load(&roles, options)?)
}

/// From now on they are watched.
pub(super) fn add_all(sampler: &mut Sampler, targets: &[Chosen]) -> Result<()> {
    let mut targets = targets.iter().enumerate();
    targets.try_for_each(|(target, chosen)| add(sampler, target, chosen))
}

/// Of several processes some may have ended by now.
fn add(sampler: &mut Sampler, target: usize, chosen: &Chosen) -> Result<()> {
    let mut gone = Vec::new();
    for &pid in &chosen.pids {
        if let Err(error) = sampler.add(target, pid) {
            // It was there a moment ago; how it has ended says more.
            gone.push(process::name_of(pid).err().ok_or(error)?);
        }
    }
    match gone.pop() {
        Some(ended) if gone.len() + 1 == chosen.pids.len() => Err(ended),
        _ => Ok(()),
    }
}

/// Whether none of the processes is there that were chosen; others that descend from them may be.
pub(super) fn is_gone(target: &Chosen) -> bool {
    let mut pids = target.pids.iter();
    pids.all(|&pid| process::name_of(pid).is_err())
}

/// Whether a target has no tasks any more.
pub(super) fn has_ended(snapshot: &Snapshot) -> bool {
    snapshot.roles.iter().all(|role| role.tasks.is_empty())
}
