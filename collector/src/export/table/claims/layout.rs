//! Four columns: the claim, what is said, what was measured, the verdict. Each wraps within its own.

use std::io;

use super::super::super::Style;
use super::super::text::{Pen, columns, wrap};
use super::words;
use crate::report::claims::{Judged, Tested, Verdict};

/// Columns between two of them.
const GAP: usize = 2;
/// Where lines may be of any length.
const USUAL: u16 = 120;
/// Screens with room for wider columns.
const WIDE: usize = 100;

/// The widths of the four.
pub(super) struct Layout {
    widths: [usize; 4],
}

/// Lines of the three columns beside the claim; a verdict gives its colour.
type Beside = ([String; 3], Option<Verdict>);

impl Layout {
    pub(super) fn of(style: &Style) -> Self {
        let all = usize::from(style.width.unwrap_or(USUAL)).max(60);
        let [said, measured, verdict] = if all >= WIDE {
            [20, 25, 21]
        } else {
            [12, 19, 17]
        };
        let claim = all - said - measured - verdict - 3 * GAP;
        Self {
            widths: [claim, said, measured, verdict],
        }
    }

    /// A heading, with the names of the columns.
    pub(super) fn write_group(
        &self,
        group: &str,
        pen: Pen,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let names = [group, "said", "measured", "verdict"];
        let cells = names
            .iter()
            .zip(self.widths)
            .map(|(name, width)| pad(name, width));
        let heading = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        let width = self.widths.iter().sum::<usize>() + 3 * GAP;
        writeln!(out, "\n{}", pen.strong(heading.trim_end()))?;
        writeln!(out, "{}", pen.faint(&"─".repeat(width)))
    }

    /// A claim and what became of it.
    pub(super) fn write_claim(
        &self,
        claim: &Judged,
        pen: Pen,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let text = wrap(&claim.claim, Some(self.widths[0] as u16));
        let id = format!("{} ({})", claim.id, claim.sources.join(", "));
        let mut left: Vec<String> = text.iter().map(|line| pad(line, self.widths[0])).collect();
        left.push(pen.faint(&pad(&id.replace(" ()", ""), self.widths[0])));
        let beside = self.beside(claim);
        let blank = " ".repeat(self.widths[0]);
        let gap = " ".repeat(GAP);
        for line in 0..left.len().max(beside.len()) {
            let claim = left.get(line).unwrap_or(&blank);
            let cells = beside
                .get(line)
                .map_or_else(String::new, |beside| self.cells(beside, pen));
            writeln!(out, "{}", format!("{claim}{gap}{cells}").trim_end())?;
        }
        writeln!(out)
    }

    fn cells(&self, ([said, measured, verdict], of): &Beside, pen: Pen) -> String {
        let gap = " ".repeat(GAP);
        let colored = match of {
            Some(Verdict::Holds) => pen.good(verdict),
            Some(Verdict::DoesNotHold | Verdict::Failed) => pen.bad(verdict),
            Some(_) => pen.warning(verdict),
            None => verdict.clone(),
        };
        let [said, measured] = [pad(said, self.widths[1]), pad(measured, self.widths[2])];
        format!("{said}{gap}{measured}{gap}{colored}")
            .trim_end()
            .to_owned()
    }

    /// One test beside the claim; of several the verdict of all first.
    fn beside(&self, claim: &Judged) -> Vec<Beside> {
        match &claim.tests[..] {
            [only] => self.of_test(only, None),
            several => {
                let verdict = words::verdict(claim.verdict);
                let first = self.stack(vec![], vec![], vec![verdict], Some(claim.verdict));
                let tests = several
                    .iter()
                    .flat_map(|test| self.of_test(test, Some(&test.label)));
                first.into_iter().chain(tests).collect()
            }
        }
    }

    fn of_test(&self, test: &Tested, label: Option<&str>) -> Vec<Beside> {
        let mut measured: Vec<String> = label.iter().map(|label| format!("{label}:")).collect();
        measured.push(words::measured(test));
        let verdict = words::verdict(test.verdict);
        let verdict = std::iter::once(verdict)
            .chain(words::details(test))
            .collect();
        self.stack(words::said(test), measured, verdict, Some(test.verdict))
    }

    /// Texts, each wrapped to its column.
    fn stack(
        &self,
        said: Vec<String>,
        measured: Vec<String>,
        verdict: Vec<String>,
        of: Option<Verdict>,
    ) -> Vec<Beside> {
        let wrapped = |texts: Vec<String>, column: usize| -> Vec<String> {
            let width = Some(self.widths[column] as u16);
            texts.iter().flat_map(|text| wrap(text, width)).collect()
        };
        let stacks = [wrapped(said, 1), wrapped(measured, 2), wrapped(verdict, 3)];
        let height = stacks.iter().map(Vec::len).max().unwrap_or(0);
        let cell =
            |column: usize, line: usize| stacks[column].get(line).cloned().unwrap_or_default();
        (0..height)
            .map(|line| ([0, 1, 2].map(|column| cell(column, line)), of))
            .collect()
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}
