//! Which thread waits at which socket, where that is asked for.

use super::Watch;
use crate::{
    Error,
    probes::socket_waiters::{SocketWaiters, WaitersBySocket},
};

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

    /// Those that were seen so far; `None` where it was not asked for.
    ///
    /// # Errors
    /// If the kernel refuses to be read.
    pub fn socket_waiters(&self) -> Result<Option<WaitersBySocket>, Error> {
        let noted = self.socket_waiters.as_ref();
        noted.map(SocketWaiters::read).transpose()
    }
}
