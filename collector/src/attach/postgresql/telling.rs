//! The roles of PostgreSQL's processes, by their titles.

use super::title::{CHECKPOINTER, OTHER, POSTMASTER, ROLES, cluster_name, parse, read};
use crate::attach::process::children;
use crate::attach::telling::Telling;
use crate::roles::Roles;
use probe_ebpf::Unsettled;

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
}

impl Titles {
    /// Those of the server with this pid.
    #[must_use]
    pub fn of(postmaster: u32) -> Box<dyn Telling> {
        Box::new(Self {
            postmaster,
            cluster_name: None,
        })
    }
}

impl Telling for Titles {
    fn role_of(&mut self, task: &Unsettled) -> Option<usize> {
        if task.pid == self.postmaster {
            return OF_POSTGRESQL.place(POSTMASTER);
        }
        if self.cluster_name.is_none() {
            self.cluster_name = name_of_cluster(self.postmaster);
        }
        let cluster_name = self.cluster_name.as_ref()?.as_deref();
        let role = match parse(&read(task.pid)?, cluster_name) {
            Some(title) => title.role,
            None => OTHER,
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
    titles.iter().any(is_checkpointer).then_some(name)
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
