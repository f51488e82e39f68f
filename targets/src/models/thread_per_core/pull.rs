//! Which core a connection would be better off on.

use super::routes::Place;

/// So many requests in a row for keys of one other core, and the connection moves there: what it
/// costs to move is small against the messages that they took, and keys at random do not do that.
const ENOUGH: u32 = 128;

/// What draws a connection to another core: the keys that its last requests were for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pull {
    core: u16,
    /// How many requests in a row, those without a key aside, were for it, and it alone.
    requests: u32,
}

impl Pull {
    /// A connection of core `own` has asked for something.
    pub(super) fn asked_for(&mut self, place: Place, own: u16) {
        match place {
            Place::One { core: None, .. } => {}
            Place::One {
                core: Some(core), ..
            } if core != own => {
                let before = if core == self.core { self.requests } else { 0 };
                self.core = core;
                self.requests = before.saturating_add(1);
            }
            Place::One { .. } | Place::Many => self.requests = 0,
        }
    }

    /// The core it is to move to, if there is one.
    pub(super) fn core(self) -> Option<u16> {
        (self.requests >= ENOUGH).then_some(self.core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(cores: impl Iterator<Item = Option<u16>>) -> Option<u16> {
        let mut pull = Pull::default();
        for core in cores {
            let place = Place::One {
                core,
                in_turn: false,
            };
            pull.asked_for(place, 0);
        }
        pull.core()
    }

    #[test]
    fn only_one_other_core_draws() {
        let enough = ENOUGH as usize;
        let often = |core| std::iter::repeat_n(Some(core), enough);
        assert_eq!(pulled(often(2)), Some(2));
        assert_eq!(pulled(often(2).skip(1)), None);
        assert_eq!(pulled(often(0)), None);
        assert_eq!(pulled(often(2).chain([Some(0)])), None);
        assert_eq!(pulled(often(2).chain([Some(1)])), None);
        assert_eq!(pulled(often(1).chain(often(2))), Some(2));
        // What has no key can be asked of any core.
        assert_eq!(pulled(often(2).flat_map(|core| [core, None])), Some(2));
        let mut pull = Pull::default();
        (0..ENOUGH).for_each(|_| pull.asked_for(Place::Many, 0));
        assert_eq!(pull.core(), None);
    }
}
