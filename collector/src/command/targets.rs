//! Whom `attach` and `top` watch: from what the user asked for to the probes for it.

use super::Usage;
use crate::{
    attach::{
        choice::{self, Chosen},
        databases::of_kind,
        following::Following,
        login::{Asked, Logins},
    },
    cli::Targets,
    limits::{SPARE_DESCRIPTORS, raise_open_files, too_few_files},
    sample::Sampler,
    snapshot::Snapshot,
};
use anyhow::{Result, bail};
use probe_ebpf::Options;

/// What the options ask for.
pub(super) fn asked(args: &Targets) -> Result<choice::Asked> {
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
    Ok(choice::Asked {
        pids: args.pid.clone(),
        databases: databases.collect(),
        ports: args.port.clone(),
        units: args.unit.clone(),
        cgroups: args.cgroup.clone(),
        names: Vec::new(),
    })
}

/// Logs in to those of these targets that the options, or the environment, ask for.
pub(super) fn log_in(args: &Targets, targets: &[Chosen]) -> Result<Logins> {
    let given = [
        ("--postgres-dsn", &args.postgres_dsn[..]),
        ("--mysql-dsn", &args.mysql_dsn[..]),
    ];
    let targets: Vec<&Chosen> = targets.iter().collect();
    let logins = Logins::begin(Asked::all(&given), &targets);
    logins.map_err(|error| Usage(format!("{error:#}")).into())
}

/// The probes for these targets, which watch nobody yet.
pub(super) fn load(args: &Targets, targets: &[Chosen], options: &Options) -> Result<Sampler> {
    let has_threads = |target: &Chosen| of_kind(target.kind).is_some_and(|it| it.has_threads);
    if args.busy_connections && !targets.iter().any(has_threads) {
        let problem = "--busy-connections: no server is watched that has a thread for each connection; choose one by \
                       --mysql";
        return Err(Usage(problem.to_owned()).into());
    }
    let limit = raise_open_files();
    if limit < SPARE_DESCRIPTORS {
        bail!(too_few_files("load the probes", limit, SPARE_DESCRIPTORS));
    }
    let mut sampler = Sampler::load(&Following::roles(targets), options)?;
    if args.busy_connections {
        sampler.note_socket_waiters();
    }
    Ok(sampler)
}

/// Whether a target has no tasks any more.
pub(super) fn has_ended(snapshot: &Snapshot) -> bool {
    snapshot.roles.iter().all(|role| role.tasks.is_empty())
}
