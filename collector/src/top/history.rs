//! The last minutes of each row: a point for each interval.

use super::figures::{Frame, Key, Row};
use std::collections::{HashMap, VecDeque};

/// Points that are kept of each row: at the usual interval of 1 s three minutes.
pub const POINTS: usize = 180;

/// What is remembered of an interval. What was not measured is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// CPU time, of one core.
    pub cpu: f32,
    /// Context switches a second.
    pub switches: f32,
    /// Time waiting for a CPU, of that running or waiting.
    pub wait: f32,
}

/// Of all rows.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Tasks that never did anything have none: of ten thousand idle ones nothing is kept.
    rows: HashMap<Key, Line>,
    /// By the number of a target, the intervals in which it had no figures.
    gaps: HashMap<usize, VecDeque<u64>>,
    /// Intervals so far.
    now: u64,
}

#[derive(Clone, Debug, Default)]
struct Line {
    points: VecDeque<Point>,
    /// The interval of the last point.
    last: u64,
}

impl History {
    /// Takes in an interval; forgets rows that are gone.
    pub fn add(&mut self, frame: &Frame) {
        self.now += 1;
        for (number, target) in frame.targets.iter().enumerate() {
            if target.trouble.is_some() {
                self.gaps.entry(number).or_default().push_back(self.now);
                continue;
            }
            let rows = target.whole.iter().chain(&target.roles);
            rows.chain(&target.tasks).for_each(|row| self.add_row(row));
        }
        let forgotten = self.now.saturating_sub(POINTS as u64);
        self.rows.retain(|_, line| line.last > forgotten);
        for gaps in self.gaps.values_mut() {
            while gaps.front().is_some_and(|number| *number <= forgotten) {
                gaps.pop_front();
            }
        }
    }

    fn add_row(&mut self, row: &Row) {
        let point = Point::of(row);
        if point == Point::default() && !self.rows.contains_key(&row.key) {
            return;
        }
        let line = self.rows.entry(row.key).or_default();
        // It did nothing meanwhile, or was not there.
        let missed = match line.last {
            0 => 0,
            last => self.now - last - 1,
        };
        for _ in 0..missed.min(POINTS as u64) {
            line.points.push_back(Point::default());
        }
        line.points.push_back(point);
        line.last = self.now;
        while line.points.len() > POINTS {
            line.points.pop_front();
        }
    }

    /// The last intervals of a row, oldest first, but for those of the last `skipped` ones; at most
    /// [`POINTS`], and none from before the first interval. Those in which its target had no figures are none.
    #[must_use]
    pub fn of(&self, key: Key, skipped: u64) -> Vec<Option<Point>> {
        let end = self.now.saturating_sub(skipped);
        let length = end.min(POINTS as u64);
        let mut points = vec![Some(Point::default()); length as usize];
        let mut put = |number: u64, point| {
            if number + length > end && number <= end {
                points[(number + length - end - 1) as usize] = point;
            }
        };
        if let Some(line) = self.rows.get(&key) {
            let first = line.last + 1 - line.points.len() as u64;
            let line = (first..).zip(&line.points);
            line.for_each(|(number, point)| put(number, Some(*point)));
        }
        let gaps = key.target().and_then(|target| self.gaps.get(&target));
        for &number in gaps.into_iter().flatten() {
            put(number, None);
        }
        points
    }
}

impl Point {
    fn of(row: &Row) -> Self {
        let figures = &row.figures;
        let known = |figure: Option<f64>| figure.unwrap_or(0.0);
        Self {
            cpu: known(figures.cpu) as f32,
            switches: (known(figures.voluntary) + known(figures.involuntary)) as f32,
            wait: known(figures.wait_share) as f32,
        }
    }
}

/// At most `width` values, oldest first: where there are more, the largest of several next to each other, and
/// none of several that are none.
#[must_use]
pub fn fitted(values: &[Option<f32>], width: usize) -> Vec<Option<f32>> {
    let each = values.len().div_ceil(width.max(1)).max(1);
    // The newest are together, so that a group once full stays as it is.
    let chunks = values.rchunks(each);
    let largest = |chunk: &[Option<f32>]| chunk.iter().copied().flatten().reduce(f32::max);
    let mut fitted: Vec<_> = chunks.map(largest).collect();
    fitted.reverse();
    fitted
}

#[cfg(test)]
mod tests {
    use super::super::figures::Watched;
    use super::*;

    const KEY: Key = Key::Target(0);

    fn frame(cpu: f64) -> Frame {
        let mut row = Row {
            key: KEY,
            ..Row::default()
        };
        row.figures.cpu = Some(cpu);
        let target = Watched {
            whole: Some(row),
            ..Watched::default()
        };
        Frame {
            targets: vec![target],
            ..Frame::default()
        }
    }

    fn cpu(history: &History, skipped: u64) -> Vec<f32> {
        let points = history.of(KEY, skipped);
        let cpu = |point: &Option<Point>| point.map_or(f32::NAN, |point| point.cpu);
        points.iter().map(cpu).collect()
    }

    #[test]
    fn points_stand_where_their_interval_was() {
        let mut history = History::default();
        assert_eq!(cpu(&history, 0), [0.0; 0]);
        for share in [0.0, 0.0, 3.0, 0.0, 5.0] {
            history.add(&frame(share));
        }
        assert_eq!(cpu(&history, 0), [0.0, 0.0, 3.0, 0.0, 5.0]);
        assert_eq!(cpu(&history, 2), [0.0, 0.0, 3.0]);
        // Nobody was there.
        history.add(&Frame::default());
        history.add(&frame(7.0));
        assert_eq!(cpu(&history, 0)[3..], [0.0, 5.0, 0.0, 7.0]);
        let nothing = Some(Point::default());
        assert_eq!(history.of(Key::Target(9), 0), [nothing; 7]);
    }

    #[test]
    fn intervals_without_figures_are_gaps() {
        let mut history = History::default();
        history.add(&frame(3.0));
        let mut troubled = frame(4.0);
        troubled.targets[0].trouble = Some("it could not be read".into());
        history.add(&troubled);
        history.add(&frame(5.0));
        let points = history.of(KEY, 0);
        let cpu: Vec<_> = points.iter().map(|point| point.map(|it| it.cpu)).collect();
        assert_eq!(cpu, [Some(3.0), None, Some(5.0)]);
        for _ in 0..POINTS {
            history.add(&Frame::default());
        }
        assert!(history.gaps[&0].is_empty());
    }

    #[test]
    fn no_more_is_kept_than_can_be_shown_and_nothing_of_what_is_gone() {
        let mut history = History::default();
        for number in 0..3 * POINTS {
            history.add(&frame(number as f64));
        }
        let shown = cpu(&history, 0);
        assert_eq!((shown.len(), shown[0]), (POINTS, (2 * POINTS) as f32));
        assert_eq!(history.rows[&KEY].points.len(), POINTS);
        for _ in 0..POINTS {
            history.add(&Frame::default());
        }
        assert!(history.rows.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_shown_by_its_largest() {
        let fitted = |values: &[f32], width| {
            fitted(&values.iter().copied().map(Some).collect::<Vec<_>>(), width)
        };
        assert_eq!(fitted(&[1.0, 2.0, 3.0], 5), [1.0, 2.0, 3.0].map(Some));
        let five = [9.0, 1.0, 4.0, 3.0, 2.0];
        assert_eq!(fitted(&five, 3), [9.0, 4.0, 3.0].map(Some));
        assert_eq!(fitted(&[], 3), []);
        assert_eq!(
            super::fitted(&[None, None, Some(1.0), None], 2),
            [None, Some(1.0)]
        );
    }
}
