//! The tasks that serve clients, as one.

use super::Facts;
use crate::report::measures::{ContextSwitches, KernelMeasures, TimeInState};
use crate::report::new_connection::Parts;
use crate::snapshot::TargetKind;

/// What all tasks of a target are called, where those that serve clients do not stand apart.
pub(super) const WHOLE: &str = "its tasks";

/// The measures of the roles that serve clients.
pub(super) struct Clients<'a> {
    /// What sentences call them.
    pub(super) words: &'static str,
    roles: Vec<&'a KernelMeasures>,
}

/// Where the time of clients went, in seconds.
pub(super) struct Times {
    pub(super) running: f64,
    pub(super) waiting: f64,
    by_reason: Vec<(String, f64)>,
}

impl<'a> Clients<'a> {
    /// Those of a target: of its roles that connections are served in, else of all its tasks.
    pub(super) fn of(facts: &Facts<'a>) -> Self {
        let target = facts.target;
        let parts = Parts::of(target.kind, &target.roles);
        // What else makes processes or threads may make them for anything.
        let parts = parts.filter(|_| target.kind != TargetKind::Process);
        let serve = |name: &str| parts.as_ref().is_some_and(|it| it.serving.contains(&name));
        let roles = target.roles.iter().filter(|role| serve(&role.role));
        let roles: Vec<_> = roles.map(|role| &role.measures).collect();
        match roles.is_empty() {
            true => Self {
                words: WHOLE,
                roles: vec![&target.measures.kernel],
            },
            false => Self {
                words: "clients",
                roles,
            },
        }
    }

    /// A sum over the roles; none where one of them lacks it.
    pub(super) fn sum(&self, figure: impl Fn(&KernelMeasures) -> Option<f64>) -> Option<f64> {
        self.roles.iter().map(|kernel| figure(kernel)).sum()
    }

    pub(super) fn switches(&self, figure: fn(&ContextSwitches) -> u64) -> Option<f64> {
        self.sum(|kernel| Some(figure(kernel.context_switches.as_ref()?) as f64))
    }

    /// Sleeps on these reasons that ended.
    pub(super) fn sleeps(&self, reasons: &[&str]) -> Option<f64> {
        self.sum(|kernel| {
            let by_reason = &kernel.blocked.as_ref()?.by_reason;
            let count = |reason: &&str| by_reason.get(*reason).map_or(0, |it| it.count);
            Some(reasons.iter().map(count).sum::<u64>() as f64)
        })
    }

    /// Where their time went.
    pub(super) fn times(&self) -> Option<Times> {
        let mut times = Times {
            running: 0.0,
            waiting: 0.0,
            by_reason: Vec::new(),
        };
        for kernel in &self.roles {
            times.add(kernel.time_in_state.as_ref()?);
        }
        Some(times)
    }
}

impl Times {
    fn add(&mut self, times: &TimeInState) {
        self.running += times.running_seconds;
        self.waiting += times.runnable_seconds;
        let by_reason = &times.blocked_by_reason_seconds;
        self.by_reason.extend(
            by_reason
                .iter()
                .map(|(reason, seconds)| (reason.clone(), *seconds)),
        );
    }

    /// Time slept on these.
    pub(super) fn slept(&self, reasons: &[&str]) -> f64 {
        let slept = self.by_reason.iter();
        let slept = slept.filter(|(reason, _)| reasons.contains(&reason.as_str()));
        slept.map(|(_, seconds)| seconds).sum()
    }
}
