//! The connections of an event loop, by slot.

/// Connections by slot. A slot is used again only after the events that were fetched together
/// with its connection's end, some of which may still name it.
pub(crate) struct Slots<C> {
    slots: Vec<Option<C>>,
    /// Counts the connections that each slot has seen, so that timers know theirs.
    serials: Vec<u64>,
    free: Vec<usize>,
    ended: Vec<usize>,
    count: usize,
}

/// One connection among all that a loop ever has: its slot and which of that slot's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
}

impl<C> Default for Slots<C> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            serials: Vec::new(),
            free: Vec::new(),
            ended: Vec::new(),
            count: 0,
        }
    }
}

impl<C> Slots<C> {
    /// Takes a connection in and answers its slot.
    pub(crate) fn add(&mut self, connection: C) -> usize {
        self.count += 1;
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(connection);
            return slot;
        }
        self.slots.push(Some(connection));
        self.serials.push(0);
        self.slots.len() - 1
    }

    /// The connection in `slot` now.
    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut C> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The connection of that name, unless it has ended.
    pub(crate) fn get_named(&mut self, name: Name) -> Option<&mut C> {
        if self.serials[name.slot] != name.serial {
            return None;
        }
        self.get(name.slot)
    }

    /// The name of the connection in `slot` now.
    pub(crate) fn name(&self, slot: usize) -> Name {
        let serial = self.serials[slot];
        Name { slot, serial }
    }

    /// Takes the connection out of `slot`.
    pub(crate) fn end(&mut self, slot: usize) -> Option<C> {
        let connection = self.slots[slot].take()?;
        self.serials[slot] += 1;
        self.ended.push(slot);
        self.count -= 1;
        Some(connection)
    }

    /// Makes the slots of ended connections free: no event fetched may name them any more.
    pub(crate) fn free_ended(&mut self) {
        self.free.append(&mut self.ended);
    }

    /// The connections there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The slots there are, with a connection or without.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
