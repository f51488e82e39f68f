//! To whom each switch belongs, and of what kind it is.

use super::{identities::Identity, pairs::Gap};
use crate::{
    abi::{group_number, space, switch_flag, switch_kind, switch_record},
    sample::{GroupSample, Loss, SwitchKind, SwitchLatency},
};

/// Everything that the windows have shown so far.
#[derive(Default)]
pub(super) struct Books {
    groups: Vec<SwitchLatency>,
    /// Records without their match.
    pub(super) unmatched: u64,
    /// Records that the kernel had no room for.
    pub(super) lost: u64,
    /// Switches whose tasks had ended before they could be told apart.
    unresolved: u64,
    /// Switches to tasks that were not seen to come.
    untimed: u64,
}

impl Books {
    pub(super) fn new(groups: u32) -> Self {
        Self {
            groups: vec![SwitchLatency::default(); groups as usize],
            ..Self::default()
        }
    }

    /// Counts a switch between two tasks. It belongs to the group of the task that left, if that is
    /// watched, else to that of the one that came.
    pub(super) fn add(&mut self, gap: &Gap, left: Identity, came: Identity) {
        let group = match (left.group(), came.group()) {
            (Group::Of(group), _) => {
                self.group(group).left += 1;
                group
            }
            (Group::None, Group::Of(group)) => {
                self.group(group).came += 1;
                group
            }
            (Group::None, Group::None) => return,
            _ => {
                self.unresolved += 1;
                return;
            }
        };
        match (kind(left, came), gap.recording) {
            (None, _) => self.unresolved += 1,
            (Some(kind), Some(events)) => {
                self.group(group).add(kind, gap.preempted, events, gap.ns);
            }
            (Some(_), None) => {}
        }
    }

    /// Counts a switch that was timed by stamps, whose own share in its time is given.
    pub(super) fn add_stamped(&mut self, record: &switch_record, own_ns: u64) {
        let has = |flag: switch_flag| u32::from(record.flags) & flag.0 != 0;
        let group = self.group(record.group);
        match has(switch_flag::SWITCH_LEFT) {
            true => group.left += 1,
            false => group.came += 1,
        }
        if !has(switch_flag::SWITCH_TIMED) {
            self.untimed += 1;
            return;
        }
        let kind = match switch_kind(record.kind.into()) {
            switch_kind::SWITCH_SAME_SPACE => SwitchKind::SameSpace,
            switch_kind::SWITCH_DIFFERENT_SPACE => SwitchKind::DifferentSpace,
            switch_kind::SWITCH_IDLE => SwitchKind::Idle,
            _ => SwitchKind::KernelThread,
        };
        let (preempted, ns) = (has(switch_flag::SWITCH_PREEMPTED), record.ns.into());
        group.add(kind, preempted, 1, ns);
        group.add(kind, preempted, 0, ns.saturating_sub(own_ns));
    }

    fn group(&mut self, number: u32) -> &mut SwitchLatency {
        let number = number as usize;
        if self.groups.len() <= number {
            self.groups.resize_with(number + 1, SwitchLatency::default);
        }
        &mut self.groups[number]
    }

    /// Writes them into a sample.
    pub(super) fn copy_to(&self, groups: &mut [GroupSample]) {
        for (group, latency) in groups.iter_mut().zip(&self.groups) {
            group.switch_latency.clone_from(latency);
        }
    }

    pub(super) fn losses(&self) -> Vec<Loss> {
        let loss = |what, count| Loss {
            probe: super::PROBE.name,
            what,
            count,
        };
        vec![
            loss(super::LOST, self.lost),
            loss(super::UNMATCHED, self.unmatched),
            loss(super::UNRESOLVED, self.unresolved),
            loss(super::UNTIMED, self.untimed),
        ]
    }
}

/// Whose a task is.
enum Group {
    Of(u32),
    None,
    Unknown,
}

impl Identity {
    fn group(self) -> Group {
        match self {
            Self::Unknown => Group::Unknown,
            Self::Idle => Group::None,
            Self::Task { group, .. } if group == group_number::NO_GROUP.0 => Group::None,
            Self::Task { group, .. } => Group::Of(group),
        }
    }
}

