//! From the addresses that the probes give to stacks with names, while the processes live that they are of.

mod images;
mod modules;
mod symbols;

use crate::snapshot::{
    REASONS,
    stacks::{Frame, Lost, Seen, SeenAt, Stacks, Taken, sums},
};
use probe_ebpf::stack_sample::{
    Frames, StackCount, StackId, StackLosses, StackOf, StackOptions, TakenStacks,
};
use std::collections::HashMap;
use symbols::Symbols;

/// Different stacks that are remembered, some 300 bytes each; others count as lost.
const STACKS_MAX: usize = 65_536;

/// Who the tasks of a group are: the number of their target, and their role in it.
pub type Groups = Vec<(usize, &'static str)>;

/// Gathers stacks and names their functions.
pub struct Gathering {
    options: StackOptions,
    groups: Groups,
    /// By number, as the kernel took them.
    taken: HashMap<u64, Frames>,
    /// By number and by what the process has mapped, with names.
    named: HashMap<(u64, Option<usize>), (Taken, Vec<u32>)>,
    frames: HashMap<Frame, u32>,
    symbols: Symbols,
    seen: Vec<Seen>,
    lost: Lost,
    began_ns: u64,
}

impl Gathering {
    /// Begins, at that time, with what is known of these processes, which are watched already.
    #[must_use]
    pub fn begin(
        options: StackOptions,
        groups: Groups,
        processes: impl Iterator<Item = u32>,
        began_ns: u64,
    ) -> Self {
        let mut symbols = Symbols::new();
        symbols.prepare(processes);
        Self {
            options,
            groups,
            taken: HashMap::new(),
            named: HashMap::new(),
            frames: HashMap::new(),
            symbols,
            seen: Vec::new(),
            lost: Lost::default(),
            began_ns,
        }
    }

    /// Takes in what was seen since the last time. Soon: processes end.
    pub fn take(&mut self, taken: TakenStacks) {
        self.symbols.look_again();
        for (number, frames) in taken.stacks {
            if self.taken.len() < STACKS_MAX {
                self.taken.insert(number, frames);
            }
        }
        self.lost = lost(&taken.losses);
        for count in taken.counts {
            let seen = self.named(&count);
            self.seen.push(seen);
        }
        let seen = std::mem::take(&mut self.seen).into_iter();
        self.seen = sums(seen);
    }

    /// All that was taken in and not returned yet.
    pub fn chunk(&mut self, until_ns: u64) -> Stacks {
        let mut frames: Vec<_> = self.frames.iter().collect();
        frames.sort_unstable_by_key(|(_, number)| **number);
        let mut used: HashMap<u32, u32> = HashMap::new();
        let mut numbered = Vec::new();
        let mut seen = std::mem::take(&mut self.seen);
        for number in seen.iter_mut().flat_map(|seen| &mut seen.stack) {
            *number = *used.entry(*number).or_insert_with(|| {
                numbered.push(frames[*number as usize].0.clone());
                numbered.len() as u32 - 1
            });
        }
        Stacks {
            began_ns: self.began_ns,
            ended_ns: until_ns,
            period_ns: self.options.period_ns(),
            budget_hz: self.options.budget_hz,
            frames: numbered,
            seen,
            lost: self.lost,
            books: None,
            kernel_named: self.symbols.kernel_named(),
        }
    }

    fn named(&mut self, count: &StackCount) -> Seen {
        let (target, role) = self
            .groups
            .get(count.group as usize)
            .copied()
            .unwrap_or_default();
        let (taken, stack) = self.stack(count);
        Seen {
            target,
            role: role.to_owned(),
            of: match count.of {
                StackOf::OnCpu => SeenAt::OnCpu,
                StackOf::Preempted => SeenAt::Preempted,
                StackOf::Slept(reason) => {
                    SeenAt::Slept(REASONS.get(reason).copied().unwrap_or("other").to_owned())
                }
            },
            taken,
            stack,
            times: count.times,
            asleep_ns: count.asleep_ns,
            waiting_ns: count.waiting_ns,
        }
    }

    fn stack(&mut self, count: &StackCount) -> (Taken, Vec<u32>) {
        let number = match count.stack {
            StackId::Taken(number) => number,
            StackId::Lost => return (Taken::Lost, Vec::new()),
            StackId::Unreadable => return (Taken::Unreadable, Vec::new()),
            StackId::OverBudget => return (Taken::OverBudget, Vec::new()),
            StackId::Before => return (Taken::Before, Vec::new()),
            StackId::New => return (Taken::New, Vec::new()),
        };
        let Some(addresses) = self.taken.get(&number) else {
            return (Taken::Lost, Vec::new());
        };
        let mapped = self.symbols.mapped(count.tgid, count.image, addresses);
        let key = (number, mapped);
        if let Some(known) = self.named.get(&key) {
            return known.clone();
        }
        let left = count.of != StackOf::OnCpu;
        let (taken, frames) = self
            .symbols
            .stack(mapped, addresses, left, count.image == 0);
        let numbered = frames
            .into_iter()
            .map(|frame| {
                let next = self.frames.len() as u32;
                *self.frames.entry(frame).or_insert(next)
            })
            .collect();
        self.named.insert(key, (taken, numbered));
        self.named[&key].clone()
    }
}

fn lost(losses: &StackLosses) -> Lost {
    Lost {
        stacks: losses.stacks,
        samples: losses.samples,
        sleeps: losses.sleeps,
        sleeps_ns: losses.sleeps_ns,
        tasks: losses.tasks,
        order: losses.order,
    }
}
