//! Counts tests from what libtest prints: `running 3 tests`, later
//! `test result: ok. 2 passed; 0 failed; 1 ignored; ...`.

use std::fmt;
use std::ops::AddAssign;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Tests that were started: a skipped one was not.
    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed
    }

    /// The counts in libtest's last line; `None` if this is another one.
    pub(crate) fn from_result_line(line: &str) -> Option<Self> {
        let result = line.strip_prefix("test result: ")?;
        let number = |word: &str| -> Option<u64> {
            let before = result.split_once(word)?.0.trim_end();
            before.rsplit(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: number("passed;")?,
            failed: number("failed;")?,
            skipped: number("ignored;")?,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Reads output as it comes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Counts,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    /// How many tests the program that now runs announced, until its result comes.
    announced: Option<u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, output: &[u8]) {
        for byte in output {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                self.read_line(&line);
            } else {
                self.line.push(*byte);
            }
        }
    }

    /// The counts at the end of the output, given whether Cargo says that all went well.
    pub(crate) fn finish(mut self, success: bool) -> Counts {
        self.end_without_result();
        if !success && self.counts.failed == 0 {
            // A program that ended before libtest could say a word.
            self.counts.failed = 1;
        }
        self.counts
    }

    fn read_line(&mut self, line: &str) {
        if let Some(announced) = announced(line) {
            self.end_without_result();
            self.announced = Some(announced);
        } else if let Some(counts) = Counts::from_result_line(line) {
            // A failed test's own output may look like a result: the sum tells.
            if self.announced == Some(counts.ran() + counts.skipped) {
                self.announced = None;
                self.counts += counts;
            }
        }
    }

    /// Tests that were announced and never reported on were killed: at least one has failed.
    fn end_without_result(&mut self) {
        if self.announced.take().is_some() {
            self.counts.failed += 1;
        }
    }
}

fn announced(line: &str) -> Option<u64> {
    let (number, unit) = line.strip_prefix("running ")?.split_once(' ')?;
    ["test", "tests"]
        .contains(&unit)
        .then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; \
                      finished in 0.00s\n";

    fn counts(output: &str, success: bool) -> Counts {
        let mut tally = Tally::default();
        // In pieces, as a pipe delivers it.
        output
            .as_bytes()
            .chunks(7)
            .for_each(|piece| tally.add(piece));
        tally.finish(success)
    }

    #[test]
    fn results_are_summed() {
        let failed = OK.replace("ok. 2 passed; 0", "\u{1b}[31mFAILED\u{1b}[m. 1 passed; 1");
        let output = format!("\nrunning 3 tests\nx\n{OK}\nrunning 3 tests\n{failed}");
        assert_eq!(
            counts(&output, false).to_string(),
            "3 passed, 1 failed, 2 skipped"
        );
    }

    #[test]
    fn a_program_that_dies_has_failed() {
        let output = format!("running 1 test\nrunning 3 tests\n{OK}running 9 tests\n");
        assert_eq!(
            counts(&output, false),
            Counts {
                passed: 2,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn a_program_that_never_starts_has_failed() {
        assert_eq!(
            counts("", false),
            Counts {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
        assert_eq!(counts("", true), Counts::default());
    }

    #[test]
    fn a_line_that_only_looks_like_a_result_is_not_counted() {
        let output = format!(
            "running 5 tests\n{OK}{}",
            OK.replace("2 passed", "4 passed")
        );
        assert_eq!(
            counts(&output, true),
            Counts {
                passed: 4,
                failed: 0,
                skipped: 1
            }
        );
    }
}
