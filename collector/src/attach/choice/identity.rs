//! What tells a server from its like, so that it is found again after it was started anew, and no other one is taken
//! for it: of two servers in network namespaces of their own both may listen at the same port.

use super::Host;
use super::host::{first_ones, starts_others};
use crate::attach::running::{Running, lives_in, network_of};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What is known of a server while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The lowest TCP port that it listens at, in its own network namespace.
    pub port: Option<u16>,
    /// That namespace, as the kernel names it.
    network: Option<PathBuf>,
    /// Where it works, by the name that it has for it.
    directory: Option<PathBuf>,
    /// The same, as device and inode.
    place: Option<(u64, u64)>,
    /// The unit or the container that it lives in.
    lives_in: Option<String>,
}

/// Since when one that was started may be another one anew, in seconds since boot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Since {
    /// When the one was found to be there: what ran then already is another one.
    pub found: f64,
    /// When it was seen to be there last.
    pub alive: f64,
}

impl Identity {
    pub(super) fn of(process: &Running, port: Option<u16>) -> Self {
        let place = fs::metadata(format!("/proc/{}/cwd", process.pid));
        Self {
            port,
            network: network_of(process.pid),
            directory: process.directory(),
            place: place.ok().map(|place| (place.dev(), place.ino())),
            lives_in: lives_in(process.pid),
        }
    }

    /// Whether a process is it, started anew: it listens where this did. In another network namespace it is in the
    /// same place besides, and was started when this had ended: a container may get a new one.
    pub(super) fn is_again(&self, process: &Running, host: &Host<'_>, since: Since) -> bool {
        let has_port = |port| host.ports.of(process).contains(&port);
        if !self.port.is_none_or(has_port) {
            return false;
        }
        let other = Self::of(process, self.port);
        let started = process.started_after_boot();
        let started_after = |seconds: f64| started.is_some_and(|it| it >= seconds);
        let same_place = is_same(&self.place, &other.place);
        let same_name = is_same(&self.directory, &other.directory);
        let is_ours = is_same(&self.network, &network_of(std::process::id()));
        if self.port.is_some() && is_same(&self.network, &other.network) {
            // The number of a namespace that is no more is given to others; ours stays.
            return started_after(since.found) && (is_ours || same_place || same_name);
        }
        let same_home = same_name && is_same(&self.lives_in, &other.lives_in);
        started_after(since.alive) && (same_place || same_home)
    }
}

impl Host<'_> {
    /// The server of that option that is this one, started anew; nobody if several may be.
    pub(super) fn server_again(&self, option: &str, it: &Identity, since: Since) -> Vec<u32> {
        let of_option = self
            .servers()
            .iter()
            .filter(|(its, _)| its.option == option);
        let again = of_option.filter(|(_, process)| it.is_again(process, self, since));
        the_one(again.map(|(_, process)| process.pid).collect())
    }

    /// The same of one of any kind.
    pub(super) fn listener_again(&self, it: &Identity, since: Since) -> Vec<u32> {
        let processes = self.processes().iter();
        let again: Vec<&Running> = processes
            .filter(|process| !starts_others(process) && it.is_again(process, self, since))
            .collect();
        let first = first_ones(&again, self.processes());
        the_one(first.iter().map(|process| process.pid).collect())
    }
}

/// It, if there is one alone.
fn the_one(pids: Vec<u32>) -> Vec<u32> {
    match pids.len() {
        1 => pids,
        _ => Vec::new(),
    }
}

/// Whether both are known, and the same.
fn is_same<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::running;
    use std::net::TcpListener;

    const LONG_AGO: Since = Since {
        found: 0.0,
        alive: 0.0,
    };

    #[test]
    fn who_listens_elsewhere_or_was_there_already_is_another() {
        let processes = running::all().expect("/proc");
        let host = Host::new(&processes);
        let own = processes.iter().find(|it| it.pid == std::process::id());
        let own = own.expect("it runs");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let it = Identity::of(own, Some(port));
        let is_again = |it: &Identity, since| it.is_again(own, &host, since);
        assert!(is_again(&it, LONG_AGO));
        let now = Since {
            // Starts are known to a tick of the kernel's.
            found: running::now_after_boot() + 1.0,
            alive: LONG_AGO.alive,
        };
        assert!(!is_again(&it, now));
        let mut other = it.clone();
        other.port = port.checked_add(1);
        assert!(!is_again(&other, LONG_AGO));
        // Of a container that was started anew: in another network, but at the same place.
        let mut moved = it.clone();
        moved.network = Some("net:[1]".into());
        assert!(is_again(&moved, LONG_AGO));
        let ended_now = Since {
            found: LONG_AGO.found,
            alive: now.found,
        };
        assert!(!is_again(&moved, ended_now));
        moved.place = None;
        assert_eq!(is_again(&moved, LONG_AGO), moved.lives_in.is_some());
        moved.directory = Some("/elsewhere".into());
        assert!(!is_again(&moved, LONG_AGO));
    }
}
