//! A connection served by a task of its own that blocks: one read, all complete requests executed,
//! one write.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::listen::shut_down;
use crate::session::{Session, Stop};
use crate::store::Lock;
use crate::work::{Context, burn};

/// Serves `connection` until the client goes, breaks the protocol or quits, or until `stopping`
/// is set, in which case requests already read are answered first. To wake a task that blocks in a
/// read, shut the socket down for reading.
pub(crate) fn serve<L: Lock>(
    connection: impl AsFd,
    context: &Context<'_, L>,
    stopping: &AtomicBool,
) {
    let connection = connection.as_fd();
    let mut session = Session::default();
    // An error means that the client has gone: there is nobody to tell.
    let _ = exchange(connection, &mut session, context, stopping);
    shut_down(connection);
}

fn exchange<L: Lock>(
    connection: BorrowedFd<'_>,
    session: &mut Session,
    context: &Context<'_, L>,
    stopping: &AtomicBool,
) -> Result<(), Errno> {
    loop {
        // The room is reserved beforehand, outside the retry.
        let input = session.input();
        if retry_on_intr(|| recv(connection, spare_capacity(input), RecvFlags::empty()))?.0 == 0 {
            return Ok(());
        }
        loop {
            let stop = session.execute(context);
            while !session.output().is_empty() {
                let sent =
                    retry_on_intr(|| send(connection, session.output(), SendFlags::NOSIGNAL))?;
                session.wrote(sent);
            }
            match stop {
                Stop::OutputFull => {}
                Stop::Wait(time) => std::thread::sleep(time),
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
