//! System calls that wait for a known time. Those that set something up return the wait itself.
#![allow(clippy::undocumented_unsafe_blocks)] // each is one system call on memory of its own

use super::workload::cpu_time_of_thread;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    ptr::null_mut,
    thread,
    time::{Duration, Instant},
};

/// How long each wait takes.
pub(crate) const TIME: Duration = Duration::from_millis(400);

const TIMESPEC: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: TIME.subsec_nanos() as i64,
};

/// Time that a wait of this thread takes, less what it runs and waits for a CPU meanwhile: by the
/// kernel's own account of both.
pub(crate) fn time_asleep(wait: impl FnOnce()) -> u64 {
    let used = || {
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("proc");
        let waited: u64 = schedstat
            .split_whitespace()
            .nth(1)
            .and_then(|field| field.parse().ok())
            .expect("run-queue wait");
        cpu_time_of_thread().as_nanos() as u64 + waited
    };
    // In this order: what it takes to ask is no part of the time.
    let before = used();
    let begun = Instant::now();
    wait();
    let not_asleep = used() - before;
    begun.elapsed().as_nanos() as u64 - not_asleep
}

/// Does it when the time is over, in another thread.
fn later(act: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        thread::sleep(TIME);
        act();
    });
}

fn fd(number: i32) -> OwnedFd {
    assert!(number >= 0, "{}", std::io::Error::last_os_error());
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn read_eight(mut file: File) {
    file.read_exact(&mut [0; 8]).expect("read");
}

pub(crate) fn nanosleep() {
    thread::sleep(TIME);
}

pub(crate) fn timerfd() -> impl FnOnce() + Send + 'static {
    let timer = fd(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) });
    move || {
        let mut when: libc::itimerspec = unsafe { std::mem::zeroed() };
        when.it_value = TIMESPEC;
        unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &when, null_mut()) };
        read_eight(File::from(timer));
    }
}

pub(crate) fn futex() {
    let word = 0u32;
    unsafe { libc::syscall(libc::SYS_futex, &word, libc::FUTEX_WAIT, 0, &TIMESPEC) };
}

pub(crate) fn file_lock() -> impl FnOnce() + Send + 'static {
    let file = tempfile::NamedTempFile::new().expect("file");
    let holder = File::open(file.path()).expect("file");
    flock(&holder, FlockOperation::LockExclusive).expect("lock");
    move || {
        later(move || flock(&holder, FlockOperation::Unlock).expect("unlock"));
        flock(file.as_file(), FlockOperation::LockExclusive).expect("lock");
    }
}

pub(crate) fn epoll() -> impl FnOnce() + Send + 'static {
    let epoll = fd(unsafe { libc::epoll_create1(0) });
    move || {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let timeout = TIME.as_millis() as i32;
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), &mut event, 1, timeout) };
    }
}

pub(crate) fn poll() {
    unsafe { libc::poll(null_mut(), 0, TIME.as_millis() as i32) };
}

pub(crate) fn eventfd() -> impl FnOnce() + Send + 'static {
    let event = File::from(fd(unsafe { libc::eventfd(0, 0) }));
    let mut other = event.try_clone().expect("dup");
    move || {
        later(move || other.write_all(&1u64.to_ne_bytes()).expect("write"));
        read_eight(event);
    }
}

pub(crate) fn semop() {
    let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
    assert!(set >= 0, "{}", std::io::Error::last_os_error());
    let mut take = libc::sembuf {
        sem_num: 0,
        sem_op: -1,
        sem_flg: 0,
    };
    unsafe { libc::syscall(libc::SYS_semtimedop, set, &mut take, 1, &TIMESPEC) };
    unsafe { libc::semctl(set, 0, libc::IPC_RMID) };
}

pub(crate) fn pipe() -> impl FnOnce() + Send + 'static {
    let (mut reader, mut writer) = std::io::pipe().expect("pipe");
    move || {
        later(move || writer.write_all(&[1]).expect("write"));
        reader.read_exact(&mut [0]).expect("read");
    }
}

pub(crate) fn socket_read() -> impl FnOnce() + Send + 'static {
    let (near, mut far) = UnixStream::pair().expect("socket");
    let mut near = File::from(OwnedFd::from(near));
    move || {
        later(move || far.write_all(&[1]).expect("write"));
        near.read_exact(&mut [0]).expect("read");
    }
}

pub(crate) fn socket_receive() -> impl FnOnce() + Send + 'static {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (mut far, _) = listener.accept().expect("accept");
    move || {
        later(move || far.write_all(&[1]).expect("write"));
        let mut byte = [0; 1];
        rustix::net::recv(near.as_fd(), &mut byte, rustix::net::RecvFlags::empty())
            .expect("receive");
    }
}

pub(crate) fn accept() -> impl FnOnce() + Send + 'static {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address");
    move || {
        later(move || drop(TcpStream::connect(address).expect("connect")));
        listener.accept().expect("accept");
    }
}

pub(crate) fn child() {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        unsafe { libc::nanosleep(&TIMESPEC, null_mut()) };
        unsafe { libc::_exit(0) };
    }
    assert_eq!(unsafe { libc::waitpid(pid, null_mut(), 0) }, pid);
}

pub(crate) fn io_uring() {
    let mut ring = io_uring::IoUring::new(4).expect("io_uring");
    let time = io_uring::types::Timespec::new().nsec(TIME.subsec_nanos());
    let wait = io_uring::opcode::Timeout::new(&time).build();
    unsafe { ring.submission().push(&wait) }.expect("room");
    ring.submit_and_wait(1).expect("a completion");
}

/// Writes and syncs until it slept for that time. Little at once, so that it hardly runs in between:
/// what the hypervisor takes of a CPU that it runs on is not known to the microsecond.
pub(crate) fn fsync() -> impl FnOnce() + Send + 'static {
    // /tmp may be in memory.
    let mut file = tempfile::tempfile_in("/var/tmp").expect("file");
    let data = vec![1; 1 << 20];
    move || {
        let (begun, mut slept) = (Instant::now(), Duration::ZERO);
        while slept < TIME {
            assert!(begun.elapsed() < 100 * TIME, "slept for {slept:?} only");
            let once = || {
                file.write_all(&data).expect("write");
                file.sync_all().expect("fsync");
            };
            slept += Duration::from_nanos(time_asleep(once));
        }
    }
}

/// A page that another thread puts there when the time is over (userfaultfd(2)).
pub(crate) fn page_fault() -> impl FnOnce() + Send + 'static {
    const PAGE: usize = 4096;
    const API: (u64, [u64; 3]) = (0xc018_aa3f, [0xaa, 0, 0]);
    let request = |fd: i32, (number, mut argument): (u64, Vec<u64>)| {
        let done = unsafe { libc::ioctl(fd, number, argument.as_mut_ptr()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    };
    let missing = unsafe {
        libc::mmap(
            null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    } as u64;
    let handler = fd(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) } as i32);
    request(handler.as_raw_fd(), (API.0, API.1.to_vec()));
    // UFFDIO_REGISTER: start, length, mode (missing pages), answer.
    let register = vec![missing, PAGE as u64, 1, 0];
    request(handler.as_raw_fd(), (0xc020_aa00, register));
    move || {
        // UFFDIO_ZEROPAGE: start, length, mode, answer.
        let put = move || {
            let page = vec![missing, PAGE as u64, 0, 0];
            request(handler.as_raw_fd(), (0xc020_aa04, page));
        };
        later(put);
        let read = unsafe { (missing as *const u8).read_volatile() };
        assert_eq!(read, 0);
    }
}
