//! The listening socket: accepting, refusing, and what to do when descriptors run out.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, bind,
    getsockname, listen, recv, send, shutdown, socket_with, sockopt,
};

use crate::errors::in_words;
use crate::signals::Signals;

/// How long to leave a listener alone after an error that only time can cure.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// A listening socket. `TCP_NODELAY` is set on it, and Linux passes that on to each connection.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    /// A descriptor to give up when there are no more, so that a client can still be refused.
    spare: Option<OwnedFd>,
    backlog: i32,
}

/// What accepting brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A client.
    Connection(OwnedFd),
    /// Nobody waits.
    Nobody,
    /// One client was refused, or went before it was accepted; others may wait.
    Gone,
    /// The system lacks something: try again after [`PAUSE`].
    Pause,
}

/// What a server that blocks has to deal with next.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client.
    Connection(OwnedFd),
    /// A signal was caught.
    Signal(libc::c_int),
}

impl Listener {
    /// Listens on `address` with room for `backlog` connections not yet accepted (the kernel caps it
    /// at `net.core.somaxconn`).
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(crate) fn bind(address: SocketAddr, backlog: i32) -> Result<Self> {
        Self::try_bind(address, backlog).map_err(|error| {
            let remedy = match error {
                Errno::ADDRINUSE | Errno::ACCESS => "choose another port with --listen",
                _ => "choose an address of this machine with --listen",
            };
            anyhow!("cannot listen on {address}: {}; {remedy}", in_words(error))
        })
    }

    fn try_bind(address: SocketAddr, backlog: i32) -> rustix::io::Result<Self> {
        Self::begin(address, backlog, |_| Ok(()))
    }

    /// Another listener at the same address: the kernel spreads clients over all of them. Only from now
    /// on, so that the address was nobody else's before.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub(crate) fn another(&self) -> Result<Self> {
        let address = self.address()?;
        let share = |socket: &OwnedFd| sockopt::set_socket_reuseport(socket, true);
        share(&self.socket)
            .and_then(|()| Self::begin(address, self.backlog, share))
            .map_err(|error| anyhow!("cannot listen on {address} once more: {}", in_words(error)))
    }

    fn begin(
        address: SocketAddr,
        backlog: i32,
        prepare: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        prepare(&socket)?;
        bind(&socket, &address)?;
        listen(&socket, backlog)?;
        let spare = rustix::io::fcntl_dupfd_cloexec(&socket, 0).ok();
        Ok(Self {
            socket,
            spare,
            backlog,
        })
    }

    /// The address listened on, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let address = getsockname(&self.socket).context("cannot read the address listened on")?;
        SocketAddr::try_from(address).context("cannot read the address listened on")
    }

    /// All descriptors it holds, for a forked child to close.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.spare
            .iter()
            .chain([&self.socket])
            .map(AsRawFd::as_raw_fd)
    }

    /// The same listener in a forked child.
    ///
    /// # Safety
    /// The child may not use nor drop `self` any more.
    pub(crate) unsafe fn inherited(&self) -> Self {
        // SAFETY: the caller leaves both descriptors to the new owner.
        let own = |descriptor: &OwnedFd| unsafe { OwnedFd::from_raw_fd(descriptor.as_raw_fd()) };
        Self {
            socket: own(&self.socket),
            spare: self.spare.as_ref().map(own),
            backlog: self.backlog,
        }
    }

    /// Accepts one client without blocking. The connection itself blocks unless `flags` says
    /// otherwise.
    pub(crate) fn accept(&mut self, flags: SocketFlags) -> Accepted {
        match accept_with(&self.socket, flags | SocketFlags::CLOEXEC) {
            Ok(connection) => Accepted::Connection(connection),
            Err(Errno::AGAIN) => Accepted::Nobody,
            Err(Errno::MFILE | Errno::NFILE) => self.refuse_with_spare(),
            Err(Errno::NOBUFS | Errno::NOMEM) => Accepted::Pause,
            // What `accept` reports of a connection that failed before it was accepted.
            Err(_) => Accepted::Gone,
        }
    }

    /// Blocks until there is a client, whose connection blocks too, or a signal; signals first.
    pub(crate) fn wait(&mut self, signals: &Signals) -> Event {
        self.wait_for(signals, SocketFlags::empty())
    }

    /// The same, with connections as `flags` say.
    pub(crate) fn wait_for(&mut self, signals: &Signals, flags: SocketFlags) -> Event {
        loop {
            if let Some(signal) = signals.next() {
                return Event::Signal(signal);
            }
            match self.accept(flags) {
                Accepted::Connection(connection) => return Event::Connection(connection),
                Accepted::Gone => {}
                Accepted::Pause => std::thread::sleep(PAUSE),
                Accepted::Nobody => {
                    let mut waited = [
                        PollFd::new(&self.socket, PollFlags::IN),
                        PollFd::new(signals, PollFlags::IN),
                    ];
                    // An interruption is as good a reason to look again as any.
                    let _ = poll(&mut waited, None);
                }
            }
        }
    }

    fn refuse_with_spare(&mut self) -> Accepted {
        let had_spare = self.spare.take().is_some();
        let refused = accept_with(&self.socket, SocketFlags::CLOEXEC);
        if let Ok(connection) = &refused {
            refuse(connection);
        }
        let went = refused.is_ok();
        drop(refused);
        self.spare = rustix::io::fcntl_dupfd_cloexec(&self.socket, 0).ok();
        if had_spare && went {
            Accepted::Gone
        } else {
            Accepted::Pause
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Tells a client that it is one too many and ends its connection (which is closed by its owner).
pub(crate) fn refuse(connection: impl AsFd) {
    let connection = connection.as_fd();
    let reply = b"-ERR max number of clients reached\r\n";
    // The empty send buffer of a new connection takes this at once.
    let _ = send(connection, reply, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    shut_down(connection);
}

/// Ends a connection so that the client sees the last reply: closing with input unread would send
/// a reset, which may overtake it. Does not block and reads a bounded amount.
#[inline(never)] // Its buffer would be on the stack of whoever waits before that.
pub(crate) fn shut_down(connection: BorrowedFd<'_>) {
    let _ = shutdown(connection, Shutdown::Write);
    let mut rest = [0_u8; 4096];
    for _ in 0..64 {
        match recv(connection, &mut rest[..], RecvFlags::DONTWAIT) {
            Ok((1.., _)) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_inherit_tcp_nodelay() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = Listener::bind(address, 8).expect("cannot listen");
        let address = listener.address().expect("an address");
        let _client = std::net::TcpStream::connect(address).expect("cannot connect");
        let Accepted::Connection(connection) = listener.accept(SocketFlags::empty()) else {
            panic!("nobody there");
        };
        assert_eq!(sockopt::tcp_nodelay(&connection), Ok(true));
    }
}
