//! Sampling of own memory and signals.

use connscope::{
    interrupt::Interrupt,
    own::OwnSampler,
    snapshot::{Memory, Role, Snapshot, Task},
};
use std::time::{Duration, Instant};

const ALL_THE_TIME: Duration = Duration::from_secs(60);

/// A snapshot of so many processes that there are none of, which takes a microsecond or more for each.
fn snapshot_of_nobody(processes: u32) -> Snapshot {
    const NO_PID: u32 = 1 << 23; // more than the kernel gives out
    let task = |number: u32| Task {
        pid: NO_PID + number,
        tid: NO_PID + number,
        memory: Some(Memory::default()),
        ..Task::default()
    };
    let role = Role {
        tasks: (0..processes).map(task).collect(),
        ..Role::default()
    };
    Snapshot {
        roles: vec![role],
        ..Snapshot::default()
    }
}

#[test]
fn a_signal_ends_the_sampling() {
    const PROCESSES: u32 = 1_000_000; // more than any host looks at in the moment that is left
    let interrupt = Interrupt::install().expect("handlers");
    let (sampler, snapshot) = (OwnSampler::load(), snapshot_of_nobody(PROCESSES));
    let sample = |snapshot: &Snapshot| {
        let own = sampler.sample(snapshot, ALL_THE_TIME, &interrupt);
        let own = own.expect("samples");
        let ended = Instant::now();
        (own.roles[0].gone, own.roles[0].out_of_budget, ended)
    };
    let signalled = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(500));
        // SAFETY: a signal that is handled, to this process.
        unsafe { libc::kill(std::process::id() as i32, libc::SIGTERM) };
        Instant::now()
    });
    let (gone, left, ended) = sample(&snapshot);
    let late = ended.saturating_duration_since(signalled.join().expect("sent"));
    eprintln!("{gone} looked at, {left} left out, {late:?} after the signal");
    assert_eq!(gone + left, u64::from(PROCESSES));
    assert!(left > 0, "there was more to do");
    assert!(late < Duration::from_millis(1_500), "{late:?}");
    // What was asked to end before gets a moment still.
    let (gone, left, _) = sample(&snapshot_of_nobody(100));
    assert_eq!((gone, left), (100, 0));
    let begun = Instant::now();
    let (gone, left, ended) = sample(&snapshot);
    let took = ended - begun;
    assert!(gone > 0 && left > 0, "{gone} looked at, {left} left out");
    assert!(took < Duration::from_secs(4), "{took:?} with the sorting");
}
