//! What the user of a watch may choose.

/// What the user of a watch may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Share of the time, 0 to 1, in which faults are looked at one by one.
    pub fault_share: f64,
    /// Share of the time, 0 to 1, in which the latency of switches is measured.
    pub switch_share: f64,
    /// Room for what tasks do one by one, in bytes, a power of two; none where that is not asked for. See
    /// [`Watch::timeline`](super::Watch::timeline).
    pub timeline_bytes: Option<u32>,
    /// Hooks that are not used even where they work, such as `tp_btf/sched_exit_tp`: what needs one is
    /// then measured by the next best method. For tests.
    pub without: &'static [&'static str],
    /// Of the probes that the main job does not need, only those of these names.
    pub only: Option<&'static [&'static str]>,
}

impl Options {
    /// What runs always, and nothing that runs now and then.
    pub const NO_WINDOWS: Self = Self {
        fault_share: 0.0,
        switch_share: 0.0,
        timeline_bytes: None,
        without: &[],
        only: None,
    };

    /// The books of tasks and their creations, and nothing that the main job does not need.
    pub const BOOKS: Self = Self {
        only: Some(&[]),
        ..Self::NO_WINDOWS
    };
}

impl Default for Options {
    /// Windows that together cost less than 1 % of a core, even one that does nothing but switch.
    fn default() -> Self {
        Self {
            fault_share: 0.02,
            switch_share: 0.01,
            ..Self::NO_WINDOWS
        }
    }
}
