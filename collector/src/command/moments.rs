//! What targets hold of their own at moments of a watch, over the connections that they have then: for what one more
//! adds.

use crate::{
    attach::following::{Event, Following},
    interrupt::Interrupt,
    own::OwnSampler,
    rest::Rest,
    snapshot::{MemoryPoint, Snapshot},
};
use std::time::{Duration, Instant};

/// One look: all else that is watched waits meanwhile.
const LONGEST: Duration = Duration::from_millis(100);
/// Of a target that has had more moments every other one is kept, and from then on they are twice as far apart.
const MOST: usize = 200;

/// The moments of all targets.
pub(super) struct Moments<'a> {
    own: &'a OwnSampler,
    /// Of the time that passes, what may be spent with looking at the processes of one target.
    share: f64,
    targets: Vec<OfTarget>,
    counted: Rest,
}

/// Those of one.
struct OfTarget {
    /// Connections, and processes, when they were counted last.
    counted: Option<(u32, usize)>,
    /// When there was the last moment, or the watch began.
    since: Instant,
    /// How far moments are apart at least.
    apart: Duration,
    points: Vec<MemoryPoint>,
}

impl<'a> Moments<'a> {
    /// Of so many targets, of which the watch begins now; all may take this share of the time.
    pub(super) fn begin(own: &'a OwnSampler, targets: usize, budget: f64) -> Self {
        Self {
            own,
            share: budget / targets.max(1) as f64,
            targets: (0..targets).map(|_| OfTarget::begin()).collect(),
            counted: Rest::none(),
        }
    }

    /// A server that was started anew holds another amount of memory at rest: what was seen before is of no use.
    pub(super) fn take(&mut self, event: &Event) {
        if let Event::Back(number, ..) = event {
            self.targets[*number] = OfTarget::begin();
        }
    }

    /// Looks at targets whose number of connections has changed and rests now, with snapshots that were just taken.
    pub(super) fn look(
        &mut self,
        following: &Following,
        snapshots: &[Snapshot],
        interrupt: &Interrupt,
    ) {
        if self.share <= 0.0 || !self.counted.is_over() {
            return;
        }
        let (counted, rest) = Rest::after(|| {
            let numbered = snapshots.iter().enumerate();
            let counted = numbered.map(|(number, it)| {
                let open = following.open_connections(number, it)?;
                Some((open, it.processes().len()))
            });
            counted.collect::<Vec<_>>()
        });
        let is_as_before = self.targets.iter().map(|it| &it.counted).eq(&counted);
        self.counted = if is_as_before { rest.seldom() } else { rest };
        for ((target, snapshot), counted) in self.targets.iter_mut().zip(snapshots).zip(counted) {
            let Some(connections) = target.rest_at(counted) else {
                continue;
            };
            let budget = target.since.elapsed().mul_f64(self.share).min(LONGEST);
            let own = self.own.sample(snapshot, budget, interrupt).ok();
            match own.and_then(|own| own.whole(snapshot)) {
                Some(bytes) => target.add(MemoryPoint { connections, bytes }),
                // Too few of them: the next look is to have twice the time.
                None => target.apart = target.since.elapsed() * 2,
            }
        }
    }

    /// Those of each target.
    pub(super) fn end(self) -> impl Iterator<Item = Vec<MemoryPoint>> {
        self.targets.into_iter().map(|target| target.points)
    }
}

impl OfTarget {
    fn begin() -> Self {
        Self {
            counted: None,
            since: Instant::now(),
            apart: Duration::ZERO,
            points: Vec::new(),
        }
    }

    /// The number of connections, if it rests and is another than that of the last moment. While processes come or go
    /// it does not rest: one that is new may be a connection that is not known yet.
    fn rest_at(&mut self, counted: Option<(u32, usize)>) -> Option<u32> {
        let rests = std::mem::replace(&mut self.counted, counted) == counted;
        let last = self.points.last().map(|point| point.connections);
        let open = counted.map(|(open, _)| open);
        open.filter(|_| rests && open != last && self.since.elapsed() >= self.apart)
    }

    fn add(&mut self, point: MemoryPoint) {
        if self.points.len() == MOST {
            let mut keep = [true, false].into_iter().cycle();
            self.points.retain(|_| keep.next() == Some(true));
            self.apart = self.apart.max(Duration::from_secs(1)) * 2;
        }
        self.points.push(point);
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_where_the_number_rests_at_another() {
        let mut target = OfTarget::begin();
        let (five, seven) = (Some((5, 8)), Some((7, 10)));
        let one_more_process = Some((7, 9));
        let counted = [
            None,
            None,
            five,
            one_more_process,
            seven,
            seven,
            seven,
            five,
        ];
        let mut moments = Vec::new();
        for counted in counted.into_iter().chain([five, None, five]) {
            if let Some(connections) = target.rest_at(counted) {
                target.add(MemoryPoint {
                    connections,
                    bytes: 0,
                });
                moments.push(connections);
            }
        }
        assert_eq!(moments, [7, 5]);
    }

    #[test]
    fn of_many_moments_there_are_fewer_the_farther_apart() {
        let mut target = OfTarget::begin();
        for connections in 0..=200 {
            assert_eq!(target.apart, Duration::ZERO);
            target.add(MemoryPoint {
                connections,
                bytes: 0,
            });
        }
        let kept: Vec<_> = target.points.iter().map(|it| it.connections).collect();
        let expected: Vec<u32> = (0..=200).step_by(2).collect();
        assert_eq!((kept, target.apart), (expected, Duration::from_secs(2)));
    }
}
