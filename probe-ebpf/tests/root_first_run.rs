//! How long new tasks wait for their first run, against the moments of who creates them.

#[path = "support/creation.rs"]
mod creation;
#[path = "support/workload.rs"]
mod workload;

use creation::*;
use std::time::{Duration, Instant};
use workload::*;

/// The child of a parent that nobody takes the CPU from runs when that one waits for it.
#[test]
fn a_child_runs_first_when_its_parent_lets_it() {
    const CHILDREN: u64 = 20;
    const SPIN: Duration = Duration::from_millis(5);
    let told = Told::new();
    let mut workload = Workload::new(|| {
        pin(1);
        let first = libc::sched_param { sched_priority: 1 };
        // SAFETY: a priority for this task, which its children inherit.
        let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
        assert_eq!(refused, 0, "SCHED_FIFO");
        move || {
            for _ in 0..CHILDREN {
                let begun = Instant::now();
                let pid = fork();
                let forked = Instant::now();
                while forked.elapsed() < SPIN {}
                told.add(begun, pid > 0);
                wait(pid);
            }
        }
    });
    let mut watch = watch_for(workload.pid, &[]);
    workload.run();
    let sample = watch.read().expect("read");
    let first_run = &sample.groups[CHILD].first_run;
    assert_eq!(first_run.count(), CHILDREN);
    let mean = first_run.sum as f64 / CHILDREN as f64;
    println!(
        "{mean:.0} ns to the first run, {:.0} ns from fork to wait",
        told.mean_ns()
    );
    // It is there when its parent has begun to fork, and before that has forked.
    assert!(
        (SPIN.as_nanos() as f64..told.mean_ns()).contains(&mean),
        "{mean} ns, fork to wait {} ns",
        told.mean_ns()
    );
}
