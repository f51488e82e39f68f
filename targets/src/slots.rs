//! What an event loop serves, by slot: the number by which the kernel's events name it.

/// Things by slot. A slot is used again only after the events that were fetched together with the
/// end of what was in it, some of which may still name it.
pub(crate) struct Slots<T> {
    slots: Vec<Option<T>>,
    /// Counts what has been in each slot, so that timers know theirs.
    serials: Vec<u64>,
    free: Vec<usize>,
    ended: Vec<usize>,
    count: usize,
}

/// One among all that a loop ever has: its slot and which of that slot's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Its slot.
    pub(crate) slot: usize,
    /// Which of that slot's.
    pub(crate) serial: u64,
}

impl<T> Default for Slots<T> {
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

impl<T> Slots<T> {
    /// Takes `item` in and answers its slot.
    pub(crate) fn add(&mut self, item: T) -> usize {
        self.count += 1;
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = Some(item);
            return slot;
        }
        self.slots.push(Some(item));
        self.serials.push(0);
        self.slots.len() - 1
    }

    /// What is in `slot` now.
    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// What has that name, unless it has ended.
    pub(crate) fn get_named(&mut self, name: Name) -> Option<&mut T> {
        if self.serials[name.slot] != name.serial {
            return None;
        }
        self.get(name.slot)
    }

    /// The name of what is in `slot` now.
    pub(crate) fn name(&self, slot: usize) -> Name {
        let serial = self.serials[slot];
        Name { slot, serial }
    }

    /// Takes out what is in `slot`.
    pub(crate) fn end(&mut self, slot: usize) -> Option<T> {
        let item = self.slots.get_mut(slot)?.take()?;
        self.serials[slot] += 1;
        self.ended.push(slot);
        self.count -= 1;
        Some(item)
    }

    /// Makes the slots of what has ended free: no event fetched may name them any more.
    pub(crate) fn free_ended(&mut self) {
        self.free.append(&mut self.ended);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The slots that there are, in use or free.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_not_used_again_before_it_is_freed_and_names_do_not_repeat() {
        let mut slots = Slots::default();
        let first = slots.add('a');
        let name = slots.name(first);
        assert_eq!(slots.end(first), Some('a'));
        assert_eq!(slots.end(first), None);
        let second = slots.add('b');
        assert_ne!(second, first);
        slots.free_ended();
        assert_eq!(slots.add('c'), first);
        assert_eq!(slots.get(first), Some(&mut 'c'));
        assert_eq!(slots.get_named(name), None);
        assert_eq!((slots.count(), slots.len()), (2, 2));
    }
}
