//! Which core a connection would be better off on: the one that has all its keys. Not if it has CPU time
//! burned or waits, which any core can do for it.

use super::routes::Place;

/// So many requests in a row for keys of one other core, and the connection moves there: one by one, they
/// took many times what it costs to move, and keys at random do not do that.
const ENOUGH: u32 = 128;

/// What draws a connection to another core: the keys that its last requests were for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pull {
    core: u16,
    /// How many requests in a row were for it and it alone, those aside that any core answers at once.
    requests: u32,
}

impl Pull {
    /// A connection of core `own` has asked for something.
    pub(super) fn asked_for(&mut self, place: Place, own: u16) {
        match place {
            Place::One {
                core: None,
                in_turn: false,
            } => {}
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
        let burns = Place::One {
            core: None,
            in_turn: true,
        };
        for other in [Place::Many, burns] {
            let mut pull = Pull {
                core: 2,
                requests: ENOUGH,
            };
            pull.asked_for(other, 0);
            assert_eq!(pull.core(), None);
        }
    }
}
