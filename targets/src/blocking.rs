//! A connection served by a task of its own that blocks: one read, all complete requests executed,
//! one write. What blocks is a kernel thread, a process, or a coroutine that others go on beside.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::listen::shut_down;
use crate::session::{Session, Stop};
use crate::store::Lock;
use crate::work::{Context, burn};

/// Calls that hold up the task which makes them.
pub(crate) trait Connection {
    /// The socket.
    fn socket(&self) -> BorrowedFd<'_>;
    /// Reads once into the session's input; 0 when the client has ended its side.
    fn receive(&self, session: &mut Session) -> Result<usize, Errno>;
    /// Writes all of the session's output.
    fn send(&self, session: &mut Session) -> Result<(), Errno>;
    /// Waits without CPU.
    fn sleep(&self, session: &mut Session, time: Duration);
}

/// A connection over a socket that blocks the thread.
impl Connection for BorrowedFd<'_> {
    fn socket(&self) -> BorrowedFd<'_> {
        *self
    }

    fn receive(&self, session: &mut Session) -> Result<usize, Errno> {
        // The room is reserved beforehand, outside the retry.
        let input = session.input();
        Ok(retry_on_intr(|| recv(self, spare_capacity(input), RecvFlags::empty()))?.0)
    }

    fn send(&self, session: &mut Session) -> Result<(), Errno> {
        while !session.output().is_empty() {
            let sent = retry_on_intr(|| send(self, session.output(), SendFlags::NOSIGNAL))?;
            session.wrote(sent);
        }
        Ok(())
    }

    fn sleep(&self, _: &mut Session, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Serves a socket that blocks; see [`serve`].
pub(crate) fn serve_socket<L: Lock>(
    socket: impl AsFd,
    context: &Context<'_, L>,
    stopping: &AtomicBool,
) {
    serve(&socket.as_fd(), &mut Session::default(), context, stopping);
}

/// Serves `connection` until the client goes, breaks the protocol or quits, or until `stopping`
/// is set, in which case requests already read are answered first. To wake a task that blocks in a
/// read, shut the socket down for reading.
pub(crate) fn serve<L: Lock>(
    connection: &impl Connection,
    session: &mut Session,
    context: &Context<'_, L>,
    stopping: &AtomicBool,
) {
    // An error means that the client has gone: there is nobody to tell.
    let _ = exchange(connection, session, context, stopping);
    shut_down(connection.socket());
}

fn exchange<L: Lock>(
    connection: &impl Connection,
    session: &mut Session,
    context: &Context<'_, L>,
    stopping: &AtomicBool,
) -> Result<(), Errno> {
    loop {
        if connection.receive(session)? == 0 {
            return Ok(());
        }
        loop {
            let stop = session.execute(context);
            connection.send(session)?;
            match stop {
                Stop::OutputFull => {}
                Stop::Wait(time) => connection.sleep(session, time),
                Stop::Work(time) => burn(time),
                Stop::NeedInput => break,
                Stop::Close => return Ok(()),
            }
        }
        if stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}
