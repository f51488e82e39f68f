//! Student's t distribution, as far as a confidence interval needs it.

use std::f64::consts::PI;

/// The `t` within which a t-distributed variable with `degrees` degrees of freedom lies with
/// probability `confidence` (two-sided), to 12 digits: 2.776 for 4 and 0.95.
///
/// `degrees` is at least 1, `confidence` above 0 and below 1.
#[must_use]
pub fn t_quantile(degrees: u32, confidence: f64) -> f64 {
    let (mut lower, mut upper) = (0.0, 1.0);
    while within(upper, degrees) < confidence {
        upper *= 2.0;
    }
    // Each step halves the interval: past 100 it cannot shrink further.
    for _ in 0..100 {
        let middle = f64::midpoint(lower, upper);
        if within(middle, degrees) < confidence {
            lower = middle;
        } else {
            upper = middle;
        }
    }
    f64::midpoint(lower, upper)
}

/// The probability of `|T| <= t`: Abramowitz and Stegun, Handbook of Mathematical Functions,
/// 26.7.3 (odd degrees of freedom) and 26.7.4 (even).
fn within(t: f64, degrees: u32) -> f64 {
    let angle = (t / f64::from(degrees).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = if degrees == 1 { 0.0 } else { term };
    let mut power = if odd { 3 } else { 2 };
    while power <= degrees.saturating_sub(2) {
        term *= cosine * cosine * f64::from(power - 1) / f64::from(power);
        sum += term;
        power += 2;
    }
    if odd {
        2.0 / PI * (angle + sine * sum)
    } else {
        sine * sum
    }
}
