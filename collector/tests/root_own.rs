//! Own memory of processes, against workloads of known size and the kernel's account of them.

#[path = "../../probe-ebpf/tests/support/workload.rs"]
mod workload;

use connscope::{
    attach::cgroup::{Cgroup, Hierarchy},
    interrupt::Interrupt,
    own::OwnSampler,
    sample::Sampler,
    snapshot::{OwnMemory, OwnProcess, Snapshot},
};
use probe_ebpf::Options;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use workload::*;

const PAGE: usize = 4096;
const CHILDREN: usize = 30;
const OWN_PAGES: usize = 2_000;
const PARENTS_PAGES: usize = 6_000;
const ALL_THE_TIME: Duration = Duration::from_secs(60);

/// A new mapping of so many pages, each by itself, written.
fn touch(pages: usize, flags: libc::c_int) -> *mut libc::c_void {
    // SAFETY: a new anonymous mapping, written within its bounds.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            pages * PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        );
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        libc::madvise(start, pages * PAGE, libc::MADV_NOHUGEPAGE);
        std::ptr::write_bytes(start.cast::<u8>(), 0, pages * PAGE);
        start
    }
}

/// Children that each write so many pages and stay.
fn fork_children(children: usize, pages: usize) {
    let (mut ready, mut says) = std::io::pipe().expect("pipe");
    for _ in 0..children {
        // SAFETY: the child touches memory, says so, and waits to be killed with its parent.
        if unsafe { libc::fork() } == 0 {
            // SAFETY: of this process alone, and without pointers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            touch(pages, libc::MAP_PRIVATE);
            let _ = says.write_all(b"r");
            loop {
                // SAFETY: waits, and touches nothing.
                unsafe { libc::pause() };
            }
        }
    }
    ready
        .read_exact(&mut vec![0; children])
        .expect("children are there");
}

/// A watch over the workload alone.
struct Watched {
    sampler: Sampler,
    own: OwnSampler,
}

impl Watched {
    fn over(workload: &Workload) -> Self {
        let mut sampler =
            Sampler::load(&[&connscope::roles::OF_ANY], &Options::default()).expect("probes load");
        sampler.add(0, workload.pid).expect("the workload is there");
        Self {
            sampler,
            own: OwnSampler::load(),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        self.sampler.read().expect("read").remove(0)
    }

    fn sample(&mut self, budget: Duration) -> OwnMemory {
        let snapshot = self.snapshot();
        let own = self
            .own
            .sample(&snapshot, budget, &Interrupt::default())
            .expect("samples");
        assert_eq!(own.without_sockets, None);
        own
    }
}

fn role<'a>(own: &'a OwnMemory, name: &str) -> &'a [OwnProcess] {
    let role = own.roles.iter().find(|role| role.name == name);
    &role.expect("the role").sampled
}

fn total(own: &OwnMemory) -> f64 {
    let all = own.roles.iter().flat_map(|role| &role.sampled);
    all.map(|process| process.bytes() as f64).sum()
}

fn status_bytes(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.expect("a field of status").trim();
    let kilobytes = kilobytes.trim_end_matches(" kB").parse::<f64>();
    kilobytes.expect("a number") * 1024.0
}

/// What the children share with their parent counts by its share, what they wrote in full.
#[test]
fn own_memory_of_children_is_what_they_wrote() {
    let mut workload = Workload::new(|| {
        touch(PARENTS_PAGES, libc::MAP_PRIVATE);
        || fork_children(CHILDREN, OWN_PAGES)
    });
    let mut watched = Watched::over(&workload);
    workload.run();
    let own = watched.sample(ALL_THE_TIME);
    let children = role(&own, "child");
    assert_eq!(children.len(), CHILDREN);
    let shared = PARENTS_PAGES as f64 / (CHILDREN + 1) as f64;
    for child in children {
        let tables = status_bytes(child.pid, "VmPTE:");
        let written = (OWN_PAGES as f64 + shared) * PAGE as f64;
        let expected = written + tables + child.kernel_stack_bytes as f64;
        assert_near("own bytes", child.bytes() as f64, expected, 0.05);
        let overstated = status_bytes(child.pid, "RssAnon:");
        assert!(
            overstated > 3.0 * child.anonymous_bytes as f64,
            "{overstated}"
        );
    }
}

