//! Stacks as two flame graphs: where the CPU time goes, and where tasks are off their CPUs.

use crate::snapshot::stacks::{Frame, FrameKind, Seen, SeenAt, Stacks, Taken};
use std::collections::BTreeMap;

/// Two graphs, each with a scale of its own: CPU time and time off a CPU are not of one kind, since any number of
/// tasks sleep at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlameGraph {
    /// Where tasks ran.
    pub on_cpu: Graph,
    /// Where they left their CPUs, by why they did.
    pub off_cpu: Graph,
    /// What is to be known of both, in sentences.
    pub notes: Vec<String>,
}

/// One graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// What it shows.
    pub title: String,
    /// How much of it, and by what method.
    pub subtitle: String,
    /// Microseconds by stack, outermost frame first.
    pub stacks: BTreeMap<Vec<String>, u64>,
}

impl Graph {
    /// All of its time, in microseconds.
    #[must_use]
    pub fn total_us(&self) -> u64 {
        self.stacks.values().sum()
    }
}

/// Time that tasks wait for a CPU, whatever for they slept before.
const WAITING: &str = "waiting for a CPU";

/// Builds both, of targets with these names.
#[must_use]
pub fn build(stacks: &Stacks, targets: &[&str]) -> FlameGraph {
    let mut on_cpu = BTreeMap::new();
    let mut off_cpu = BTreeMap::new();
    let mut add = |to_cpu: bool, path: Vec<String>, ns: u64| {
        let graph = if to_cpu { &mut on_cpu } else { &mut off_cpu };
        if ns > 0 {
            *graph.entry(path).or_insert(0) += ns;
        }
    };
    for seen in &stacks.seen {
        let path = |first: Option<String>| path(stacks, seen, targets, first);
        match &seen.of {
            SeenAt::OnCpu => add(true, path(None), seen.times * stacks.period_ns),
            SeenAt::Slept(reason) => {
                let asleep = format!("asleep: {}", reason.replace('_', " "));
                add(false, path(Some(asleep)), seen.asleep_ns);
                add(false, path(Some(WAITING.into())), seen.waiting_ns);
            }
            // Without a sleep it is off a CPU and off all run queues while it is moved between two of these.
            SeenAt::Preempted => {
                add(false, path(Some("asleep: other".into())), seen.asleep_ns);
                add(false, path(Some(WAITING.into())), seen.waiting_ns);
            }
        }
    }
    let sums = Sums::of(stacks);
    FlameGraph {
        on_cpu: graph("On CPU", sums.on_cpu(stacks), on_cpu),
        off_cpu: graph("Off CPU", sums.off_cpu(stacks), off_cpu),
        notes: notes(stacks, &sums),
    }
}

fn graph(title: &str, subtitle: String, stacks: BTreeMap<Vec<String>, u64>) -> Graph {
    let micros = stacks
        .into_iter()
        .map(|(path, ns)| (path, ns.div_ceil(1_000)));
    Graph {
        title: title.to_owned(),
        subtitle,
        stacks: micros.collect(),
    }
}

/// From the outermost: why (of time off a CPU), who, what is known of the stack, and its functions.
fn path(stacks: &Stacks, seen: &Seen, targets: &[&str], first: Option<String>) -> Vec<String> {
    let target = targets.get(seen.target).filter(|_| targets.len() > 1);
    let known = match seen.taken {
        Taken::Whole => None,
        Taken::CutShort => Some("[cut short]"),
        Taken::KernelAlone => Some("[off its CPU since before: kernel alone]"),
        Taken::Lost => Some("[stack lost]"),
        Taken::Unreadable => Some("[stack unreadable]"),
        Taken::OverBudget => Some("[stack not taken: over the budget]"),
        Taken::Before => Some("[off its CPU since before]"),
        Taken::New => Some("[new task]"),
    };
    let frames = seen.stack.iter();
    let frames = frames.filter_map(|number| stacks.frames.get(*number as usize));
    first
        .into_iter()
        .chain(target.map(|target| (*target).to_owned()))
        .chain([seen.role.clone()])
        .chain(known.map(str::to_owned))
        .chain(frames.map(name))
        .collect()
}

/// `_[k]` behind functions of the kernel is what programs for folded stacks know them by.
fn name(frame: &Frame) -> String {
    match frame.kind {
        FrameKind::User | FrameKind::UserNameless => frame.name.clone(),
        FrameKind::Kernel | FrameKind::KernelNameless => format!("{}_[k]", frame.name),
    }
}

/// How much there is of what, in nanoseconds.
#[derive(Default)]
struct Sums {
    on_cpu: Part,
    off_cpu: Part,
    samples: u64,
    asleep: u64,
    waiting: u64,
    over_budget: u64,
    before: u64,
    without: u64,
}

/// Of what has a stack.
#[derive(Default)]
struct Part {
    all: u64,
    cut_short: u64,
    nameless: u64,
}

