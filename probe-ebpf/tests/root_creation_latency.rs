//! Latency of the calls that create tasks, against what the callers themselves timed.

#[path = "support/creation.rs"]
mod creation;
#[path = "support/workload.rs"]
mod workload;

use creation::*;
use probe_ebpf::{
    Watch,
    sample::{CallKind, Calls, Sample},
};
use std::{
    collections::HashSet, ffi::CString, os::unix::fs::PermissionsExt, process::Command,
    sync::atomic::Ordering::Relaxed, time::Duration,
};
use workload::*;

/// Runs the workload under watch.
fn watched(workload: &mut Workload) -> (Watch, Sample) {
    let mut watch = watch_for(workload.pid, &["creation_latency"]);
    assert_eq!(
        watch
            .unavailable()
            .iter()
            .find(|u| u.measure == "creation_latency"),
        None
    );
    workload.run();
    let sample = watch.read().expect("read");
    (watch, sample)
}

fn mean_ns(calls: &Calls) -> f64 {
    calls.latency.sum as f64 / calls.latency.count() as f64
}

/// Fails unless what was measured, and what the probes add outside of it, is what the caller saw.
#[track_caller]
fn assert_as_timed(what: &str, calls: &Calls, told: &Told) {
    assert_eq!(calls.latency.count(), told.calls.load(Relaxed), "{what}");
    assert_eq!(calls.failed, told.failed.load(Relaxed), "{what}");
    if emulated() {
        return; // whose time is not the time of the CPU
    }
    let outside = (calls.instrument.whole_ns - calls.instrument.within_ns) as f64;
    eprintln!(
        "{what}: {:.1} us measured, {:.1} us as the caller timed it, probes {:?}",
        mean_ns(calls) / 1e3,
        told.mean_ns() / 1e3,
        calls.instrument
    );
    assert_near(what, mean_ns(calls), told.mean_ns() - outside, 0.05);
}

#[test]
fn forks_take_as_long_as_their_caller_sees() {
    let mut nanoseconds = Vec::new();
    // An emulated machine takes long to fill the largest, and its time is not judged.
    let sizes = if emulated() { 2 } else { 3 };
    for (megabytes, forks) in [(10, 200), (50, 100), (500, 30)].into_iter().take(sizes) {
        let told = Told::new();
        let mut workload = Workload::new(|| {
            touch(megabytes * 1_000_000 / PAGE);
            move || (0..sized(forks)).for_each(|_| fork_and_wait(told))
        });
        let (_watch, sample) = watched(&mut workload);
        let forks = calls(&sample, MAIN, CallKind::Fork);
        assert_as_timed(&format!("forks of {megabytes} MB"), forks, told);
        let mean = |sum: u64| sum as f64 / forks.latency.count() as f64;
        let resident = mean(forks.resident_pages) * PAGE as f64;
        assert_near(
            "resident",
            resident,
            status_bytes(workload.pid, "VmRSS:"),
            0.02,
        );
        let tables = mean(forks.page_table_bytes);
        assert_near("tables", tables, status_bytes(workload.pid, "VmPTE:"), 0.02);
        // Each call found the same pages, so the sums over squares and products are known.
        let (count, pages) = (forks.latency.count() as f64, mean(forks.resident_pages));
        assert_near(
            "squares",
            forks.pages_squared as f64,
            count * pages * pages,
            0.01,
        );
        let products = pages * forks.latency.sum as f64;
        assert_near("products", forks.pages_times_ns as f64, products, 0.01);
        assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
        nanoseconds.push(mean_ns(forks));
    }
    assert!(nanoseconds.is_sorted(), "{nanoseconds:?}");
}

