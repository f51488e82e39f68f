//! Messages between cores: each has a letter box that the others put messages in without a lock, and a
//! bell for when it sleeps.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::batch::Part;
use super::bell::Bell;
use crate::slots::Name;

/// What one core tells another.
pub(super) enum Message {
    /// Execute these requests for a connection of core `from`, and send them back.
    Execute {
        from: u16,
        connection: Name,
        part: Box<Part>,
    },
    /// They were executed by that core, for a connection of the receiver.
    Executed {
        by: u16,
        connection: Name,
        part: Box<Part>,
    },
    /// The server was asked to end.
    End,
}

/// Where a core finds its messages.
pub(super) struct LetterBox {
    messages: Receiver<Message>,
    bell: Arc<Bell>,
}

/// Where others put messages for a core.
#[derive(Clone)]
pub(super) struct Address {
    messages: Sender<Message>,
    bell: Arc<Bell>,
}

/// What one core sends to the others. It rings for it once, when all is sent that it has to send: a
/// core that was woken for each message would answer it and sleep again before the next one is there.
pub(super) struct Outbox {
    /// Of all cores, in their order.
    addresses: Vec<Address>,
    /// The cores that were sent something since bells were rung last, each once.
    unrung: Vec<u16>,
}

/// A new letter box, and its address.
///
/// # Errors
/// When there is no descriptor for the bell.
pub(super) fn letter_box() -> io::Result<(LetterBox, Address)> {
    let bell = Arc::new(Bell::new()?);
    let (sender, messages) = channel();
    let address = Address {
        messages: sender,
        bell: bell.clone(),
    };
    Ok((LetterBox { messages, bell }, address))
}

impl Address {
    /// Sends a message, waking the core if it sleeps.
    pub(super) fn send(&self, message: Message) {
        self.put(message);
        self.ring();
    }

    fn put(&self, message: Message) {
        // Fails when the core has ended, and then nobody waits for an answer.
        let _ = self.messages.send(message);
    }

    fn ring(&self) {
        if self.bell.is_to_be_rung() {
            self.bell.ring();
        }
    }
}

impl Outbox {
    /// For messages to `addresses`, which are those of all cores in their order.
    pub(super) fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            unrung: Vec::new(),
        }
    }

    /// Sends a message. A core that is awake finds it; one that sleeps is woken by `ring`.
    pub(super) fn send(&mut self, core: u16, message: Message) {
        self.addresses[usize::from(core)].put(message);
        if !self.unrung.contains(&core) {
            self.unrung.push(core);
        }
    }

    /// Wakes those who sleep and were sent something. To be called before the sender sleeps.
    pub(super) fn ring(&mut self) {
        for core in self.unrung.drain(..) {
            self.addresses[usize::from(core)].ring();
        }
    }
}

impl LetterBox {
    /// The next message.
    pub(super) fn take(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// The bell that is rung for it.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;
    use std::thread;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::{Address, LetterBox, Message, Outbox, letter_box};
    use crate::models::thread_per_core::batch::Part;
    use crate::slots::Name;

    const ROUNDS: u64 = 5_000;
    const PATIENCE: Timespec = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };

    fn message(number: u64) -> Message {
        Message::Execute {
            from: 0,
            connection: Name {
                slot: 0,
                serial: number,
            },
            part: Box::<Part>::default(),
        }
    }

    /// The next message, slept for until the bell rings.
    fn wait_for(letter_box: &LetterBox) -> u64 {
        loop {
            let bell = letter_box.bell();
            bell.fall_asleep();
            let message = letter_box.take();
            if message.is_none() {
                // SAFETY: the bell is as old as its letter box.
                let descriptor = unsafe { BorrowedFd::borrow_raw(bell.descriptor()) };
                let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
                let rings = poll(&mut polled, Some(&PATIENCE)).expect("it can be polled");
                assert_eq!(rings, 1, "nobody has rung");
                let _ = rustix::io::read(descriptor, &mut [0; 8]);
            }
            bell.wake_up();
            match message {
                Some(Message::Execute { connection, .. }) => return connection.serial,
                Some(_) => panic!("another message"),
                None => {}
            }
        }
    }

    /// Sends two messages a round, rings once, and sleeps until the other has done the same.
    fn play(own: &LetterBox, addresses: Vec<Address>, other: u16) {
        let mut outbox = Outbox::new(addresses);
        for number in 0..ROUNDS {
            outbox.send(other, message(2 * number));
            outbox.send(other, message(2 * number + 1));
            outbox.ring();
            assert_eq!(wait_for(own), 2 * number);
            assert_eq!(wait_for(own), 2 * number + 1);
        }
    }

    #[test]
    fn two_cores_that_sleep_in_turn_miss_nothing() {
        let (one, address_of_one) = letter_box().expect("an eventfd");
        let (other, address_of_other) = letter_box().expect("an eventfd");
        let addresses = vec![address_of_one, address_of_other];
        thread::scope(|scope| {
            let addresses_too = addresses.clone();
            scope.spawn(move || play(&one, addresses_too, 1));
            play(&other, addresses, 0);
        });
    }
}
