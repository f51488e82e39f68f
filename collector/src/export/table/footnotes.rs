//! Why figures are missing: each reason once, by number.

use super::figures::Figure;

/// Reasons for missing figures, each numbered once.
#[derive(Clone, Debug, Default)]
pub(super) struct Footnotes {
    /// By number, from 1.
    pub(super) reasons: Vec<String>,
}

impl Footnotes {
    /// The text of a cell: of a missing figure a dash and the number of its reason.
    pub(super) fn cell(&mut self, figure: Figure) -> String {
        match figure {
            Figure::Value(value) => value,
            Figure::Absent => String::new(),
            Figure::Missing(reason) => format!("-{}", superscript(self.number(reason))),
        }
    }

    fn number(&mut self, reason: String) -> usize {
        let known = self.reasons.iter().position(|known| *known == reason);
        let index = known.unwrap_or_else(|| {
            self.reasons.push(reason);
            self.reasons.len() - 1
        });
        index + 1
    }
}

/// The number as it stands behind a dash.
pub(super) fn superscript(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    number
        .to_string()
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .map(|digit| DIGITS[digit as usize])
        .collect()
}
