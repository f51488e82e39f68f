//! What is said on stderr of what goes on for ever: each thing once, until it changes.

use super::super::search::Findings;
use crate::command::say;
use std::collections::HashMap;

/// Pids that are named of one target.
const PIDS: usize = 8;

/// What was said last.
pub(super) struct Told {
    is_quiet: bool,
    /// Why a target is not there.
    missing: HashMap<String, String>,
    /// Why nothing is read.
    trouble: Option<String>,
    left: usize,
}

impl Told {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            missing: HashMap::new(),
            trouble: None,
            left: 0,
        }
    }

    pub(super) fn of_search(&mut self, findings: &Findings) {
        for (name, pids) in &findings.found {
            self.missing.remove(name);
            let some: Vec<_> = pids.iter().take(PIDS).map(u32::to_string).collect();
            let more = if pids.len() > PIDS { ", ..." } else { "" };
            self.remark(&format!("watching {name}, pid {}{more}", some.join(", ")));
        }
        for (name, why) in &findings.missing {
            if self.missing.get(name) != Some(why) {
                say(&format!("target {name} is not there: {why}"));
            }
            self.missing.insert(name.clone(), why.clone());
        }
        if findings.left > self.left {
            say(&format!(
                "there is no room for {} more database servers; raise max_targets of [discovery]",
                findings.left
            ));
        }
        self.left = findings.left;
    }

    pub(super) fn has_ended(&self, name: &str) {
        self.remark(&format!("{name} has ended"));
    }

    pub(super) fn trouble(&mut self, why: &str) {
        if self.trouble.as_deref() != Some(why) {
            say(why);
        }
        self.trouble = Some(why.to_owned());
    }

    pub(super) fn no_trouble(&mut self) {
        self.trouble = None;
    }

    fn remark(&self, line: &str) {
        if !self.is_quiet {
            say(line);
        }
    }
}
