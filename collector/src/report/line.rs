//! A straight line through points, and how well it fits.

use super::{marginal::Slope, student::t_quantile};

/// A line by weighted least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Units of y to a unit of x, with its confidence interval.
    pub slope: Slope,
    /// y where x is zero.
    pub intercept: f64,
    /// The share of the weighted variance of y that the line explains, from 0 to 1.
    pub r_squared: f64,
}

/// The line through points `(x, y)` that makes the squares of their relative errors least; none through fewer than
/// three, where all have the same x, or where one has no y.
///
/// Each point weighs `1 / y²`, as for values that scatter in proportion to what they are, such as times. By equal
/// weights the largest alone would decide where the line meets zero, and miss that by a part of their own scatter.
/// With weights `w`: slope `Sxy / Sxx` around the weighted means, standard error `sqrt(SSE / (points - 2) / Sxx)`,
/// and Student's t.
#[must_use]
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let degrees = u32::try_from(points.len().checked_sub(2)?).ok()?;
    if degrees == 0 || points.iter().any(|(_, y)| *y <= 0.0) {
        return None;
    }
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        let weighted = points.iter().map(|&(x, y)| of(x, y) / (y * y));
        weighted.sum::<f64>() / points.iter().map(|(_, y)| 1.0 / (y * y)).sum::<f64>()
    };
    let (mean_x, mean_y) = (mean(&|x, _| x), mean(&|_, y| y));
    let around = mean(&|x, _| (x - mean_x).powi(2));
    if around <= 0.0 {
        return None;
    }
    let value = mean(&|x, y| (x - mean_x) * (y - mean_y)) / around;
    let intercept = mean_y - value * mean_x;
    let off_line = mean(&|x, y| (y - intercept - value * x).powi(2));
    let off_mean = mean(&|_, y| (y - mean_y).powi(2));
    Some(Line {
        slope: Slope {
            value,
            margin_95: t_quantile(degrees, 0.95) * (off_line / f64::from(degrees) / around).sqrt(),
        },
        intercept,
        // Where y is the same throughout, the line that says so leaves nothing to explain.
        r_squared: match off_mean {
            0.0 => 1.0,
            _ => 1.0 - off_line / off_mean,
        },
    })
}
