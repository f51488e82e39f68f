//! Offering the load with one thread or several: each has a share of the connections and of the arrivals,
//! waits and counts for itself, and what they counted is added in the end. Connections are made, and trials
//! made with them, by the first thread, which alone listens to the supervisor and to signals.

use std::iter::once;
use std::thread::{Builder, scope};

use super::client::Client;
use super::plan::Plan;
use super::run::Run;
use super::schedule::Share;
use crate::errors::in_words;

impl Run<'_> {
    /// Offers the load to the connections made.
    ///
    /// # Errors
    /// Why it ended early; what was counted until then stays.
    pub(crate) fn offer(&mut self) -> Result<(), String> {
        let mut others = self.share_out()?;
        let plan = Plan::new(self.options, self.share.connections_of_all());
        scope(|scope| {
            for other in &mut others {
                let name = format!("load {}", other.share.thread());
                let spawned = Builder::new()
                    .name(name)
                    .spawn_scoped(scope, || other.offer_share(&plan));
                if let Err(error) = spawned {
                    let reason = in_words(error);
                    plan.stop(format!(
                        "cannot make a thread: {reason}; try fewer --threads"
                    ));
                }
            }
            self.offer_share(&plan);
        });
        self.take_back(others)?;
        plan.check()
    }

    /// Gives the other threads their connections.
    fn share_out(&mut self) -> Result<Vec<Self>, String> {
        let (threads, connections) = (self.options.threads as usize, self.clients.len());
        self.share = Share::of(0, threads, connections);
        if threads == 1 {
            return Ok(Vec::new());
        }
        let mut others = Vec::new();
        for thread in 1..threads {
            let run = self.for_thread(Share::of(thread, threads, connections));
            others.push(run.map_err(|error| format!("{error:#}"))?);
        }
        for (number, client) in std::mem::take(&mut self.clients).into_iter().enumerate() {
            let Some(other) = (number % threads).checked_sub(1) else {
                self.clients.push(client);
                continue;
            };
            let other = &mut others[other];
            client
                .socket()
                .and_then(|socket| self.poller.remove(socket))
                .and_then(|()| other.watch(&client, other.clients.len()))
                .map_err(|error| cannot_wait(number, error))?;
            other.clients.push(client);
        }
        Ok(others)
    }

    /// Takes over the connections of other threads, and what they counted.
    fn take_back(&mut self, others: Vec<Self>) -> Result<(), String> {
        let threads = others.len() + 1;
        self.share = Share::whole(self.share.connections_of_all());
        if threads == 1 {
            return Ok(());
        }
        let own = std::mem::take(&mut self.clients);
        let shares = once(own).chain(others.into_iter().map(|other| self.add(other)));
        let mut shares: Vec<_> = shares.map(Vec::into_iter).collect();
        for number in 0..self.share.connections_of_all() {
            let client = shares[number % threads].next();
            self.clients.extend(client);
        }
        if !self.options.stall && !self.options.crash {
            return Ok(());
        }
        for (number, client) in self.clients.iter().enumerate() {
            if number % threads > 0 {
                self.watch(client, number)
                    .map_err(|error| cannot_wait(number, error))?;
            }
        }
        Ok(())
    }

    /// Adds what another thread counted to what this one did; its connections.
    fn add(&mut self, other: Self) -> Vec<Client> {
        self.tally.add(&other.tally);
        self.traffic.add(&other.traffic);
        self.effort.add(other.effort);
        other.clients
    }
}

fn cannot_wait(number: usize, error: rustix::io::Errno) -> String {
    format!("cannot wait for connection {number}: {}", in_words(error))
}
