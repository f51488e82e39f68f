//! What a machine's console tells of the tests.

use super::machine::End;
use super::plan::{Boot, Plan, Test};
use crate::test::Counts;
use std::collections::VecDeque;
use std::fmt;

/// How a test ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    path: String,
    result: Result,
}

#[derive(Clone, Debug, PartialEq)]
enum Result {
    /// In this many seconds.
    Passed(f64),
    /// Why, and what it said.
    Failed(String, Vec<String>),
    /// The machine ended meanwhile or before.
    Died(String, Vec<String>),
    /// Why.
    Skipped(String),
}

impl Outcome {
    /// The path of a test that ran to its end and failed.
    pub(super) fn failed(&self) -> Option<&str> {
        matches!(self.result, Result::Failed(..)).then_some(&self.path)
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        match self.result {
            Result::Passed(_) => counts.passed = 1,
            Result::Failed(..) | Result::Died(..) => counts.failed = 1,
            Result::Skipped(_) => counts.skipped = 1,
        }
        counts
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<56} ", self.path)?;
        match &self.result {
            Result::Passed(seconds) => write!(f, "passed in {seconds:.1} s"),
            Result::Skipped(reason) => write!(f, "skipped: {reason}"),
            Result::Failed(reason, said) | Result::Died(reason, said) => {
                write!(f, "FAILED: {reason}")?;
                said.iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

/// The test that runs now.
struct Running {
    test: Test,
    begun: f64,
    counts: Option<Counts>,
    said: Vec<String>,
}

/// Reads a console line by line.
pub(super) struct Transcript {
    waiting: VecDeque<Test>,
    skipped: Vec<Test>,
    running: Option<Running>,
    release: Option<String>,
    done: bool,
}

impl Transcript {
    pub(super) fn new(plan: &Plan, boot: Boot) -> Self {
        let skipped = plan.tests(boot).filter(|test| test.skipped.is_some());
        Self {
            waiting: plan.to_run(boot).cloned().collect(),
            skipped: skipped.cloned().collect(),
            running: None,
            release: None,
            done: false,
        }
    }

    /// What the kernel calls itself, once it has said so.
    pub(super) fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Reads a line; the outcome of the test that it ends, if it does.
    pub(super) fn read(&mut self, line: &str) -> Option<Outcome> {
        let Some((_, said)) = line.split_once("@vm ") else {
            self.note(line);
            return None;
        };
        let words: Vec<_> = said.split(' ').collect();
        match words[..] {
            ["kernel", release] => self.release = Some(release.to_owned()),
            ["done"] => self.done = true,
            ["begin", time, ..] => self.begin(time.parse().unwrap_or_default()),
            ["end", time, status] => return self.end(time.parse().unwrap_or_default(), status),
            _ => self.note(line),
        }
        None
    }

    /// The outcomes of all tests that have none yet, given how the machine ended.
    pub(super) fn finish(mut self, end: &End) -> Vec<Outcome> {
        let why = match self.done {
            true => "was not run".to_owned(),
            false => end.to_string(),
        };
        let mut outcomes = Vec::new();
        if let Some(running) = self.running.take() {
            let result = Result::Died(why.clone(), running.said);
            outcomes.push(outcome(&running.test, result));
        }
        for test in &self.waiting {
            let why = format!("{why} before it");
            outcomes.push(outcome(test, Result::Died(why, Vec::new())));
        }
        for test in &self.skipped {
            let reason = test.skipped.unwrap_or_default().to_owned();
            outcomes.push(outcome(test, Result::Skipped(reason)));
        }
        outcomes
    }

    /// The machine runs the tests in the order of the plan.
    fn begin(&mut self, begun: f64) {
        self.running = self.waiting.pop_front().map(|test| Running {
            test,
            begun,
            counts: None,
            said: Vec::new(),
        });
    }

    fn note(&mut self, line: &str) {
        if let Some(running) = &mut self.running {
            running.counts = Counts::from_result_line(line).or(running.counts);
            if !line.is_empty() {
                running.said.push(line.to_owned());
            }
        }
    }

    fn end(&mut self, time: f64, status: &str) -> Option<Outcome> {
        let running = self.running.take()?;
        let counts = running.counts.unwrap_or_default();
        let result = match (status, counts) {
            (
                "0",
                Counts {
                    passed: 1,
                    failed: 0,
                    ..
                },
            ) => Result::Passed(time - running.begun),
            (
                "0",
                Counts {
                    skipped: 1,
                    failed: 0,
                    ..
                },
            ) => Result::Skipped("ignored".to_owned()),
            _ => {
                let seconds = time - running.begun;
                let reason = format!("exit status {status} after {seconds:.1} s");
                Result::Failed(reason, running.said)
            }
        };
        Some(outcome(&running.test, result))
    }
}

fn outcome(test: &Test, result: Result) -> Outcome {
    Outcome {
        path: test.path(),
        result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let test = |name: &str, skipped| Test {
            program: "root_x".to_owned(),
            name: name.to_owned(),
            boot: Boot::Usual,
            skipped,
        };
        let tests = vec![test("a", None), test("b", None), test("c", Some("slow"))];
        Plan {
            programs: Vec::new(),
            tests,
        }
    }

    fn outcomes(console: &str, end: End) -> Vec<String> {
        let mut transcript = Transcript::new(&plan(), Boot::Usual);
        let lines = console.lines();
        let mut outcomes: Vec<_> = lines.filter_map(|line| transcript.read(line)).collect();
        outcomes.extend(transcript.finish(&end));
        let texts = outcomes.iter().map(|outcome| outcome.to_string());
        texts
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    const PASSED: &str = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured";

    #[test]
    fn each_test_has_an_outcome() {
        let console = format!(
            "boot\n@vm kernel 6.1.0\n@vm begin 1.5 root_x a\n{PASSED}\n@vm end 3.0 0\n\
             @vm begin 3.5 root_x b\npanicked\n@vm end 4.0 101\n@vm done\n"
        );
        let expected = [
            "root_x::a passed in 1.5 s",
            "root_x::b FAILED: exit status 101 after 0.5 s panicked",
            "root_x::c skipped: slow",
        ];
        assert_eq!(outcomes(&console, End::ByItself), expected);
    }

    #[test]
    fn a_machine_that_hangs_fails_what_it_did_not_do() {
        let console = "@vm begin 1 root_x a\nrunning 1 test";
        let expected = [
            "root_x::a FAILED: the machine was killed after 1800 s running 1 test",
            "root_x::b FAILED: the machine was killed after 1800 s before it",
            "root_x::c skipped: slow",
        ];
        assert_eq!(outcomes(console, End::TimeLimit), expected);
    }

    #[test]
    fn success_without_a_test_that_passed_is_a_failure() {
        let none = PASSED.replace("1 passed", "0 passed");
        let console = format!("@vm begin 1 root_x a\n{none}\n@vm end 2 0\n@vm done");
        let outcomes = outcomes(&console, End::ByItself);
        assert!(outcomes[0].starts_with("root_x::a FAILED: exit status 0"));
        assert_eq!(outcomes[1], "root_x::b FAILED: was not run before it");
    }
}
