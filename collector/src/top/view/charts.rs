//! Bars: how times are spread, by powers of two, and how a figure went.

use super::super::figures::{Row, Times};
use super::super::history::fitted;
use super::Theme;
use crate::report::histogram::{Samples, bucket_edges};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Paragraph, Sparkline};

/// The first bar holds all below 512 ns, the next ones each a power of two.
const FIRST_POWER: u32 = 8;
/// The last bar holds all from 2.1 s on.
pub(super) const BARS: usize = 24;

/// Where times are on the axis: the power of two nearest to each.
const MARKS: [(u32, &str); 3] = [(10, "1µs"), (20, "1ms"), (30, "1s")];

/// Eighths of a line are drawn.
const LEVELS: u64 = 8;

/// How waits and slices are spread.
pub(super) fn times(
    frame: &mut Frame<'_>,
    [wait_area, slice_area]: [Rect; 2],
    row: Option<&Row>,
    whose: &str,
    theme: Theme,
) {
    let Some(Times::Own { wait, slice }) = row.map(|row| &row.times) else {
        return;
    };
    histogram(
        frame,
        wait_area,
        &format!("run-queue wait{whose}"),
        wait,
        theme,
    );
    histogram(
        frame,
        slice_area,
        &format!("on-CPU slice{whose}"),
        slice,
        theme,
    );
}

fn histogram(frame: &mut Frame<'_>, area: Rect, title: &str, samples: &Samples, theme: Theme) {
    let [head, bars, axis] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(title.to_owned()).style(theme.title()), head);
    if samples.count() == 0 {
        let none = Paragraph::new("none in this interval").style(theme.faint());
        return frame.render_widget(none, bars);
    }
    let each = (usize::from(area.width) / BARS).max(1);
    let counts = by_power(samples);
    let columns: Vec<_> = counts
        .iter()
        .flat_map(|&count| std::iter::repeat_n(Some(count as f64), each))
        .collect();
    render(frame, bars, &columns, theme);
    frame.render_widget(Paragraph::new(scale(each)).style(theme.faint()), axis);
}

/// Samples by power of two.
pub(super) fn by_power(samples: &Samples) -> [u64; BARS] {
    let mut bars = [0; BARS];
    for (bucket, &count) in samples.counts.iter().enumerate() {
        let (lowest, _) = bucket_edges(samples.sub_bits, bucket);
        let power = lowest.max(1).ilog2().saturating_sub(FIRST_POWER) as usize;
        bars[power.min(BARS - 1)] += count;
    }
    bars
}

/// `  1µs       1ms       1s`, where each bar has so many columns.
fn scale(each: usize) -> String {
    let mut line = String::new();
    for (power, mark) in MARKS {
        let column = (power - FIRST_POWER) as usize * each;
        let gap = column.saturating_sub(line.chars().count());
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(mark);
    }
    line
}

/// How a figure went, the newest at the right.
pub(super) fn last(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &str,
    values: &[Option<f32>],
    theme: Theme,
) {
    let [head, bars] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    frame.render_widget(Paragraph::new(label.to_owned()).style(theme.title()), head);
    let values: Vec<_> = fitted(values, bars.width.into())
        .into_iter()
        .map(|value| value.map(f64::from))
        .collect();
    render(frame, bars, &values, theme);
}

/// What stands in place of a bar that there is no figure for.
const NO_FIGURE: &str = "·";

/// Bars relative to the largest of them; what is not nothing shows.
fn render(frame: &mut Frame<'_>, area: Rect, values: &[Option<f64>], theme: Theme) {
    let most = values.iter().copied().flatten().fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    let top = u64::from(area.height) * LEVELS;
    let level = |value: f64| (value / most * top as f64).ceil() as u64;
    let bars = Sparkline::default()
        .data(values.iter().map(|value| value.map(level)))
        .absent_value_symbol(NO_FIGURE)
        .absent_value_style(theme.faint())
        .max(top)
        .style(theme.bars());
    frame.render_widget(bars, area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_by_the_power_of_two_they_are_in() {
        // With 2^3 buckets to a power: 8 is the bucket of 8 ns, the next power begins 8 buckets on.
        let bucket = |power: usize| (power - 2) * 8;
        let mut counts = vec![0; bucket(40) + 8];
        counts[3] = 1;
        counts[bucket(8) + 7] = 2;
        counts[bucket(9)] = 4;
        counts[bucket(20)] = 8;
        counts[bucket(20) + 7] = 16;
        counts[bucket(40)] = 32;
        let samples = Samples {
            sub_bits: 3,
            counts,
            ..Samples::default()
        };
        let bars = by_power(&samples);
        assert_eq!((bars[0], bars[1], bars[12], bars[BARS - 1]), (3, 4, 24, 32));
        assert_eq!(bars.iter().sum::<u64>(), samples.count());
    }

    #[test]
    fn marks_stand_below_their_bars() {
        assert_eq!(scale(1), "  1µs       1ms       1s");
        assert_eq!(
            scale(2)
                .find("1ms")
                .map(|_| scale(2).chars().take_while(|c| *c != 'm').count()),
            Some(25)
        );
    }
}
