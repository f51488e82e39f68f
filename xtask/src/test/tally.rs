//! Counts tests from what libtest prints: `running 3 tests`, later the names of those that failed
//! and `test result: FAILED. 1 passed; 1 failed; 1 ignored; ...`.

use std::fmt;
use std::ops::AddAssign;

/// More failures than these are no accident.
const FAILURES_MOST: u64 = 8;

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

    /// Whether the host may be at fault, where each of the tests that failed is known by its name: a few
    /// of many fail where others take the CPUs away. A program or machine that died has no such excuse.
    pub(crate) fn may_be_the_hosts_doing(self, named: usize) -> bool {
        (1..=FAILURES_MOST).contains(&self.failed) && self.failed == named as u64
    }

    /// Takes the outcome of a second run of all that failed for theirs.
    pub(crate) fn correct(&mut self, again: Self) {
        let failed = self.failed.saturating_sub(again.passed).max(again.failed);
        self.passed += self.failed.saturating_sub(failed);
        self.failed = failed;
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
    /// How many programs have said that tests of theirs failed, or ended without a word.
    programs_failed: u64,
    /// What stands below that program's last `failures:`.
    listed: Vec<String>,
    /// The names of the tests that failed.
    failed: Vec<String>,
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

    /// The counts at the end of the output, given whether Cargo says that all went well and of how many
    /// programs that it did not, and the names of the tests that failed and said so.
    pub(crate) fn finish(mut self, success: bool, programs_failed: u64) -> (Counts, Vec<String>) {
        self.end_without_result();
        // Programs that ended before libtest could say a word, or after it had said that all is well.
        self.counts.failed += programs_failed.saturating_sub(self.programs_failed);
        if !success && self.counts.failed == 0 {
            self.counts.failed = 1;
        }
        (self.counts, self.failed)
    }

    fn read_line(&mut self, line: &str) {
        if let Some(announced) = announced(line) {
            self.end_without_result();
            self.announced = Some(announced);
        } else if line == "failures:" {
            self.listed.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            self.listed.push(name.to_owned());
        } else if let Some(counts) = Counts::from_result_line(line) {
            // A failed test's own output may look like a result: the sum tells.
            if self.announced == Some(counts.ran() + counts.skipped) {
                self.announced = None;
                self.counts += counts;
                self.programs_failed += u64::from(counts.failed > 0);
                let listed = std::mem::take(&mut self.listed);
                self.failed
                    .extend(listed.into_iter().filter(|_| counts.failed > 0));
            }
        }
    }

    /// Tests that were announced and never reported on were killed: at least one has failed.
    fn end_without_result(&mut self) {
        if self.announced.take().is_some() {
            self.counts.failed += 1;
            self.programs_failed += 1;
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
        tally.finish(success, 0).0
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
    fn those_that_failed_are_named() {
        let failed = OK.replace("ok. 2 passed; 0", "FAILED. 1 passed; 1");
        let output = format!(
            "running 3 tests\n    x\n{OK}running 3 tests\n\nfailures:\n\n---- a::b stdout ----\n    its \
             words\n\n\nfailures:\n    a::b\n\n{failed}"
        );
        let mut tally = Tally::default();
        tally.add(output.as_bytes());
        assert_eq!(tally.finish(false, 1).1, ["a::b"]);
    }

    #[test]
    fn a_program_that_fails_after_its_tests_have_passed_has_failed() {
        let failed = OK.replace("ok. 2 passed; 0", "FAILED. 1 passed; 1");
        let mut tally = Tally::default();
        tally.add(format!("running 3 tests\n{OK}running 3 tests\n{failed}").as_bytes());
        assert_eq!(tally.finish(false, 2).0.failed, 2);
    }

    #[test]
    fn a_few_that_failed_by_themselves_are_run_once_more() {
        let failed = |failed| Counts {
            failed,
            ..Counts::default()
        };
        assert!(failed(2).may_be_the_hosts_doing(2));
        assert!(!failed(0).may_be_the_hosts_doing(0));
        assert!(!failed(FAILURES_MOST + 1).may_be_the_hosts_doing(9));
        // One of them died without a word.
        assert!(!failed(2).may_be_the_hosts_doing(1));
    }

    #[test]
    fn the_second_run_counts() {
        let corrected = |passed, failed| {
            let mut counts = Counts {
                passed: 9,
                failed: 3,
                skipped: 1,
            };
            counts.correct(Counts {
                passed,
                failed,
                skipped: 0,
            });
            (counts.passed, counts.failed)
        };
        assert_eq!(corrected(3, 0), (12, 0));
        assert_eq!(corrected(2, 1), (11, 1));
        // Another of the same name.
        assert_eq!(corrected(3, 1), (11, 1));
        // None of them, or not all, ran again.
        assert_eq!(corrected(0, 0), (9, 3));
        assert_eq!(corrected(2, 0), (11, 1));
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