impl Part {
    fn add(&mut self, stacks: &Stacks, seen: &Seen, time: u64) {
        if !matches!(seen.taken, Taken::Whole | Taken::CutShort) {
            return;
        }
        self.all += time;
        if seen.taken == Taken::CutShort {
            self.cut_short += time;
        }
        let frames = seen.stack.iter();
        let mut frames = frames.filter_map(|number| stacks.frames.get(*number as usize));
        let is_nameless = |frame: &Frame| {
            matches!(
                frame.kind,
                FrameKind::UserNameless | FrameKind::KernelNameless
            )
        };
        if frames.any(is_nameless) {
            self.nameless += time;
        }
    }

    fn share(&self, of: u64) -> String {
        percent(of, self.all)
    }
}

impl Sums {
    fn of(stacks: &Stacks) -> Self {
        let mut sums = Self::default();
        for seen in &stacks.seen {
            if seen.of == SeenAt::OnCpu {
                sums.samples += seen.times;
                sums.on_cpu.add(stacks, seen, seen.times * stacks.period_ns);
                continue;
            }
            let time = seen.asleep_ns + seen.waiting_ns;
            sums.off_cpu.add(stacks, seen, time);
            sums.asleep += seen.asleep_ns;
            sums.waiting += seen.waiting_ns;
            match seen.taken {
                Taken::OverBudget => sums.over_budget += time,
                Taken::Before | Taken::KernelAlone => sums.before += time,
                Taken::Lost | Taken::Unreadable => sums.without += time,
                _ => {}
            }
        }
        sums
    }

    fn on_cpu(&self, stacks: &Stacks) -> String {
        let sampled = self.samples * stacks.period_ns;
        let books = stacks.books.map_or(String::new(), |books| {
            let (running, cpu) = (seconds(books.running_ns), seconds(books.cpu_ns));
            format!("; by the books {running}, of which the kernel charged {cpu}")
        });
        format!(
            "{} samples, one each {:.1} ms of a CPU: {}{books}",
            self.samples,
            stacks.period_ns as f64 / 1e6,
            seconds(sampled)
        )
    }

    fn off_cpu(&self, stacks: &Stacks) -> String {
        let books = stacks.books.map_or(String::new(), |books| {
            format!(
                "; by the books {} and {}",
                seconds(books.asleep_ns),
                seconds(books.waiting_ns)
            )
        });
        format!(
            "sum over all tasks, several at once: asleep {}, waiting for a CPU {}{books}",
            seconds(self.asleep),
            seconds(self.waiting)
        )
    }
}

fn notes(stacks: &Stacks, sums: &Sums) -> Vec<String> {
    let mut notes = vec![format!(
        "Stacks were taken for {}. The two graphs have scales of their own; frames below 0.01 % of one are left out.",
        seconds(stacks.length_ns())
    )];
    notes.push(format!(
        "[cut short]: frame pointers did not lead back to where the thread began: {} of the time on a CPU, {} of that \
         off one.",
        sums.on_cpu.share(sums.on_cpu.cut_short),
        sums.off_cpu.share(sums.off_cpu.cut_short)
    ));
    notes.push(format!(
        "Functions without a name, shown as file+address, are in {} of the time on a CPU, and {} of that off one.",
        sums.on_cpu.share(sums.on_cpu.nameless),
        sums.off_cpu.share(sums.off_cpu.nameless)
    ));
    if !stacks.kernel_named {
        notes.push(
            "The kernel did not tell the addresses of its functions (kernel.kptr_restrict, CAP_SYSLOG): [kernel]."
                .into(),
        );
    }
    let off = sums.asleep + sums.waiting;
    let mut without = |what: &str, time: u64| {
        if time > 0 {
            let share = percent(time, off);
            notes.push(format!(
                "Of the time off a CPU {} ({share}) {what}.",
                seconds(time)
            ));
        }
    };
    let budget = stacks.budget_hz;
    without(
        &format!("have no stack, over the budget of {budget} stacks in a second of a CPU"),
        sums.over_budget,
    );
    without(
        "have a stack in the kernel at most, since tasks left their CPUs before stacks were taken",
        sums.before,
    );
    without(
        "have no stack, since it could not be read or kept",
        sums.without,
    );
    notes.extend(lost(stacks));
    notes
}

/// What is not in the graphs, if anything.
fn lost(stacks: &Stacks) -> Option<String> {
    let lost = &stacks.lost;
    let all = [
        (lost.samples, "samples on a CPU"),
        (lost.sleeps, "times off a CPU"),
        (lost.tasks, "tasks that left a CPU"),
        (lost.order, "books that were not up to date"),
        (lost.stacks, "stacks without room (their time is shown)"),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let some: Vec<_> = some
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!some.is_empty()).then(|| {
        let time = seconds(lost.sleeps_ns);
        format!("Lost: {}; {time} off a CPU are not shown.", some.join(", "))
    })
}

fn seconds(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

fn percent(of: u64, all: u64) -> String {
    match all {
        0 => "0 %".into(),
        _ => format!("{:.1} %", 100.0 * of as f64 / all as f64),
    }
}
