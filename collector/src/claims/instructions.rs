//! How many instructions a CPU does a second: what is left to ask where no PMU counts them.

use std::{arch::asm, time::Instant};

/// Work of so many rounds.
type Work = fn(u64);

/// Instructions of a loop in which each waits for the one before, and of one in which four at a time
/// may be done: what code of a kernel reaches lies between, and mostly near the first.
pub(super) const LOOPS: [(&str, Work); 2] = [
    ("one after another", in_turn),
    ("four at a time", side_by_side),
];

/// Times that a loop goes round, and instructions each time.
const ROUNDS: u64 = 200_000;
const EACH: u64 = 10;
/// The fastest of so many tries: the others had an interrupt.
const TRIES: usize = 9;

/// Instructions a second of a loop.
pub(super) fn per_second(work: fn(u64)) -> f64 {
    let once = || {
        let begun = Instant::now();
        work(ROUNDS);
        begun.elapsed().as_secs_f64()
    };
    let fastest = (0..TRIES).map(|_| once()).fold(f64::INFINITY, f64::min);
    (ROUNDS * EACH) as f64 / fastest
}

/// Eight additions, and two instructions that count. The sum is added to itself: CPUs fold additions of constants.
fn in_turn(rounds: u64) {
    // SAFETY: adds to registers only.
    unsafe {
        asm!(
            "2:",
            "add {sum}, 1", "add {sum}, 3", "add {sum}, 5", "add {sum}, 7",
            "add {sum}, 1", "add {sum}, 3", "add {sum}, 5", "add {sum}, 7",
            "dec {left}",
            "jnz 2b",
            sum = inout(reg) 1_u64 => _,
            left = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}

fn side_by_side(rounds: u64) {
    // SAFETY: adds to registers only.
    unsafe {
        asm!(
            "2:",
            "add {a}, 1", "add {b}, 3", "add {c}, 5", "add {d}, 7",
            "add {a}, 1", "add {b}, 3", "add {c}, 5", "add {d}, 7",
            "dec {left}",
            "jnz 2b",
            a = inout(reg) 0_u64 => _,
            b = inout(reg) 0_u64 => _,
            c = inout(reg) 0_u64 => _,
            d = inout(reg) 0_u64 => _,
            left = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}
