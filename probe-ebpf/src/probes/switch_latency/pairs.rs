//! Pairs each record of a task leaving a CPU with that of the next one coming to it.

use perf_event_open_sys::bindings::{
    PERF_RECORD_LOST, PERF_RECORD_MISC_SWITCH_OUT, PERF_RECORD_MISC_SWITCH_OUT_PREEMPT,
    PERF_RECORD_SWITCH_CPU_WIDE,
};

/// One switch: both of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Who left, by tid in our PID namespace.
    pub(super) left: u32,
    /// Who came.
    pub(super) came: u32,
    /// Whether it would have run on.
    pub(super) preempted: bool,
    /// From one record to the other.
    pub(super) ns: u64,
    /// How many events recorded it; none if one was switched on or off meanwhile.
    pub(super) recording: Option<u32>,
}

/// The pairing of one CPU's records.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    leaving: Option<Leaving>,
    /// The last record was of a task coming: what comes next must be one leaving.
    settled: bool,
    /// Records without their match.
    pub(super) unmatched: u64,
}

#[derive(Debug)]
struct Leaving {
    gap: Gap,
    at: u64,
}

impl Pairs {
    /// The switch that a record completes, if it does; `recording` events were on at the time.
    ///
    /// A record is `header {type: u32, misc: u16, size: u16}, next_prev {pid, tid}, {pid, tid},
    /// time`: see `PERF_RECORD_SWITCH_CPU_WIDE` in perf_event_open(2), with `sample_id_all`.
    pub(super) fn take(&mut self, record: &[u64], recording: Option<u32>) -> Option<Gap> {
        match *record {
            [header, other, own, at] if header as u32 == PERF_RECORD_SWITCH_CPU_WIDE => {
                let misc = (header >> 32) as u32;
                let (other, own) = ((other >> 32) as u32, (own >> 32) as u32);
                if misc & PERF_RECORD_MISC_SWITCH_OUT == 0 {
                    return self.comes(own, other, at, recording);
                }
                let gap = Gap {
                    left: own,
                    came: other,
                    preempted: misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT != 0,
                    ns: 0,
                    recording,
                };
                self.unmatched += u64::from(self.leaving.replace(Leaving { gap, at }).is_some());
            }
            // How many were lost is asked of the event itself: this comes late, or never.
            [header, ..] if header as u32 == PERF_RECORD_LOST => self.begin(),
            _ => {}
        }
        None
    }

    fn comes(&mut self, own: u32, other: u32, at: u64, recording: Option<u32>) -> Option<Gap> {
        let leaving = self.leaving.take();
        let was_settled = std::mem::replace(&mut self.settled, true);
        match leaving {
            Some(Leaving { mut gap, at: since })
                if (gap.left, gap.came) == (other, own) && at >= since =>
            {
                gap.ns = at - since;
                gap.recording = gap.recording.filter(|&then| Some(then) == recording);
                return Some(gap);
            }
            Some(_) => self.unmatched += 2,
            None => self.unmatched += u64::from(was_settled),
        }
        None
    }

    /// Forgets what went before: the records that follow do not continue it.
    pub(super) fn begin(&mut self) {
        self.leaving = None;
        self.settled = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCH: u64 = PERF_RECORD_SWITCH_CPU_WIDE as u64 | 32 << 48;

    fn out(own: u64, next: u64, at: u64) -> [u64; 4] {
        let misc = u64::from(PERF_RECORD_MISC_SWITCH_OUT) << 32;
        [SWITCH | misc, next << 32 | 7, own << 32 | 7, at]
    }

    fn preempted(own: u64, next: u64, at: u64) -> [u64; 4] {
        let mut record = out(own, next, at);
        record[0] |= u64::from(PERF_RECORD_MISC_SWITCH_OUT_PREEMPT) << 32;
        record
    }

    fn into(own: u64, previous: u64, at: u64) -> [u64; 4] {
        [SWITCH, previous << 32 | 7, own << 32 | 7, at]
    }

    fn gaps(pairs: &mut Pairs, records: &[[u64; 4]]) -> Vec<Gap> {
        let taken = records.iter().filter_map(|r| pairs.take(r, Some(1)));
        taken.collect()
    }

    #[test]
    fn a_switch_is_the_time_between_its_two_records() {
        let mut pairs = Pairs::default();
        let seen = gaps(
            &mut pairs,
            &[
                into(1, 9, 5),
                out(1, 2, 100),
                into(2, 1, 700),
                preempted(2, 0, 900),
                into(0, 2, 1_100),
            ],
        );
        let gap = |left, came, preempted, ns| Gap {
            left,
            came,
            preempted,
            ns,
            recording: Some(1),
        };
        assert_eq!(seen, [gap(1, 2, false, 600), gap(2, 0, true, 200)]);
        // The first record is of a switch that began before the window.
        assert_eq!(pairs.unmatched, 0);
    }

    #[test]
    fn records_that_do_not_belong_together_are_no_switch() {
        let mut pairs = Pairs::default();
        let seen = gaps(
            &mut pairs,
            &[
                out(1, 2, 100),
                into(3, 1, 700),
                out(3, 4, 800),
                out(5, 6, 900),
                into(6, 5, 950),
                into(7, 6, 990),
            ],
        );
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].left, seen[0].came), (5, 6));
        assert_eq!(pairs.unmatched, 4);
    }

    #[test]
    fn nothing_is_paired_across_lost_records() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.take(&out(1, 2, 100), Some(1)), None);
        assert_eq!(
            pairs.take(&[u64::from(PERF_RECORD_LOST), 0, 4, 0, 0], Some(1)),
            None
        );
        assert_eq!(pairs.take(&into(2, 1, 900), Some(1)), None);
        assert_eq!(
            pairs.unmatched, 0,
            "the event itself says how many were lost"
        );
    }

    #[test]
    fn a_switch_during_which_an_event_was_switched_on_has_no_known_number() {
        let mut pairs = Pairs::default();
        for (then, now, expected) in [
            (Some(1), Some(2), None),
            (Some(2), None, None),
            (None, Some(2), None),
            (Some(2), Some(2), Some(2)),
        ] {
            assert_eq!(pairs.take(&out(1, 2, 100), then), None);
            let gap = pairs.take(&into(2, 1, 900), now).expect("a switch");
            assert_eq!(gap.recording, expected);
        }
    }
}