/// A call takes so little that each time the caller loses its CPU beside it tells in a mean: the
/// median of many means.
#[test]
fn threads_take_as_long_as_their_caller_sees() {
    const BATCHES: u64 = 41;
    let told = Told::new();
    let mut workload = Workload::new(|| {
        move || {
            told.in_batches(BATCHES, || {
                (0..sized(100)).for_each(|_| thread_and_join(told))
            })
        }
    });
    let mut watch = watch_for(workload.pid, &["creation_latency"]);
    workload.start();
    let (mut measured, mut timed) = (Vec::new(), Vec::new());
    let (mut before, mut told_before) = (0, 0);
    for batch in 1..=BATCHES {
        told.next_batch();
        let sample = watch.read().expect("read");
        let threads = calls(&sample, MAIN, CallKind::Thread);
        assert_eq!(threads.latency.count(), batch * u64::from(sized(100)));
        let of_batch = |sum: u64| sum as f64 / f64::from(sized(100));
        let outside = threads.instrument.whole_ns - threads.instrument.within_ns;
        let told_now = told.ns.load(Relaxed);
        measured.push(of_batch(threads.latency.sum - before));
        timed.push(of_batch(told_now - told_before) - outside as f64);
        (before, told_before) = (threads.latency.sum, told_now);
    }
    workload.finish();
    let sample = watch.read().expect("read");
    let clones = calls(&sample, MAIN, CallKind::Clone).latency.count();
    assert_eq!(clones, 0, "calls within calls");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
    if !emulated() {
        let (measured, timed) = (median(measured), median(timed));
        eprintln!("threads: {measured:.0} ns measured, {timed:.0} ns as timed, less the probes");
        // The probes cost more beside a real call than on an empty function, where their share was taken.
        assert_near("threads", measured, timed, 0.1);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The parent goes on when its child has ended: whatever that takes is part of the call.
#[test]
fn vforks_take_as_long_as_their_caller_sees() {
    let told = Told::new();
    let sleep = Duration::from_micros(500);
    let mut workload =
        Workload::new(|| move || (0..sized(500)).for_each(|_| vfork_and_wait(Some(sleep), told)));
    let (_watch, sample) = watched(&mut workload);
    let vforks = calls(&sample, MAIN, CallKind::Spawn);
    assert_as_timed("vforks", vforks, told);
    assert!(mean_ns(vforks) > sleep.as_nanos() as f64, "{vforks:?}");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn clones_take_as_long_as_their_caller_sees() {
    let told = Told::new();
    let mut workload = Workload::new(|| {
        touch(20_000_000 / PAGE);
        move || (0..sized(200)).for_each(|_| clone_and_wait(told))
    });
    let (_watch, sample) = watched(&mut workload);
    assert_as_timed("clones", calls(&sample, MAIN, CallKind::Clone), told);
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

/// With the child on the stack of its parent, a return probe could lose the way back.
#[test]
fn no_fork_or_vfork_of_a_watched_process_fails() {
    let (forks, vforks) = (Told::new(), Told::new());
    let mut workload = Workload::new(|| {
        move || {
            for _ in 0..sized(10_000) {
                fork_and_wait(forks);
                vfork_and_wait(None, vforks);
            }
        }
    });
    let (_watch, sample) = watched(&mut workload);
    for (kind, told) in [(CallKind::Fork, forks), (CallKind::Spawn, vforks)] {
        let calls = calls(&sample, MAIN, kind);
        assert_eq!(
            told.calls.load(Relaxed),
            u64::from(sized(10_000)),
            "{kind:?}"
        );
        assert_eq!(told.failed.load(Relaxed), 0, "{kind:?}");
        assert_eq!(calls.latency.count(), u64::from(sized(10_000)), "{kind:?}");
    }
    let of_children = sample.groups[CHILD].calls.as_ref().expect("probed");
    let by_children: u64 = of_children.iter().map(|calls| calls.latency.count()).sum();
    assert_eq!(by_children, 0, "a child's return is no call");
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn posix_spawn_is_timed_until_the_child_runs_its_program() {
    let told = Told::new();
    let mut workload = Workload::new(|| {
        move || {
            (0..sized(2_000)).for_each(|_| spawn_and_wait(c"/bin/true", told));
            (0..10).for_each(|_| spawn_and_wait(c"/no/such/program", told));
        }
    });
    let (_watch, sample) = watched(&mut workload);
    assert_eq!(told.failed.load(Relaxed), 10);
    assert_as_timed("posix_spawn", calls(&sample, MAIN, CallKind::Spawn), told);
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

/// The parent of a vfork waits for its child; killed meanwhile, its call never returns.
#[test]
#[allow(deprecated)]
fn a_process_that_ends_within_a_call_is_counted_as_lost() {
    let mut workload = Workload::new(|| {
        || {
            // SAFETY: the child calls nothing but pause, on this stack, until it is killed.
            if unsafe { libc::vfork() } == 0 {
                // SAFETY: system calls without pointers; then this process ends.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::pause();
                    libc::_exit(0)
                }
            }
        }
    });
    let mut watch = watch_for(workload.pid, &["creation_latency"]);
    workload.start();
    settle();
    settle();
    let during = watch.read().expect("read");
    assert_eq!(
        lost(&during),
        0,
        "the call may yet return: {:?}",
        during.losses
    );
    drop(workload);
    settle();
    for _ in 0..2 {
        let after = watch.read().expect("read");
        assert_eq!(calls(&after, MAIN, CallKind::Spawn).latency.count(), 0);
        let of_calls = after
            .losses
            .iter()
            .filter(|loss| loss.probe == "creation_latency");
        let unreturned: u64 = of_calls.map(|loss| loss.count).sum();
        assert_eq!((unreturned, lost(&after)), (1, 1), "{:?}", after.losses);
    }
}

#[test]
fn calls_that_go_round_the_c_library_are_no_samples() {
    let mut workload = Workload::new(|| {
        || {
            for _ in 0..100 {
                // SAFETY: as fork, whose child ends at once.
                let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
                if pid == 0 {
                    // SAFETY: ends this process.
                    unsafe { libc::_exit(0) };
                }
                wait(pid as i32);
            }
        }
    });
    let (_watch, sample) = watched(&mut workload);
    let created: u64 = sample.groups[MAIN].creations.iter().map(|c| c.count).sum();
    assert_eq!(created, 100);
    for kind in CallKind::ALL {
        assert_eq!(calls(&sample, MAIN, kind).latency.count(), 0, "{kind:?}");
    }
}

#[test]
fn a_program_without_a_c_library_says_why_and_runs_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny");
    std::fs::write(&path, tiny_program()).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
    let mut tiny = Command::new(&path).spawn().expect("it runs");
    settle();
    let mut watch = watch_for(tiny.id(), &["creation_latency"]);
    let why = watch
        .unavailable()
        .iter()
        .find(|u| u.measure == "creation_latency");
    let reason = why.expect("a reason").reason.clone();
    assert!(
        reason.contains(&format!("pid {}", tiny.id())) && reason.contains("tiny"),
        "{reason}"
    );
    let sample = watch.read().expect("read");
    assert!(sample.groups.iter().all(|group| group.calls.is_none()));
    assert_eq!(tiny.try_wait().expect("a child"), None, "it runs");
    tiny.kill().and_then(|()| tiny.wait()).expect("it ends");
}

/// What the watched process then runs has its own C library, or none.
#[test]
fn a_child_that_executes_another_program_runs_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny");
    std::fs::write(&path, tiny_program()).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
    let program = CString::new(path.to_str().expect("a path")).expect("a path");
    let mut workload = Workload::new(|| {
        move || {
            // SAFETY: the child runs another program, or ends.
            if unsafe { libc::fork() } == 0 {
                // SAFETY: strings that end with a null, in a list that ends with a null.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::execl(
                        program.as_ptr(),
                        program.as_ptr(),
                        std::ptr::null::<libc::c_char>(),
                    );
                    libc::_exit(1)
                }
            }
        }
    });
    let (_watch, sample) = watched(&mut workload);
    assert_eq!(calls(&sample, MAIN, CallKind::Fork).latency.count(), 1);
    let child = sample.groups[CHILD].tasks.first().expect("the child lives");
    assert_eq!(&*child.comm, "tiny");
}

#[test]
fn nothing_of_ours_is_left() {
    let ids = || -> HashSet<u32> {
        let programs = aya::programs::loaded_programs().flatten();
        let ours = programs.filter(|p| matches!(p.name_as_str(), Some("on_call" | "on_return")));
        ours.map(|program| program.id()).collect()
    };
    let before = ids();
    let told = Told::new();
    let mut workload = Workload::new(|| move || (0..10).for_each(|_| fork_and_wait(told)));
    let (watch, _) = watched(&mut workload);
    let ours: HashSet<u32> = ids().difference(&before).copied().collect();
    assert!(ours.len() >= 2, "{ours:?}");
    drop(watch);
    settle();
    assert!(ids().is_disjoint(&ours), "programs are left");
    assert_eq!(uprobe_events(), "", "uprobe events are left");
}

/// All that the kernel lists, whether somebody has mounted tracefs here or not.
fn uprobe_events() -> String {
    const SCRIPT: &str = "cd /sys && [ -e kernel/tracing/uprobe_events ] || mount -t tracefs none kernel/tracing; \
                          cat kernel/tracing/uprobe_events";
    let listed = Command::new("unshare")
        .args(["-m", "sh", "-c", SCRIPT])
        .output()
        .expect("unshare");
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}
