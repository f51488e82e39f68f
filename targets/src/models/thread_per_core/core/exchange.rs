//! What a core has others do, and does for them.

use super::Core;
use crate::models::thread_per_core::batch::Part;
use crate::models::thread_per_core::connection::Connection;
use crate::models::thread_per_core::mail::Message;
use crate::slots::Name;

impl Core<'_> {
    /// Sends the parts of a connection's batch to their cores, and does its own.
    pub(super) fn send_batch(&mut self, slot: usize) {
        let name = self.connections.name(slot);
        let own = self.desk.own;
        let Some(batch) = self.connections.get(slot).and_then(Connection::batch) else {
            return;
        };
        let mut part_here = None;
        batch.send(|core, part| {
            if core == own {
                part_here = Some(part);
                return;
            }
            self.addresses[usize::from(core)].send(Message::Execute {
                from: own,
                connection: name,
                part,
            });
        });
        if let Some(mut part) = part_here {
            part.execute(&self.desk.context, &mut self.decoder);
            self.take_back(name, own, part);
        }
    }

    pub(super) fn read(&mut self, message: Message) {
        match message {
            Message::Execute {
                from,
                connection,
                mut part,
            } => {
                part.execute(&self.desk.context, &mut self.decoder);
                self.addresses[usize::from(from)].send(Message::Executed {
                    by: self.desk.own,
                    connection,
                    part,
                });
            }
            Message::Executed {
                by,
                connection,
                part,
            } => self.take_back(connection, by, part),
            Message::Serve(mut connection) => {
                connection.has_moved();
                let slot = self.connections.add(*connection);
                self.turn(slot);
            }
            Message::End => self.begin_to_end(),
        }
    }

    fn take_back(&mut self, name: Name, core: u16, part: Box<Part>) {
        let Some(connection) = self.connections.get_named(name) else {
            return self.desk.parts.put(part);
        };
        let Some(batch) = connection.batch() else {
            return;
        };
        if batch.take_back(core, part) {
            connection.session.borrow_buffers(&mut self.buffers);
            connection.finish_batch(&mut self.desk);
            self.go_on(name.slot);
        }
    }
}
