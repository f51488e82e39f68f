//! How long until a receiver is tried again: twice as long each time, and by chance some more or less, so that many
//! exporters do not come all at once to one that is back.

use ring::rand::{SecureRandom as _, SystemRandom};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// Nobody is waited for longer, whatever they ask for.
const ASKED: Duration = Duration::from_secs(300);

/// None at first.
#[derive(Debug, Default)]
pub(super) struct Pause {
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// Nothing is sent before, if there is such a time.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// After one more failure; `asked` by the receiver.
    pub(super) fn grow(&mut self, asked: Option<Duration>) {
        self.length = (self.length * 2).clamp(FIRST, LONGEST);
        let wait = match asked {
            Some(asked) => asked.min(ASKED),
            None => self.length.mul_f64(0.5 + chance()),
        };
        self.until = Some(Instant::now() + wait);
    }
}

/// Between 0 and 1.
fn chance() -> f64 {
    let mut byte = [128];
    // Without randomness, the middle.
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound_and_varies() {
        let mut pause = Pause::default();
        assert_eq!(pause.until(), None);
        let mut waits = Vec::new();
        for number in 0..12 {
            pause.grow(None);
            let expected = (FIRST * 2_u32.pow(number)).min(LONGEST);
            let wait = pause.until().expect("a time") - Instant::now();
            assert!(
                wait <= expected.mul_f64(1.5) && wait >= expected.mul_f64(0.4),
                "{number}: {wait:?}"
            );
            waits.push(wait.as_secs_f64() / expected.as_secs_f64());
        }
        waits.sort_by(f64::total_cmp);
        assert!(waits[11] - waits[0] > 0.1, "{waits:?}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_time_within_reason() {
        let wait = |asked| {
            let mut pause = Pause::default();
            pause.grow(Some(Duration::from_secs(asked)));
            (pause.until().expect("a time") - Instant::now())
                .as_secs_f64()
                .round()
        };
        assert_eq!(wait(7), 7.0);
        assert_eq!(wait(1_000_000), 300.0);
    }
}
