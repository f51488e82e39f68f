//! Page faults: counts against the kernel's own, classes against workloads of known size.

#[path = "support/pages.rs"]
mod pages;
#[path = "support/workload.rs"]
mod workload;

use pages::*;
use probe_ebpf::{
    Options, Watch,
    fault_sample::{CLASS_NAMES, FaultClass},
    sample::Sample,
};
use workload::*;

/// Pages of each workload.
const PAGES: u32 = 12_800;

fn pages() -> usize {
    sized(PAGES) as usize
}

/// How far a count may be off: the tasks have a few faults of their own, and of a fault during which the
/// task lost its CPU it is not told whether a page was copied. By perf's events, those said to be unknown too.
fn slack() -> u64 {
    pages() as u64 / 100 + 32
}

const RETURNED: &str = "fexit/handle_mm_fault";
const MEMCG_EVENT: &str = "tp_btf/count_memcg_events";
const PERF_EVENTS: &str = "page-faults-min";
/// Each leads to the next best method.
const BEST: &[&str] = &[];
const WITHOUT_RETURN: &[&str] = &[RETURNED];
const BY_PERF_EVENTS: &[&str] = &[RETURNED, MEMCG_EVENT];

fn options(without: &'static [&'static str]) -> Options {
    Options {
        fault_share: 1.0,
        without,
        only: only(&["faults"]),
        ..Options::NO_WINDOWS
    }
}

/// Makes two tests, by the best method and by that which works everywhere: an emulated machine takes
/// long for one.
macro_rules! by_both_methods {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn by_the_best_method() {
                super::$name(&options(BEST));
            }

            #[test]
            fn by_perf_events() {
                super::$name(&options(BY_PERF_EVENTS));
            }
        })*
    };
}
by_both_methods! {
    nothing_is_copied_before_a_fork
    a_child_copies_what_it_writes_and_its_parent_then_reuses_it
    pages_copied_in_a_system_call_are_faults_in_kernel_mode
    mappings_of_files_and_shared_ones_are_not_copies_of_the_parent
    huge_pages_are_split_once_each
    faults_that_are_not_handled_are_counted_as_unfinished
}

fn method(watch: &Watch) -> &'static str {
    let measures = watch.measures();
    let measure = measures.iter().find(|m| m.name == "fault_classes");
    measure.expect("measured").method
}

/// By name: where a hook is missing or refused, the next best takes over.
#[test]
fn the_best_method_is_used_and_named() {
    let [best, next, perf] = [BEST, WITHOUT_RETURN, BY_PERF_EVENTS]
        .map(|without| method(&watch_with(std::process::id(), &options(without))));
    println!("{best}\nwithout fexit: {next}");
    assert!(perf.contains(PERF_EVENTS), "{perf}");
    assert!(!next.contains(RETURNED), "{next}");
    if emulated() {
        // Debian's kernels allow fexit.
        assert!(best.contains(RETURNED), "{best}");
    }
}

/// Watches with a window without end.
fn watch_all(pid: u32, options: &Options) -> Watch {
    let watch = watch_with(pid, options);
    println!("measured by: {}", method(&watch));
    for unavailable in watch.unavailable() {
        assert_ne!(unavailable.measure, "fault_classes", "{unavailable:?}");
    }
    watch
}

fn class<'a>(sample: &'a Sample, group: usize, name: &str) -> &'a FaultClass {
    let number = CLASS_NAMES.iter().position(|known| *known == name);
    &sample.groups[group].faults.classes[number.expect("a class")]
}

fn count(sample: &Sample, group: usize, name: &str) -> u64 {
    let class = class(sample, group, name);
    assert_eq!(class.user + class.kernel, class.latency.count(), "{name}");
    class.user + class.kernel
}

#[track_caller]
fn assert_count(sample: &Sample, group: usize, name: &str, expected: usize) {
    let seen = count(sample, group, name);
    let mean = class(sample, group, name).latency.sum / seen.max(1);
    println!("group {group}: {seen} {name} of {expected}, {mean} ns each");
    if seen.abs_diff(expected as u64) > slack() + unknown(sample) {
        let all = CLASS_NAMES.map(|name| (name, count(sample, group, name)));
        panic!("{seen} {name} in group {group}, not {expected}: {all:?}");
    }
}

/// All classes together, of all groups.
fn in_classes(sample: &Sample) -> u64 {
    (0..sample.groups.len())
        .flat_map(|group| CLASS_NAMES.map(|name| count(sample, group, name)))
        .sum()
}

