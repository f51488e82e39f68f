//! What a probe has shown that fails in the middle of a watch.
//!
//! Its figures are cumulative, and without it they are nothing, which would be less than before.
//! So what it had shown last stands still, and the measure is unavailable.

use crate::snapshot::{Role, Unavailable};

/// Fills in what was shown last, where it is shown no more.
pub(super) fn keep(roles: &mut [Role], last: &[Role], unavailable: &[Unavailable]) {
    let given_up = |measure: &str| unavailable.iter().any(|one| one.measure == measure);
    let (faults, switches) = (given_up("fault_classes"), given_up("switch_latency"));
    for (role, last) in roles.iter_mut().zip(last) {
        if faults {
            role.faults.clone_from(&last.faults);
        }
        if switches {
            role.switch_latency.clone_from(&last.switch_latency);
        }
        // Of one target calls may be unavailable, and of others not.
        fill(&mut role.calls, &last.calls);
        fill(&mut role.kernel_calls, &last.kernel_calls);
        fill(&mut role.page_table_copy, &last.page_table_copy);
        fill(&mut role.shootdown_latency, &last.shootdown_latency);
    }
}

fn fill<T: Clone>(shown: &mut Option<T>, last: &Option<T>) {
    if shown.is_none() {
        shown.clone_from(last);
    }
}

/// Of a role what may have to be kept.
pub(super) fn shown(role: &Role) -> Role {
    Role {
        faults: role.faults.clone(),
        switch_latency: role.switch_latency.clone(),
        calls: role.calls.clone(),
        kernel_calls: role.kernel_calls.clone(),
        page_table_copy: role.page_table_copy.clone(),
        shootdown_latency: role.shootdown_latency.clone(),
        ..Role::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Calls, SwitchLatency, faults::Faults};

    fn role(count: u64) -> Role {
        Role {
            ended_tasks: count,
            faults: Faults {
                begun: count,
                ..Faults::default()
            },
            switch_latency: SwitchLatency {
                left: count,
                ..SwitchLatency::default()
            },
            calls: (count > 0).then(|| {
                vec![Calls {
                    failed: count,
                    ..Calls::default()
                }]
            }),
            ..Role::default()
        }
    }

    fn counts(role: &Role) -> (u64, u64, u64, Option<u64>) {
        (
            role.ended_tasks,
            role.faults.begun,
            role.switch_latency.left,
            role.calls.as_ref().map(|calls| calls[0].failed),
        )
    }

    #[test]
    fn what_a_failed_probe_has_shown_stands_still() {
        let unavailable = |measure: &str| Unavailable {
            measure: measure.to_owned(),
            reason: "cannot read probe".to_owned(),
        };
        let last = [shown(&role(7))];
        let mut now = [role(0)];
        keep(&mut now, &last, &[]);
        assert_eq!(counts(&now[0]), (0, 0, 0, Some(7)));
        keep(&mut now, &last, &[unavailable("fault_classes")]);
        assert_eq!(counts(&now[0]), (0, 7, 0, Some(7)));
        let mut now = [role(9)];
        let failed = [
            unavailable("switch_latency"),
            unavailable("creation_latency"),
        ];
        keep(&mut now, &last, &failed);
        assert_eq!(counts(&now[0]), (9, 9, 7, Some(9)));
        let mut first = [role(1)];
        keep(&mut first, &[], &failed);
        assert_eq!(counts(&first[0]), (1, 1, 1, Some(1)));
    }
}
