//! Flame graphs of stacks whose times are known.

use super::records::{end, origin, read, written};
use super::sample::compare;
use connscope::export::flamegraph::write;
use connscope::record::Entry;
use connscope::report::stacks::{FlameGraph, Graph, build};
use connscope::snapshot::stacks::{Books, Frame, FrameKind, Lost, Seen, SeenAt, Stacks, Taken};

fn frame(name: &str, kind: FrameKind) -> Frame {
    let name = name.to_owned();
    Frame { name, kind }
}

fn seen(of: SeenAt, taken: Taken, stack: &[u32], times: u64, asleep: u64, waiting: u64) -> Seen {
    Seen {
        target: 0,
        role: "main".to_owned(),
        of,
        taken,
        stack: stack.to_vec(),
        times,
        asleep_ns: asleep,
        waiting_ns: waiting,
    }
}

/// 30 samples of 10 ms; 3 s asleep, 1 s of waits.
fn stacks() -> Stacks {
    let slept = || SeenAt::Slept("event_wait".to_owned());
    Stacks {
        began_ns: 1_000_000_000,
        ended_ns: 3_000_000_000,
        period_ns: 10_000_000,
        budget_hz: 5_000,
        frames: vec![
            frame("main", FrameKind::User),
            frame("<Vec<[u8; 8]> as Drop>::drop", FrameKind::User),
            frame("known+0x1234", FrameKind::UserNameless),
            frame("do_epoll_wait", FrameKind::Kernel),
        ],
        seen: vec![
            seen(SeenAt::OnCpu, Taken::Whole, &[0, 1], 20, 0, 0),
            seen(SeenAt::OnCpu, Taken::CutShort, &[2], 10, 0, 0),
            seen(
                slept(),
                Taken::Whole,
                &[0, 3],
                7,
                2_000_000_000,
                500_000_000,
            ),
            seen(slept(), Taken::OverBudget, &[], 9, 1_000_000_000, 0),
            seen(SeenAt::Preempted, Taken::Whole, &[0, 1], 3, 0, 500_000_000),
        ],
        lost: Lost {
            sleeps: 4,
            sleeps_ns: 250_000_000,
            ..Lost::default()
        },
        books: Some(Books {
            cpu_ns: 310_000_000,
            running_ns: 320_000_000,
            asleep_ns: 3_250_000_000,
            waiting_ns: 1_000_000_000,
        }),
        kernel_named: true,
    }
}

fn svg(graphs: &FlameGraph) -> String {
    let mut out = Vec::new();
    write(graphs, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Microseconds below these outermost frames.
fn below(graph: &Graph, path: &[&str]) -> u64 {
    let stacks = graph.stacks.iter();
    let stacks = stacks
        .filter(|(stack, _)| stack.iter().zip(path).filter(|(a, b)| a == b).count() == path.len());
    stacks.map(|(_, time)| time).sum()
}

#[test]
fn graphs_sum_to_what_was_seen() {
    let graphs = build(&stacks(), &["server"]);
    assert_eq!(graphs.on_cpu.total_us(), 300_000);
    assert_eq!(below(&graphs.on_cpu, &["main", "main"]), 200_000);
    assert_eq!(
        below(&graphs.on_cpu, &["main", "[cut short]", "known+0x1234"]),
        100_000
    );
    assert_eq!(graphs.off_cpu.total_us(), 4_000_000);
    assert_eq!(below(&graphs.off_cpu, &["asleep: event wait"]), 3_000_000);
    let over = [
        "asleep: event wait",
        "main",
        "[stack not taken: over the budget]",
    ];
    assert_eq!(below(&graphs.off_cpu, &over), 1_000_000);
    assert_eq!(below(&graphs.off_cpu, &["waiting for a CPU"]), 1_000_000);
    let notes = graphs.notes.join("\n");
    for words in [
        "33.3 % of the time on a CPU",
        "1.000 s (25.0 %) have no stack, over the budget of 5000",
        "Lost: 4 times off a CPU; 0.250 s off a CPU are not shown.",
    ] {
        assert!(notes.contains(words), "no {words:?} in {notes}");
    }
    assert!(
        graphs
            .on_cpu
            .subtitle
            .contains("0.320 s, of which the kernel charged 0.310 s"),
        "{}",
        graphs.on_cpu.subtitle
    );
    assert!(
        graphs.off_cpu.subtitle.contains("3.250 s and 1.000 s"),
        "{}",
        graphs.off_cpu.subtitle
    );
    // Of several targets each has a frame.
    let graphs = build(&stacks(), &["server", "pooler"]);
    assert_eq!(below(&graphs.on_cpu, &["server", "main", "main"]), 200_000);
}

#[test]
fn the_file_is_one_page_with_both() {
    let graphs = build(&stacks(), &["server"]);
    let page = svg(&graphs);
    assert_eq!(page, svg(&graphs));
    for words in [
        "<svg id=\"on-cpu\"",
        "<svg id=\"off-cpu\"",
        "do_epoll_wait (2,000 ms, 50.00%)",
        "&lt;Vec&lt;[u8: 8]&gt; as Drop&gt;::drop (200 ms, 66.67%)",
        "0.250 s off a CPU are not shown",
    ] {
        assert!(page.contains(words), "no {words:?} in {page}");
    }
    // Each opened once, but for `svg` within `svg`.
    for tag in ["svg", "script", "style", "text", "g"] {
        let opened =
            page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    let nothing = svg(&build(&Stacks::default(), &[]));
    assert_eq!(
        nothing.matches("nothing was seen (").count(),
        2,
        "{nothing}"
    );
}

/// Entries of a record add up to what one entry of all would say.
#[test]
fn parts_add_up() {
    let all = stacks();
    let part = |keep: fn(usize) -> bool| {
        let numbered = all.seen.iter().cloned().enumerate();
        let seen: Vec<Seen> = numbered
            .filter(|(at, _)| keep(*at))
            .map(|(_, seen)| seen)
            .collect();
        Stacks {
            seen,
            ..all.clone()
        }
    };
    let mut later = part(|at| at % 2 == 1);
    // With numbers of its own, and functions that the first part has not.
    later.frames.reverse();
    later.frames.push(frame("fork", FrameKind::User));
    for seen in &mut later.seen {
        seen.stack
            .iter_mut()
            .for_each(|number| *number = 3 - *number);
    }
    let recording = compare(1);
    let entries = [
        origin(&recording),
        Entry::Run(Box::new(recording.runs[0].clone())),
        Entry::Stacks(Box::new(part(|at| at % 2 == 0))),
        Entry::Stacks(Box::new(later)),
        Entry::Stacks(Box::new(part(|_| true))),
        end(&recording),
    ];
    let record = read(&written(&entries)).unwrap();
    let sum = record.stacks.expect("stacks");
    let twice = build(&all, &["server"]);
    let graphs = build(&sum, &["server"]);
    for (seen, once) in [
        (&graphs.on_cpu, &twice.on_cpu),
        (&graphs.off_cpu, &twice.off_cpu),
    ] {
        let doubled = once
            .stacks
            .iter()
            .map(|(path, time)| (path.clone(), 2 * time));
        assert_eq!(seen.stacks, doubled.collect());
    }
    // A record that was altered names frames that are not there.
    let mut altered = all.clone();
    altered.seen[0].stack.push(99);
    assert_eq!(build(&altered, &[]), build(&all, &[]));
}
