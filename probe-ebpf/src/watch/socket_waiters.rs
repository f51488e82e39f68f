//! Which thread waits at which socket, where that is asked for.

use super::Watch;
use crate::{
    Error,
    probes::socket_waiters::{self, SocketWaiters, WaitersBySocket},
};
use std::sync::LazyLock;

impl Watch {
    /// Notes from now on at which sockets the tasks that are watched sleep. Before the first reading, so that
    /// its cost is counted with that of the others.
    ///
    /// # Errors
    /// If the kernel refuses the program for it, with the remedy.
    pub fn note_socket_waiters(&mut self) -> Result<(), Error> {
        self.socket_waiters = Some(SocketWaiters::begin(&self.tasks, self.groups)?);
        Ok(())
    }

    /// Those that were seen so far; `None` where it was not asked for. None either if they cannot be read: they are
    /// noted no more then, and the rest go on; [`unavailable`](Self::unavailable) says why.
    pub fn socket_waiters(&mut self) -> Option<WaitersBySocket> {
        let seen = self.socket_waiters.as_ref()?.read();
        seen.map_err(|error| {
            self.socket_waiters = None;
            LazyLock::force_mut(&mut self.parts).give_up(&socket_waiters::PROBE, &error);
        })
        .ok()
    }
}
