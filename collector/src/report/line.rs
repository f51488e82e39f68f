//! A straight line through points, and how well it fits.

use super::marginal::{Slope, fit};

/// A line by ordinary least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Units of y to a unit of x, with its confidence interval.
    pub slope: Slope,
    /// y where x is zero.
    pub intercept: f64,
    /// The share of the variance of y that the line explains, from 0 to 1.
    pub r_squared: f64,
}

/// The line through points `(x, y)`; none through fewer than three, or where all have the same x.
#[must_use]
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let slope = fit(&[points]).ok()?;
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let intercept = mean_y - slope.value * mean_x;
    let around_mean: f64 = points.iter().map(|(_, y)| (y - mean_y).powi(2)).sum();
    let around_line: f64 = points
        .iter()
        .map(|(x, y)| (y - intercept - slope.value * x).powi(2))
        .sum();
    // Where y is the same throughout, the line that says so leaves nothing to explain.
    let r_squared = match around_mean {
        0.0 => 1.0,
        _ => 1.0 - around_line / around_mean,
    };
    Some(Line {
        slope,
        intercept,
        r_squared,
    })
}