/// Where the kernel keeps an account of all of them together, that is the truth.
#[test]
fn own_memory_grows_as_the_cgroup_does() {
    let hierarchy = match Hierarchy::find() {
        Ok(hierarchy) => hierarchy,
        Err(reason) => return eprintln!("nothing to compare with: {reason:#}"),
    };
    let cgroup = hierarchy.create("own").expect("a cgroup");
    let processes = cgroup.processes_file();
    let mut workload = Workload::new(|| {
        std::fs::write(processes, std::process::id().to_string()).expect("it moves");
        touch(PARENTS_PAGES, libc::MAP_PRIVATE);
        || fork_children(CHILDREN, OWN_PAGES)
    });
    let mut watched = Watched::over(&workload);
    let (own_before, before) = (watched.sample(ALL_THE_TIME), settled(&cgroup));
    workload.run();
    let (own_after, after) = (watched.sample(ALL_THE_TIME), settled(&cgroup));
    let (own, account) = (total(&own_after) - total(&own_before), after - before);
    eprintln!("own memory grew by {own} bytes, the cgroup by {account}");
    drop(workload);
    assert_near("growth", own, account, 0.05);
}

fn settled(cgroup: &Cgroup) -> f64 {
    settle();
    cgroup.bytes().expect("its counter") as f64
}

#[test]
fn unread_bytes_are_in_the_memory_of_who_holds_the_socket() {
    const UNREAD: usize = 64 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("a server");
    let (held, _) = listener.accept().expect("accepted");
    let workload = Workload::new(move || move || drop(held));
    client.write_all(&[1; UNREAD]).expect("room for it");
    settle();
    let own = Watched::over(&workload).sample(ALL_THE_TIME);
    let bytes = role(&own, "main")[0].socket_bytes as usize;
    eprintln!("{bytes} bytes of sockets");
    assert!(
        (UNREAD..4 * UNREAD).contains(&bytes),
        "{bytes} for {UNREAD} unread"
    );
}

#[test]
fn what_is_not_sampled_is_counted_by_its_reason() {
    let mut workload =
        Workload::new(|| || drop(std::thread::spawn(|| std::thread::sleep(ALL_THE_TIME))));
    let mut watched = Watched::over(&workload);
    let counts = |own: &OwnMemory| {
        let main = &own.roles[0];
        assert_eq!((main.processes, main.sampled.len()), (1, 0));
        (main.threaded, main.gone, main.out_of_budget)
    };
    workload.run();
    let own = watched.sample(ALL_THE_TIME);
    assert_eq!(counts(&own), (1, 0, 0), "threaded");
    drop(workload);

    let small = Workload::new(|| || ());
    let mut watched = Watched::over(&small);
    let own = watched.sample(Duration::from_micros(1));
    assert_eq!(counts(&own), (0, 0, 1), "no time");
    let snapshot = watched.snapshot();
    drop(small);
    let own = watched
        .own
        .sample(&snapshot, ALL_THE_TIME, &Interrupt::default());
    assert_eq!(counts(&own.expect("samples")), (0, 1, 0), "gone");
    let refused = watched
        .own
        .sample(&snapshot, Duration::ZERO, &Interrupt::default());
    let reason = refused.expect_err("switched off").reason;
    assert!(reason.contains("--own-memory-budget"), "{reason}");
}