/// What windows showed is what the kernel counted. Not shown are the pages that the kernel touches
/// without an exception, as it does for a few of fork and exit.
fn assert_sum(before: &Sample, after: &Sample) {
    let counted = |sample| sum(sample).minor_faults + sum(sample).major_faults;
    let (counted, seen) = (
        counted(after) - counted(before),
        in_classes(after) - in_classes(before),
    );
    println!("{seen} faults in classes, {counted} counted by the kernel");
    assert!(
        seen.abs_diff(counted) <= slack(),
        "{seen} faults in classes, {counted} counted by the kernel"
    );
}

fn sampled(options: &Options, mut workload: Workload) -> (Sample, Sample) {
    let mut watch = watch_all(workload.pid, options);
    let before = watch.read().expect("read");
    workload.run();
    let after = watch.read().expect("read");
    assert_eq!(lost(&after), 0, "{:?}", after.losses);
    // Perf's events come with interrupts off. The kernel then gives the address space back by an interrupt of
    // its own, and a fault that comes before that one cannot look its mapping up, as is said of it.
    let allowed = match options.without {
        BY_PERF_EVENTS => pages() as u64 / 10,
        _ => 0,
    };
    assert!(unknown(&after) <= allowed, "{:?}", after.losses);
    (before, after)
}

/// Faults that were said to have been missed, or not to be known.
fn unknown(sample: &Sample) -> u64 {
    let of_faults = sample.losses.iter().filter(|loss| loss.probe == "faults");
    of_faults.map(|loss| loss.count).sum()
}

/// Pages that a process has for itself are written without a fault.
fn nothing_is_copied_before_a_fork(options: &Options) {
    let (_, sample) = sampled(
        options,
        Workload::new(|| {
            let start = map(pages(), PRIVATE, -1) as usize;
            write_each(start as *mut u8, pages());
            move || write_each(start as *mut u8, pages())
        }),
    );
    assert_count(&sample, MAIN, "cow_copy", 0);
    assert_count(&sample, MAIN, "cow_reuse", 0);
    assert_count(&sample, MAIN, "zero_fill", 0);
}

fn a_child_copies_what_it_writes_and_its_parent_then_reuses_it(options: &Options) {
    let (before, sample) = sampled(
        options,
        Workload::new(|| {
            let start = map(pages(), PRIVATE, -1) as usize;
            move || {
                write_each(start as *mut u8, pages());
                in_child(|| write_each(start as *mut u8, pages()));
                write_each(start as *mut u8, pages());
            }
        }),
    );
    assert_count(&sample, MAIN, "zero_fill", pages());
    assert_count(&sample, MAIN, "cow_copy", 0);
    assert_count(&sample, MAIN, "cow_reuse", pages());
    assert_count(&sample, CHILD, "cow_copy", pages());
    assert_count(&sample, CHILD, "cow_reuse", 0);
    let copies = class(&sample, CHILD, "cow_copy");
    assert!(copies.kernel <= 32, "{} in kernel mode", copies.kernel);
    assert_sum(&before, &sample);
}

/// The first touch of a page by the child is the kernel's, which fills it for `read(2)`; so is its parent's then.
fn pages_copied_in_a_system_call_are_faults_in_kernel_mode(options: &Options) {
    let (before, sample) = sampled(
        options,
        Workload::new(|| {
            let start = map(pages(), PRIVATE, -1) as usize;
            write_each(start as *mut u8, pages());
            let file = file(pages());
            let fill = move || {
                use std::os::fd::AsRawFd;
                let bytes = pages() * 4096;
                // SAFETY: the mapping has so many bytes.
                let read =
                    unsafe { libc::pread(file.as_raw_fd(), start as *mut libc::c_void, bytes, 0) };
                assert_eq!(read, bytes as isize);
            };
            move || {
                in_child(&fill);
                fill();
            }
        }),
    );
    assert_count(&sample, CHILD, "cow_copy", pages());
    assert_count(&sample, MAIN, "cow_reuse", pages());
    for (group, name) in [(CHILD, "cow_copy"), (MAIN, "cow_reuse")] {
        let in_user_mode = class(&sample, group, name).user;
        assert!(
            in_user_mode <= slack(),
            "{in_user_mode} {name} in user mode"
        );
    }
    assert_sum(&before, &sample);
}

