//! Tasks that come and go: every creation and every exit counted, to the last switch.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::sample::Creation;
use std::{ffi::CString, path::Path, time::Duration};
use workload::*;

fn children() -> u64 {
    sized(5_000).into()
}
const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x10000;

/// Forks children that exit at once, and reaps them only when each has made its last switch: then
/// the kernel's account of waited-for children is complete.
fn fork_and_exit(count: u64) {
    for _ in 0..count {
        // SAFETY: the child does nothing but leave.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child.
            0 => unsafe { libc::_exit(0) },
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            _ => {}
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    // SAFETY: no pointers are kept.
    while unsafe { libc::wait(std::ptr::null_mut()) } > 0 {}
}

/// Writes the voluntary and involuntary switches of the children waited for, as the kernel summed
/// them: /proc has no file for it.
fn say_switches_of_children(path: &Path) {
    // SAFETY: getrusage fills the structure it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage
    };
    std::fs::write(path, (usage.ru_nvcsw + usage.ru_nivcsw).to_string()).expect("a temporary file");
}

#[test]
fn processes_that_exit_at_once() {
    let said = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut workload = Workload::new(|| {
        || {
            fork_and_exit(children());
            say_switches_of_children(said.path());
        }
    });
    let mut watch = watch_books(workload.pid);
    workload.start();
    // Snapshots under way while tasks die must neither miss one nor count one twice.
    let mut last = 0;
    for _ in 0..50 {
        let sample = watch.read().expect("read");
        let born: u64 = sample.groups[MAIN]
            .creations
            .iter()
            .map(|creation| creation.count)
            .sum();
        let group = &sample.groups[CHILD];
        let known = group.ended_tasks + group.tasks.len() as u64;
        assert!(known <= born, "{known} children known, {born} created");
        assert!(known >= last, "{known} children known, {last} before");
        last = known;
        std::thread::sleep(Duration::from_millis(10));
    }
    workload.finish();
    let sample = watch.read().expect("read");
    let child = &sample.groups[CHILD];
    assert_eq!(child.ended_tasks, children());
    assert_eq!(child.tasks.len(), 0);
    let by_kernel: u64 = std::fs::read_to_string(said.path())
        .expect("said")
        .parse()
        .expect("a number");
    assert_eq!(child.ended.voluntary + child.ended.involuntary, by_kernel);
    let creations = &sample.groups[MAIN].creations;
    assert_eq!(
        creations.iter().map(|creation| creation.count).sum::<u64>(),
        children()
    );
    assert!(
        creations
            .iter()
            .all(|creation| creation.clone_flags & CLONE_VM == 0),
        "{creations:?}"
    );
    assert_eq!(child.first_run.count(), children());
    assert!(
        child.first_run.max < 2_000_000_000,
        "{} ns to the first run",
        child.first_run.max
    );
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

#[test]
fn threads_that_exit_at_once() {
    let mut workload = Workload::new(|| {
        || (0..children()).for_each(|_| std::thread::spawn(|| {}).join().expect("a thread"))
    });
    let mut watch = watch_books(workload.pid);
    workload.run();
    let sample = watch.read().expect("read");
    let thread = &sample.groups[THREAD];
    assert_eq!((thread.ended_tasks, thread.tasks.len()), (children(), 0));
    let creations = &sample.groups[MAIN].creations;
    let threads = |creation: &&Creation| creation.clone_flags & CLONE_THREAD != 0;
    assert_eq!(
        creations
            .iter()
            .filter(threads)
            .map(|creation| creation.count)
            .sum::<u64>(),
        children()
    );
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}

/// Opens FIFOs, which io_uring must hand to workers: each blocks until the other end is opened.
fn open_by_workers(fifos: &[CString]) {
    let mut ring = io_uring::IoUring::new(64).expect("io_uring");
    for fifo in fifos {
        let at = io_uring::types::Fd(libc::AT_FDCWD);
        let open = io_uring::opcode::OpenAt::new(at, fifo.as_ptr())
            .flags(libc::O_RDONLY)
            .build();
        // SAFETY: the path outlives the ring's work, which ends below.
        unsafe {
            ring.submission()
                .push(&open.flags(io_uring::squeue::Flags::ASYNC))
                .expect("room in the queue")
        };
    }
    ring.submit().expect("submit");
    std::thread::sleep(Duration::from_millis(500));
    for fifo in fifos {
        let path = fifo.to_str().expect("a path");
        drop(
            std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .expect("a FIFO"),
        );
    }
    ring.submit_and_wait(fifos.len()).expect("completions");
}

#[test]
fn io_uring_workers() {
    const WORKERS: u64 = 6;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fifo = |number| {
        let path = folder
            .path()
            .join(format!("{number}"))
            .into_os_string()
            .into_string()
            .expect("a path");
        let path = CString::new(path).expect("a path");
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        path
    };
    let fifos: Vec<CString> = (0..WORKERS).map(fifo).collect();
    let mut workload = Workload::new(|| || open_by_workers(&fifos));
    let mut watch = watch_books(workload.pid);
    workload.start();
    std::thread::sleep(Duration::from_millis(200));
    let while_blocked = watch.read().expect("read");
    let tids = std::fs::read_dir(format!("/proc/{}/task", workload.pid))
        .expect("proc")
        .count();
    assert_eq!(
        tasks(&while_blocked).count(),
        tids,
        "every worker is watched"
    );
    workload.finish();
    let sample = watch.read().expect("read");
    let workers: u64 = sample
        .groups
        .iter()
        .flat_map(|group| &group.creations)
        .filter(|creation| creation.io_worker)
        .map(|creation| creation.count)
        .sum();
    assert!(workers >= WORKERS, "{workers} workers created");
    let known: u64 = sample
        .groups
        .iter()
        .map(|group| group.ended_tasks + group.tasks.len() as u64)
        .sum();
    assert_eq!(
        known,
        workers + 1,
        "every worker, ended or not, and the main thread"
    );
    assert_eq!(lost(&sample), 0, "{:?}", sample.losses);
}
