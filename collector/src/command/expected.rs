//! What watching is expected to cost, said before it begins: the limits of `docs/cost.md`, above any of
//! which the benchmarks fail. What it did cost is in the report.

use crate::cli::{Extent, Windows};
use probe_ebpf::stack_sample::StackOptions;
use std::time::Duration;

/// A context switch of a watched task, and of others, in nanoseconds.
const SWITCH_NS: u32 = 100;
const OTHER_SWITCH_NS: u32 = 10;
/// A sleep of a watched task on a socket, where that is noted.
const SOCKET_SLEEP_NS: u32 = 200;
/// All windows together, where they are open for as long as by default, as a share of a core.
const WINDOWS: &str = "1 %";
/// The share of the time in which they are, for faults and for switches.
const DEFAULT_SHARES: (f64, f64) = (0.02, 0.01);

/// In one line; a timeline and stacks each for so long at most.
pub(super) fn expected(
    extent: &Extent,
    busy_connections: bool,
    timeline: Option<Duration>,
    stacks: Option<(StackOptions, Duration)>,
) -> String {
    let parts = [
        Some(format!(
            "at most {SWITCH_NS} ns for each context switch of what is watched, {OTHER_SWITCH_NS} ns for others"
        )),
        looked_through(&extent.windows),
        Some("2 to 3 us for each fork and pthread_create".to_owned()),
        extent.counters.then(|| "some 0.4 us for each context switch by --counters".to_owned()),
        busy_connections.then(|| {
            format!("{SOCKET_SLEEP_NS} ns for each sleep of what is watched by --busy-connections")
        }),
        timeline.map(|time| {
            format!("some 0.3 us for each context switch of what is watched by --timeline, for {time:?} at most")
        }),
        stacks.map(|(options, time)| {
            let StackOptions { rate_hz, budget_hz, .. } = options;
            format!(
                "some 1.3 us for each context switch of what is watched by stacks, of which at most {budget_hz} are taken \
                 in a second of each CPU, and {rate_hz} samples, for {time:?} at most"
            )
        }),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let cost = parts.join("; ");
    format!("expected cost: {cost}; what it did cost is in the report")
}

/// What windows cost, if there are any.
fn looked_through(windows: &Windows) -> Option<String> {
    let (faults, switches) = (windows.fault_windows, windows.switch_windows);
    if faults <= 0.0 && switches <= 0.0 {
        return None;
    }
    let usual = faults <= DEFAULT_SHARES.0 && switches <= DEFAULT_SHARES.1;
    Some(match usual {
        true => format!("{WINDOWS} of a core for windows"),
        false => format!(
            "up to 0.5 us for each page fault of the host in {} % of the time, and for each switch in {} %",
            faults * 100.0,
            switches * 100.0
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(fault_windows: f64, switch_windows: f64) -> Extent {
        Extent {
            windows: Windows {
                fault_windows,
                switch_windows,
                own_memory_budget: 0.01,
            },
            counters: false,
        }
    }

    #[test]
    fn the_limits_are_those_of_the_document() {
        let document = include_str!("../../../docs/cost.md");
        let limit = format!("| {SWITCH_NS} ns, {OTHER_SWITCH_NS} ns |");
        assert!(document.contains(&limit), "{limit}");
        let limit = format!("at most {SOCKET_SLEEP_NS} ns for each sleep");
        assert!(document.contains(&limit), "{limit}");
        let row = document
            .lines()
            .find(|line| line.starts_with("| `switch_windows` |"));
        assert!(
            row.is_some_and(|row| row.ends_with(&format!("| {WINDOWS} |"))),
            "{row:?}"
        );
    }

    #[test]
    fn it_is_one_line_that_knows_what_was_asked_for() {
        let usual = expected(&extent(0.02, 0.01), false, None, None);
        assert!(usual.contains("1 % of a core for windows"), "{usual}");
        let others = ["by --", "stacks", "\n"];
        assert!(!others.iter().any(|it| usual.contains(it)), "{usual}");
        let counting = Extent {
            counters: true,
            ..extent(0.0, 0.0)
        };
        let none = expected(&counting, true, None, None);
        assert!(
            !none.contains("windows") && none.contains("by --counters"),
            "{none}"
        );
        assert!(none.contains("by --busy-connections"), "{none}");
        let long = expected(
            &extent(1.0, 0.01),
            false,
            Some(Duration::from_secs(10)),
            None,
        );
        assert!(
            long.ends_with("by --timeline, for 10s at most; what it did cost is in the report"),
            "{long}"
        );
        assert!(
            long.contains("in 100 % of the time") && long.contains("in 1 %"),
            "{long}"
        );
        let taken = (StackOptions::default(), Duration::from_secs(20));
        let stacks = expected(&extent(0.02, 0.01), false, None, Some(taken));
        let cost = "by stacks, of which at most 5000 are taken in a second of each CPU, and 99 samples, for 20s";
        assert!(stacks.contains(cost), "{stacks}");
    }
}