/// Idle counts before kernel threads, these before address spaces.
fn kind(left: Identity, came: Identity) -> Option<SwitchKind> {
    const NONE: u64 = space::SPACE_NONE.0 as u64;
    const KERNEL: u64 = space::SPACE_KERNEL.0 as u64;
    match (left, came) {
        (Identity::Unknown, _) | (_, Identity::Unknown) => None,
        (Identity::Idle, _) | (_, Identity::Idle) => Some(SwitchKind::Idle),
        (Identity::Task { space: one, .. }, Identity::Task { space: other, .. }) => {
            match (one, other) {
                (KERNEL, _) | (_, KERNEL) => Some(SwitchKind::KernelThread),
                (NONE, _) | (_, NONE) => None,
                _ if one == other => Some(SwitchKind::SameSpace),
                _ => Some(SwitchKind::DifferentSpace),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNWATCHED: u32 = group_number::NO_GROUP.0;

    fn task(group: u32, address: u64) -> Identity {
        Identity::Task {
            group,
            space: address,
        }
    }

    const GAP: Gap = Gap {
        left: 1,
        came: 2,
        preempted: false,
        ns: 600,
        recording: Some(1),
    };

    #[test]
    fn a_switch_belongs_to_who_leaves_if_watched_else_to_who_comes() {
        let mut books = Books::new(2);
        books.add(&GAP, task(0, 100), task(1, 100));
        books.add(&GAP, task(UNWATCHED, 100), task(1, 200));
        books.add(&GAP, Identity::Idle, task(1, 200));
        books.add(&GAP, task(1, 200), Identity::Idle);
        books.add(&GAP, task(UNWATCHED, 100), Identity::Idle);
        let seen: Vec<_> = books.groups.iter().map(|g| (g.left, g.came)).collect();
        assert_eq!(seen, [(1, 0), (1, 2)]);
        let kinds: Vec<_> = books.groups[1].samples.iter().map(|s| s.kind).collect();
        assert_eq!(kinds, [SwitchKind::DifferentSpace, SwitchKind::Idle]);
        assert_eq!(books.unresolved, 0);
    }

    #[test]
    fn tasks_that_cannot_be_told_any_more_are_counted() {
        let mut books = Books::new(1);
        books.add(&GAP, task(0, 100), Identity::Unknown);
        books.add(&GAP, Identity::Unknown, task(0, 100));
        books.add(&GAP, task(UNWATCHED, 100), Identity::Unknown);
        books.add(&GAP, task(0, 0), task(0, 100));
        assert_eq!(books.unresolved, 4);
        assert_eq!(books.groups[0].left, 2);
        assert!(books.groups[0].samples.is_empty());
    }

    #[test]
    fn a_switch_recorded_by_an_unknown_number_of_events_is_counted_but_no_sample() {
        let mut books = Books::new(1);
        let gap = Gap {
            recording: None,
            ..GAP
        };
        books.add(&gap, task(0, 100), task(0, 100));
        assert_eq!(
            (books.groups[0].left, books.groups[0].samples.len()),
            (1, 0)
        );
    }

    #[test]
    fn a_stamped_switch_counts_with_and_without_the_stamps() {
        let mut books = Books::new(1);
        let timed = switch_record {
            ns: 500,
            own_ns: 60,
            kind: switch_kind::SWITCH_DIFFERENT_SPACE.0 as u16,
            flags: (switch_flag::SWITCH_LEFT.0 | switch_flag::SWITCH_TIMED.0) as u16,
            ..switch_record::default()
        };
        books.add_stamped(&timed, 60);
        books.add_stamped(&switch_record { flags: 0, ..timed }, 60);
        let group = &books.groups[0];
        assert_eq!((group.left, group.came, books.untimed), (1, 1, 1));
        let samples = group.samples.iter();
        let samples: Vec<_> = samples
            .map(|s| (s.kind, s.recording_events, s.histogram.sum))
            .collect();
        let kind = SwitchKind::DifferentSpace;
        assert_eq!(samples, [(kind, 1, 500), (kind, 0, 440)]);
    }

    #[test]
    fn kernel_threads_and_idle_are_kept_apart() {
        let kernel = task(UNWATCHED, space::SPACE_KERNEL.0.into());
        assert_eq!(kind(kernel, task(0, 100)), Some(SwitchKind::KernelThread));
        assert_eq!(kind(kernel, Identity::Idle), Some(SwitchKind::Idle));
        assert_eq!(
            kind(task(0, 100), task(1, 100)),
            Some(SwitchKind::SameSpace)
        );
    }
}