fn mappings_of_files_and_shared_ones_are_not_copies_of_the_parent(options: &Options) {
    let (before, sample) = sampled(
        options,
        Workload::new(|| {
            use std::os::fd::AsRawFd;
            let file = file(pages());
            let shared = map(pages(), SHARED, -1) as usize;
            write_each(shared as *mut u8, pages());
            let private = map(pages(), libc::MAP_PRIVATE, file.as_raw_fd()) as usize;
            move || {
                in_child(|| {
                    write_each(shared as *mut u8, pages());
                    read_each(private as *mut u8, pages());
                    write_each(private as *mut u8, pages());
                });
                drop(file);
            }
        }),
    );
    assert_count(&sample, CHILD, "cow_copy", 0);
    assert_count(&sample, CHILD, "cow_reuse", 0);
    assert_count(&sample, CHILD, "file_write", pages());
    // The kernel maps up to 16 pages of a file at once.
    let mapped = count(&sample, CHILD, "file") + count(&sample, CHILD, "shared");
    assert!(
        mapped >= pages() as u64 / 16,
        "{mapped} faults mapped pages"
    );
    assert_sum(&before, &sample);
}

/// A huge page is split at its first copy, and then copied in small pages.
fn huge_pages_are_split_once_each(options: &Options) {
    const COUNT: usize = 8;
    if has_no_huge_pages() {
        return;
    }
    let (before, sample) = sampled(
        options,
        Workload::new(|| {
            let start = map_huge(COUNT) as usize;
            move || {
                write_each(start as *mut u8, COUNT * HUGE / 4096);
                in_child(|| write_each(start as *mut u8, COUNT * HUGE / 4096));
            }
        }),
    );
    let made = count(&sample, MAIN, "zero_fill_huge");
    let splits = sample.groups[CHILD].faults.huge_splits;
    println!("{made} huge pages made, {splits} split");
    assert!(made > 0, "no memory for one of {COUNT} huge pages");
    assert!(
        splits.abs_diff(made) <= 1,
        "{splits} splits of {made} huge pages"
    );
    assert_count(&sample, CHILD, "cow_copy", COUNT * HUGE / 4096);
    assert_sum(&before, &sample);
}

/// An access to nowhere ends in no class, and leaves nothing behind.
fn faults_that_are_not_handled_are_counted_as_unfinished(options: &Options) {
    const CALLS: u64 = 1_000;
    let (before, sample) = sampled(
        options,
        Workload::new(|| {
            || {
                let (_from, to) = std::io::pipe().expect("pipe");
                use std::os::fd::AsRawFd;
                for _ in 0..CALLS {
                    // SAFETY: the kernel finds nothing at this address and says so.
                    let written =
                        unsafe { libc::write(to.as_raw_fd(), 8 as *const libc::c_void, 1) };
                    assert_eq!(written, -1);
                }
            }
        }),
    );
    let begun = sample.groups[MAIN].faults.begun - before.groups[MAIN].faults.begun;
    let ended = in_classes(&sample) - in_classes(&before);
    println!("{begun} begun, {ended} ended");
    // Some kernels try a second time, byte by byte.
    assert!(
        (CALLS..2 * CALLS + 32).contains(&(begun - ended)),
        "{begun} begun, {ended} ended"
    );
    assert_sum(&before, &sample);
}

/// `/proc/PID/stat`: minor and major faults, of the task and of its children that have ended.
fn stat(pid: u32) -> [u64; 4] {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .expect("a name")
        .split_whitespace()
        .collect();
    // The first here is the third of proc(5).
    [10, 12, 11, 13].map(|field: usize| fields[field - 3].parse().expect("a number"))
}

#[test]
fn counts_are_the_kernels_own() {
    let mut workload = Workload::new(|| {
        || {
            for _ in 0..20 {
                in_child(|| {
                    let start = map(500, PRIVATE, -1);
                    write_each(start, 500);
                });
            }
            let start = map(pages(), PRIVATE, -1);
            write_each(start, pages());
        }
    });
    let mut watch = watch_books(workload.pid);
    let before = stat(workload.pid);
    workload.run();
    let (sample, _) = at_rest(workload.pid, &mut watch);
    let after = stat(workload.pid);
    let own = tasks(&sample)
        .find(|task| task.tid == workload.pid)
        .expect("the main thread")
        .totals;
    let ended = sample.groups[CHILD].ended;
    assert!(own.minor_faults >= pages() as u64, "{own:?}");
    assert!(ended.minor_faults >= 20 * 500, "{ended:?}");
    let seen = [
        own.minor_faults,
        own.major_faults,
        ended.minor_faults,
        ended.major_faults,
    ];
    let grown: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(seen.to_vec(), grown);
}
