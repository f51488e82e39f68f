//! Which thread waits at which socket, against threads that wait as they are told.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::Options;
use rustix::event::{PollFd, PollFlags, poll};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read as _,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    thread,
    time::Duration,
};
use workload::*;

/// By what threads are called, so they wait: in `poll` and `recvfrom`, two at one socket, in a `poll` of two sockets,
/// in a `poll` of none with a time, and on a pipe.
const NAMES: [&str; 7] = [
    "polls", "receives", "first", "second", "many", "none", "pipe",
];

fn wait_in_poll(sockets: &[&UnixStream]) {
    let mut asked: Vec<_> = sockets
        .iter()
        .map(|it| PollFd::new(it, PollFlags::IN))
        .collect();
    poll(&mut asked, None).expect("it is woken");
}

/// A thread that waits until one end of its sockets is closed, as its name says.
fn wait_as(name: &str, [one, other, shared]: [UnixStream; 3]) {
    match name {
        "polls" => wait_in_poll(&[&one]),
        "receives" => drop((&one).read(&mut [0])),
        "first" | "second" => wait_in_poll(&[&shared]),
        "many" => wait_in_poll(&[&one, &other]),
        "none" => thread::sleep(Duration::from_secs(60)),
        _ => drop(std::io::pipe().expect("a pipe").0.read(&mut [0])),
    }
}

/// What a thread is to wait at: its own sockets, and one for all of them.
struct Sockets {
    own: Vec<[UnixStream; 2]>,
    shared: UnixStream,
}

/// The inode of a socket.
fn inode(socket: &UnixStream) -> u64 {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("it is open");
    let number = link.to_str().and_then(|it| it.strip_prefix("socket:["));
    let number = number.and_then(|it| it.strip_suffix(']'));
    number.expect("a socket").parse().expect("a number")
}

fn threads(pid: u32) -> BTreeMap<String, u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let named = tasks.flatten().map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).expect("it runs");
        let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
        (name.trim_end().to_owned(), tid.expect("a number"))
    });
    named.collect()
}

#[test]
fn a_thread_that_waits_at_one_socket_is_known_by_it() {
    let pair = || UnixStream::pair().expect("two sockets");
    // The other ends stay here, and nobody writes to them.
    let (own, _held): (Vec<_>, Vec<_>) = NAMES
        .iter()
        .map(|_| {
            let ((one, its_other), (other, others_other)) = (pair(), pair());
            ([one, other], [its_other, others_other])
        })
        .unzip();
    let (shared, _held_too) = pair();
    let sockets = Sockets { own, shared };
    let inodes: Vec<_> = sockets.own.iter().map(|it| inode(&it[0])).collect();
    let child = &sockets;
    let mut workload = Workload::new(|| {
        move || {
            let copy = |it: &UnixStream| it.try_clone().expect("a descriptor");
            for (name, [one, other]) in NAMES.iter().zip(&child.own) {
                let given = [copy(one), copy(other), copy(&child.shared)];
                let thread = thread::Builder::new().name((*name).to_owned());
                let body = move || wait_as(name, given);
                thread.spawn(body).expect("a thread");
            }
        }
    });
    let mut watch = watch_with(workload.pid, &Options::NO_WINDOWS);
    assert_eq!(watch.socket_waiters(), None);
    watch.note_socket_waiters().expect("root may");
    workload.run();
    let seen = watch.socket_waiters().expect("it is read");
    let threads = threads(workload.pid);
    let expected = ["polls", "receives"].map(|name| {
        let place = NAMES.iter().position(|it| *it == name).expect("a name");
        (inodes[place], threads[name])
    });
    assert_eq!(seen, HashMap::from(expected), "{threads:?} {inodes:?}");
}
