//! Databases that are watched as any process, since they were asked for so.

use super::{Chosen, Found, Host, process, running};
use crate::attach::databases::is_script;
use crate::snapshot::{TargetKind, Unavailable};

/// A line for each of these targets whose roles and names of connections another option would tell.
#[must_use]
pub fn unasked(targets: &[Chosen]) -> Vec<Unavailable> {
    if targets.iter().all(|it| it.kind != TargetKind::Process) {
        return Vec::new();
    }
    let processes = running::all().unwrap_or_default();
    let host = Host::new(&processes);
    targets.iter().filter_map(|it| host.unasked(it)).collect()
}

impl Host<'_> {
    /// Of servers without roles of their own nothing would be told besides.
    fn unasked(&self, target: &Chosen) -> Option<Unavailable> {
        if target.kind != TargetKind::Process {
            return None;
        }
        let is_one = |pid: u32| target.pids.contains(&pid);
        // A unit's first process may be a script, or a script be watched that starts the server. What else descends
        // from a process may have nothing to do with it.
        let mut scripts = self.processes().iter().filter(|it| is_script(it));
        let starts_others =
            matches!(target.found, Found::Unit(_)) || scripts.any(|it| is_one(it.pid));
        let belongs = |pid: u32| {
            is_one(pid) || starts_others && process::ancestors(pid).into_iter().any(is_one)
        };
        let servers = self.servers().iter();
        let servers: Vec<_> = servers
            .filter(|(database, server)| database.telling.is_some() && belongs(server.pid))
            .collect();
        let names: Vec<_> = servers.iter().map(|(database, _)| database.name).collect();
        let options: Vec<_> = servers
            .iter()
            .map(|(database, server)| format!("{} {}", database.option, server.pid))
            .collect();
        (!servers.is_empty()).then(|| Unavailable {
            measure: "roles".to_owned(),
            reason: format!(
                "{}: {} is watched as any process; its roles and who its connections are need {}",
                target.name,
                names.join(", "),
                options.join(" ")
            ),
        })
    }
}
