//! A token that processes pass on, on one CPU.

use super::workload::pin;
use std::io::{Read, Write};

/// Nobody else comes between on this CPU, as long as it does not take long.
pub(crate) fn alone_on(cpu: usize) {
    pin(cpu);
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the parameter only.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Passes a token round so many processes on one CPU.
pub(crate) fn ring(processes: usize, rounds: u32) -> impl FnOnce() {
    alone_on(0);
    let mut pipes: Vec<_> = (0..processes)
        .map(|_| std::io::pipe().expect("pipe"))
        .map(|(reader, writer)| (Some(reader), Some(writer)))
        .collect();
    let mut last = None;
    for number in 0..processes {
        let mut from = pipes[number].0.take().expect("once");
        let mut to = pipes[(number + 1) % processes].1.take().expect("once");
        if number == 0 {
            last = Some((from, to));
            continue;
        }
        // SAFETY: the child passes the token alone.
        if unsafe { libc::fork() } == 0 {
            drop((last, pipes));
            let mut token = [0];
            while from.read(&mut token).unwrap_or(0) == 1 {
                let _ = to.write_all(&token);
            }
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
    }
    let (mut from, mut to) = last.expect("a ring");
    move || {
        let mut token = [1];
        for _ in 0..rounds {
            to.write_all(&token).expect("the ring is there");
            from.read_exact(&mut token).expect("the ring is there");
        }
        std::mem::forget((from, to));
    }
}
