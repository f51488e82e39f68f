//! The roles of PostgreSQL's processes, by their titles.

use super::cut::{Room, serving};
use super::title::{
    CHECKPOINTER, CLIENT, OTHER, POSTMASTER, PREFIX, ROLES, cluster_name, parse, read,
};
use crate::attach::process::children;
use crate::attach::telling::Telling;
use crate::roles::Roles;
use probe_ebpf::{Unsettled, probes::socket_waiters::WaitersBySocket};
use std::collections::HashSet;

/// What a process of PostgreSQL is: the first is the postmaster, all others are starting until they have
/// a title of their own.
pub static OF_POSTGRESQL: Roles = Roles {
    names: ROLES,
    main: 0,
    thread: 1,
    process: 1,
    thread_of_process: 1,
    told_later: true,
};

/// Reads the titles of one server's processes.
pub struct Titles {
    postmaster: u32,
    /// The name that titles begin with, if they do; not known before its checkpointer runs.
    cluster_name: Option<Option<String>>,
    /// Processes that hold a client's socket, as far as they were looked for in this round.
    serving: Option<HashSet<u32>>,
}

impl Titles {
    /// Those of the server with this pid.
    #[must_use]
    pub fn of(postmaster: u32) -> Box<dyn Telling> {
        Box::new(Self {
            postmaster,
            cluster_name: None,
            serving: None,
        })
    }

    /// Whether a process whose title does not tell what it is serves a client.
    fn serves(&mut self, pid: u32) -> bool {
        let postmaster = self.postmaster;
        let all = || serving(postmaster, &children(postmaster)).unwrap_or_default();
        self.serving.get_or_insert_with(all).contains(&pid)
    }
}

impl Telling for Titles {
    fn begin(&mut self, _waiters: Option<&WaitersBySocket>) {
        self.serving = None;
    }

    fn role_of(&mut self, task: &Unsettled) -> Option<usize> {
        if task.pid == self.postmaster {
            return OF_POSTGRESQL.place(POSTMASTER);
        }
        if self.cluster_name.is_none() {
            self.cluster_name = name_of_cluster(self.postmaster);
        }
        let cluster_name = self.cluster_name.as_ref()?.as_deref();
        let text = read(task.pid)?;
        let role = match parse(&text, cluster_name) {
            Some(title) => title.role,
            None => OTHER,
        };
        let role = match role {
            OTHER if text.starts_with(PREFIX) && self.serves(task.pid) => CLIENT,
            role => role,
        };
        // Until it has a title of its own, it shows the one of the postmaster.
        OF_POSTGRESQL.place(role).filter(|_| role != POSTMASTER)
    }
}

fn name_of_cluster(postmaster: u32) -> Option<Option<String>> {
    let titles: Vec<_> = children(postmaster).into_iter().filter_map(read).collect();
    let name = cluster_name(&titles);
    let is_checkpointer = |title: &String| {
        parse(title, name.as_deref()).is_some_and(|title| title.role == CHECKPOINTER)
    };
    // Where its title is cut short, nothing will ever tell.
    let room = Room::of(postmaster);
    let is_known = titles.iter().any(is_checkpointer);
    (is_known || titles.iter().any(|title| room.is_filled_by(title))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::postgresql::title::STARTING;

    #[test]
    fn all_but_the_first_begin_as_starting() {
        let name = |place: usize| OF_POSTGRESQL.names[place];
        assert_eq!(name(OF_POSTGRESQL.main), POSTMASTER);
        let Roles {
            thread,
            process,
            thread_of_process,
            ..
        } = OF_POSTGRESQL;
        for place in [thread, process, thread_of_process] {
            assert_eq!(name(place), STARTING);
        }
    }
}
