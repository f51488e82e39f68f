//! Scales, axes and lines of charts.

use super::text;

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    /// Places of `from` and `to`.
    places: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    /// From 0 to what is not above `most`.
    pub(super) fn linear(most: f64, places: (f64, f64)) -> Self {
        Self {
            from: 0.0,
            to: if most > 0.0 { most } else { 1.0 },
            places,
            logarithmic: false,
        }
    }

    /// Between values above 0.
    pub(super) fn logarithmic(least: f64, most: f64, places: (f64, f64)) -> Self {
        let (least, most) = (least.max(f64::MIN_POSITIVE), most.max(f64::MIN_POSITIVE));
        let (least, most) = if most > least {
            (least, most)
        } else {
            (least / 2.0, least * 2.0)
        };
        Self {
            from: least.log10(),
            to: most.log10(),
            places,
            logarithmic: true,
        }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let value = match self.logarithmic {
            true => value.max(f64::MIN_POSITIVE).log10(),
            false => value,
        };
        let share = ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Round values to mark: of a logarithmic scale powers of ten, with 2 and 5 between them where those are few.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let rough = self.to / 5.0;
            let power = 10_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * power);
            let step = step.into_iter().find(|it| *it >= rough).unwrap_or(rough);
            let count = (self.to / step + 1e-9).floor() as u32;
            return (0..=count).map(|number| f64::from(number) * step).collect();
        }
        let powers = |of: &[f64]| -> Vec<f64> {
            let (first, last) = (self.from.floor() as i32, self.to.ceil() as i32);
            let all = (first..=last).flat_map(|power| {
                let powers = of.iter().map(move |factor| factor * 10_f64.powi(power));
                powers.collect::<Vec<_>>()
            });
            let within = |value: &f64| (self.from - 1e-9..=self.to + 1e-9).contains(&value.log10());
            all.filter(within).collect()
        };
        match powers(&[1.0]) {
            few if few.len() < 3 => powers(&[1.0, 2.0, 5.0]),
            enough => enough,
        }
    }
}

/// The colour of a series: eight, and from the ninth on the same with dashes.
pub(super) fn color(number: usize) -> (String, &'static str) {
    let dashes = if (number / 8).is_multiple_of(2) {
        ""
    } else {
        " stroke-dasharray=\"5 3\""
    };
    (format!("var(--s{})", number % 8 + 1), dashes)
}

/// Vertical lines with what they stand for below.
pub(super) fn x_axis(scale: &Scale, top: f64, bottom: f64, show: fn(f64) -> String) -> String {
    let ticks = scale.ticks().into_iter();
    x_marks(scale, top, bottom, ticks.map(|value| (value, show(value))))
}

/// The same at these values, in these words.
fn x_marks(
    scale: &Scale,
    top: f64,
    bottom: f64,
    marks: impl Iterator<Item = (f64, String)>,
) -> String {
    let tick = |(value, words): (f64, String)| {
        let x = scale.place(value);
        format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
             <text class=\"soft\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            bottom + 15.0,
            text(&words)
        )
    };
    // Words over words say nothing.
    let mut free = f64::NEG_INFINITY;
    let has_room = |(value, words): &(f64, String)| {
        let x = scale.place(*value);
        let half = words.chars().count() as f64 * LETTER / 2.0;
        let has_room = x - half >= free;
        free = if has_room { x + half + LETTER } else { free };
        has_room
    };
    marks.filter(has_room).map(tick).collect()
}

/// Room for a letter of what an axis says of a value.
const LETTER: f64 = 7.0;

/// Horizontal lines with what they stand for at the left.
pub(super) fn y_axis(scale: &Scale, left: f64, right: f64, show: fn(f64) -> String) -> String {
    let tick = |value: f64| {
        let y = scale.place(value);
        format!(
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"soft\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            left - 6.0,
            y + 4.0,
            text(&show(value))
        )
    };
    scale.ticks().into_iter().map(tick).collect()
}

/// A picture that is as wide as a page: where there is less room it is scrolled, by the keyboard too.
pub(super) fn wide(title: &str, note: &str, label: &str, height: f64, inside: &str) -> String {
    format!(
        "<figure><figcaption>{title} <span>{note}</span></figcaption>\n\
         <div class=\"scroll wide\" role=\"region\" tabindex=\"0\" aria-label=\"{title}\">\n\
         <svg viewBox=\"0 0 {WIDE} {height:.0}\" role=\"img\" aria-label=\"{}\">\n{inside}</svg></div></figure>\n",
        text(label)
    )
}

/// Its width, and where the names at its left end and the words at its right begin.
pub(super) const WIDE: f64 = 960.0;
pub(super) const WIDE_LEFT: f64 = 190.0;
pub(super) const WIDE_RIGHT: f64 = 700.0;