/// Of the CPU time that all looks take a tenth: it does for a tenth of them, or for fewer on a busy machine.
#[test]
fn the_budget_bounds_the_looks() {
    const LOOKED_AT: usize = 60;
    let mut workload = Workload::new(|| || fork_children(LOOKED_AT, 2_000));
    let mut watched = Watched::over(&workload);
    workload.run();
    let snapshot = watched.snapshot();
    let sample = |budget| {
        let own = watched.own.sample(&snapshot, budget, &Interrupt::default());
        own.expect("samples")
    };
    // What is read for the first time takes longer.
    sample(ALL_THE_TIME);
    let before = cpu_time();
    let all = sample(ALL_THE_TIME);
    let looks = cpu_time() - before;
    assert_eq!(role(&all, "child").len(), LOOKED_AT);
    let part = sample(looks / 10);
    let (sampled, left) = (role(&part, "child").len(), part.roles[2].out_of_budget);
    eprintln!("{sampled} looks in a tenth of {looks:?}");
    assert_eq!(sampled as u64 + left, LOOKED_AT as u64);
    assert!(
        sampled < LOOKED_AT / 2,
        "{sampled} looks in a tenth of {looks:?}"
    );
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What a process that is looked at says of its own calls, in memory it shares with the test.
struct Told {
    calls: AtomicU64,
    late: AtomicU64,
    stop: AtomicU64,
}

/// Far more than the kernel holds the lock for; the machine may be busy besides.
const LATE: Duration = Duration::from_millis(2);
/// What a server's process may have touched of memory that it shares, and of its own.
const SHARED_BYTES: usize = 1 << 30;
const OWN_BYTES: usize = 64 << 20;

/// Maps memory and gives it back until it is told to stop.
fn map_memory(told: &Told) {
    while told.stop.load(Relaxed) == 0 {
        let begun = Instant::now();
        let start = touch(1, libc::MAP_PRIVATE);
        // SAFETY: mapped just now, and used by nobody.
        unsafe { libc::munmap(start, PAGE) };
        told.calls.fetch_add(1, Relaxed);
        let late = u64::from(begun.elapsed() > LATE);
        told.late.fetch_add(late, Relaxed);
    }
}

/// Looked at ten times a second, far more than on any budget, a process that maps memory all the time
/// has no more calls late than without, but for one in a thousand.
#[test]
fn looks_hardly_delay_who_maps_memory() {
    const LOOKS: usize = 25;
    // Who looks is kept off its CPU by other work as long as that likes, with the lock.
    ahead_of_others();
    let told = touch(1, libc::MAP_SHARED).cast::<Told>();
    // SAFETY: a page of zeros, which is never unmapped.
    let told: &'static Told = unsafe { &*told };
    let mut workload = Workload::new(|| {
        touch(SHARED_BYTES / PAGE, libc::MAP_SHARED);
        touch(OWN_BYTES / PAGE, libc::MAP_PRIVATE);
        move || map_memory(told)
    });
    let mut watched = Watched::over(&workload);
    let snapshot = watched.snapshot();
    workload.start();
    let (mut calls, mut late, mut looks) = ([0, 0], [0, 0], 0);
    for round in 0..10 {
        let with = round % 2;
        let before = (told.calls.load(Relaxed), told.late.load(Relaxed));
        for _ in 0..LOOKS / 5 {
            if with == 1 {
                let own = watched
                    .own
                    .sample(&snapshot, ALL_THE_TIME, &Interrupt::default());
                looks += role(&own.expect("samples"), "main").len();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        calls[with] += told.calls.load(Relaxed) - before.0;
        late[with] += told.late.load(Relaxed) - before.1;
    }
    told.stop.store(1, Relaxed);
    workload.finish();
    eprintln!("{calls:?} calls without and with looks, {late:?} late; {looks} looks");
    assert_eq!(looks, LOOKS);
    let rate = |with: usize| late[with] as f64 / calls[with] as f64;
    assert!(
        rate(1) <= rate(0) + 0.001,
        "{} late, {} without looks",
        rate(1),
        rate(0)
    );
}
