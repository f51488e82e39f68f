//! The workload `churn`: a connection is made for each request, and closed on its answer.

use rustix::io::Errno;

use super::Offer;
use crate::load::client::{Making, Pending};
use crate::load::poller::EventFlags;
use crate::load::run::Run;
use crate::load::workload::Verdict;

impl Run<'_> {
    /// Begins to connect a client that has no connection.
    ///
    /// # Errors
    /// When that is refused at once.
    pub(super) fn connect_again(&mut self, index: usize, now_ns: u64) -> Result<(), Errno> {
        let number = self.share.number(index);
        self.clients[index].connect_again(self.options.connect, number, now_ns)?;
        self.watch(&self.clients[index], index)
    }
}

impl Offer<'_, '_> {
    /// Sends the request once its connection is made; whether there may be an answer.
    pub(super) fn is_made(&mut self, index: usize, flags: EventFlags) -> bool {
        let client = &mut self.run.clients[index];
        let began_ns = match client.making {
            // Of a connection that is closed.
            Making::No => return false,
            Making::Made(_) => return true,
            Making::Begun(began_ns) => began_ns,
        };
        let settled = EventFlags::OUT | EventFlags::ERR | EventFlags::HUP;
        if !flags.intersects(settled) {
            return false;
        }
        let number = client.sent - 1;
        client.making = Making::Made(began_ns);
        self.run.traffic.request(number, &mut self.run.request);
        let client = &self.run.clients[index];
        let sent = client
            .connected()
            .and_then(|()| client.send(&self.run.request));
        if let Err(error) = sent {
            self.lose(index, error);
        }
        false
    }

    /// Closes the connection of a request that was answered at `seen`.
    pub(super) fn leave(&mut self, index: usize, pending: Pending, verdict: Verdict, seen: u64) {
        let client = &mut self.run.clients[index];
        if let (Making::Made(began_ns), Verdict::Right) = (client.making, verdict)
            && self.in_window(pending.due_ns)
        {
            self.run.tally.set_up(seen.saturating_sub(began_ns));
        }
        self.run.clients[index].close();
    }

    /// What is due of clients that have lost a connection goes on a new one.
    pub(super) fn try_again(&mut self, now: u64) {
        for index in std::mem::take(&mut self.failed) {
            let client = &self.run.clients[index];
            if client.pending.is_none() && self.has_next(index, client.due > client.sent) {
                self.send_next(index, now);
            }
        }
    }
}