/// A line of a chart.
pub(super) struct Series {
    pub(super) name: String,
    /// Which of the report, for its colour.
    pub(super) number: usize,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of lines.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) series: Vec<Series>,
    pub(super) logarithmic_x: bool,
    pub(super) logarithmic_y: bool,
    pub(super) show_x: ShowX,
    pub(super) show_y: fn(f64) -> String,
}

/// What the x axis marks.
pub(super) enum ShowX {
    /// Round values, written so.
    Round(fn(f64) -> String),
    /// These, in these words; from left to right.
    Places(Vec<(f64, String)>),
}

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 400.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 270.0;
/// Between two names at the right.
const LINE: f64 = 16.0;

impl Lines {
    /// The figure; nothing where there is no line to draw.
    pub(super) fn figure(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let drawn = self.series.iter().filter(|series| series.points.len() > 1);
        if drawn.count() == 0 {
            return String::new();
        }
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
        let scale = |logarithmic: bool, least: f64, most: f64, places| match logarithmic {
            true => Scale::logarithmic(least, most, places),
            false => Scale::linear(most * 1.05, places),
        };
        let x = scale(
            self.logarithmic_x,
            least(|p| p.0),
            most(|p| p.0),
            (LEFT, RIGHT),
        );
        let y = scale(
            self.logarithmic_y,
            least(|p| p.1),
            most(|p| p.1),
            (BOTTOM, TOP),
        );
        let names: Vec<_> = self
            .series
            .iter()
            .map(|series| series.name.as_str())
            .collect();
        let mut svg = format!(
            "<figure><figcaption>{} <span>{}</span></figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}, {}: {}\">\n",
            text(&self.title),
            text(&self.note),
            text(&self.title),
            text(&self.note),
            text(&names.join(", "))
        );
        svg += &match &self.show_x {
            ShowX::Round(show) => x_axis(&x, TOP, BOTTOM, *show),
            ShowX::Places(places) => x_marks(&x, TOP, BOTTOM, places.iter().cloned()),
        };
        svg += &y_axis(&y, LEFT, RIGHT, self.show_y);
        for series in &self.series {
            svg += &series.line(&x, &y);
        }
        svg += &self.names(&x, &y);
        svg + "</svg></figure>\n"
    }

    /// At the ends of the lines, none over another.
    fn names(&self, x: &Scale, y: &Scale) -> String {
        let end = |series: &Series| {
            let last = series.points.last();
            last.map(|point| (x.place(point.0), y.place(point.1)))
        };
        let mut ends: Vec<((f64, f64), &Series)> = self
            .series
            .iter()
            .filter_map(|series| Some((end(series)?, series)))
            .collect();
        ends.sort_by(|one, other| one.0.1.total_cmp(&other.0.1));
        let needed = ends.len() as f64 * LINE;
        let mut free = TOP;
        let mut svg = String::new();
        for (place, ((from, end), series)) in ends.iter().enumerate() {
            // No further down than the names that are still to come allow.
            let left = needed - place as f64 * LINE;
            let y = end.max(free).min((BOTTOM + LINE - left).max(free));
            free = y + LINE;
            let (color, dashes) = color(series.number);
            svg += &format!(
                "<line class=\"lead\" x1=\"{from:.1}\" x2=\"{:.1}\" y1=\"{end:.1}\" y2=\"{y:.1}\" stroke=\"{color}\"{dashes}/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                RIGHT + 14.0,
                RIGHT + 18.0,
                y + 4.0,
                text(&series.name)
            );
        }
        svg
    }
}

impl Series {
    fn line(&self, x: &Scale, y: &Scale) -> String {
        let (color, dashes) = color(self.number);
        let places = self
            .points
            .iter()
            .map(|point| (x.place(point.0), y.place(point.1)));
        let path: Vec<_> = places
            .clone()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dots: String = places
            .map(|(x, y)| format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"))
            .collect();
        format!(
            "<polyline class=\"curve\" stroke=\"{color}\"{dashes} points=\"{}\"/>{dots}\n",
            path.join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_proportion() {
        let linear = Scale::linear(10.0, (100.0, 0.0));
        assert_eq!(linear.place(2.5), 75.0);
        assert_eq!(linear.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let logarithmic = Scale::logarithmic(1e-6, 1e-3, (0.0, 300.0));
        assert!((logarithmic.place(1e-5) - 100.0).abs() < 1e-9);
        assert_eq!(logarithmic.ticks().len(), 4);
        // What is the same throughout has a place too.
        assert!(
            Scale::logarithmic(5.0, 5.0, (0.0, 1.0))
                .place(5.0)
                .is_finite()
        );
        assert!(Scale::linear(0.0, (0.0, 1.0)).place(0.0).is_finite());
    }
}
