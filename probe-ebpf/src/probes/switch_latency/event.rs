//! Perf events that record context switches, and the rings they record into.

use crate::{Error, perf};
use memmap2::{MmapOptions, MmapRaw};
use perf_event_open_sys::{
    bindings::{
        PERF_COUNT_SW_DUMMY, PERF_FORMAT_LOST, PERF_SAMPLE_TID, PERF_SAMPLE_TIME, perf_event_attr,
        perf_event_mmap_page,
    },
    ioctls,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// What an event is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To hold a ring; the kernel does nothing for it at a switch.
    Hold,
    /// To record switches.
    Record,
}

/// An event of all tasks on one CPU, off until it is enabled. While one that records is open, even
/// if it is off, each switch of that CPU takes a look at it.
pub(super) struct Event(OwnedFd);

impl Event {
    /// Opens one that records the switches of a CPU into a ring of that CPU; none if the CPU has
    /// gone offline.
    pub(super) fn recording(cpu: u32, ring: &Ring) -> Result<Option<Self>, Error> {
        let event = match Self::open(cpu, Purpose::Record) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            opened => Self(opened.map_err(|error| refused(cpu, &error))?),
        };
        // SAFETY: both descriptors are open, and the call takes no pointer.
        let set = unsafe { ioctls::SET_OUTPUT(event.0.as_raw_fd(), ring.holder.as_raw_fd()) };
        check(set).map_err(|error| refused(cpu, &error))?;
        Ok(Some(event))
    }

    fn open(cpu: u32, purpose: Purpose) -> io::Result<OwnedFd> {
        let mut attributes = perf_event_attr {
            sample_type: (PERF_SAMPLE_TID | PERF_SAMPLE_TIME).into(),
            read_format: PERF_FORMAT_LOST.into(),
            ..perf::software(PERF_COUNT_SW_DUMMY.into())
        };
        attributes.set_disabled(1);
        attributes.set_sample_id_all(1);
        attributes.set_context_switch((purpose == Purpose::Record).into());
        // Nobody sleeps for records: they are fetched by the clock, and no wake-up disturbs them.
        attributes.set_watermark(1);
        attributes.__bindgen_anon_2.wakeup_watermark = u32::MAX >> 1;
        perf::open(&mut attributes, cpu)
    }

    /// On when this returns.
    pub(super) fn enable(&self) -> io::Result<()> {
        // SAFETY: an open descriptor, and no pointer.
        check(unsafe { ioctls::ENABLE(self.0.as_raw_fd(), 0) })
    }

    /// Off when this returns.
    pub(super) fn disable(&self) -> io::Result<()> {
        // SAFETY: an open descriptor, and no pointer.
        check(unsafe { ioctls::DISABLE(self.0.as_raw_fd(), 0) })
    }

    /// How the process names it.
    pub(super) fn descriptor(&self) -> u64 {
        self.0.as_raw_fd().cast_unsigned().into()
    }

    /// Records for which its ring had no room, since it was opened.
    pub(super) fn lost(&self) -> io::Result<u64> {
        // By PERF_FORMAT_LOST: the event's value, and how many were lost.
        let mut answer = [0; 16];
        let read = rustix::io::read(self.0.as_fd(), &mut answer)?;
        match answer.as_chunks::<8>().0 {
            [_, lost] if read == answer.len() => Ok(u64::from_ne_bytes(*lost)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A ring of records of one CPU. It outlives the events that record into it.
pub(super) struct Ring {
    holder: OwnedFd,
    map: MmapRaw,
    /// Bytes of records it holds: a power of two.
    size: usize,
}

impl Ring {
    /// One that is read: what has not been read is kept, and what finds no room is lost.
    pub(super) fn to_read(cpu: u32, size: usize) -> Result<Self, Error> {
        Self::map(cpu, size, |options, event| options.map_raw(event))
    }

    /// One that nobody reads: old records are overwritten.
    pub(super) fn to_overwrite(cpu: u32, size: usize) -> Result<Self, Error> {
        // The kernel takes from the protection of the mapping that nobody will say what was read.
        Self::map(cpu, size, |options, event| options.map_raw_read_only(event))
    }

    fn map(
        cpu: u32,
        size: usize,
        map: impl FnOnce(&MmapOptions, &OwnedFd) -> io::Result<MmapRaw>,
    ) -> Result<Self, Error> {
        let holder = Event::open(cpu, Purpose::Hold).map_err(|error| refused(cpu, &error))?;
        let mut options = MmapOptions::new();
        options.len(rustix::param::page_size() + size);
        let map = map(&options, &holder).map_err(|error| refused(cpu, &error))?;
        Ok(Self { holder, map, size })
    }

    /// Where the next record will be, in bytes since the ring was made.
    pub(super) fn head(&self) -> u64 {
        let page = self.page();
        // SAFETY: the first page of the mapping; the kernel writes the field whole, as it is read.
        unsafe { AtomicU64::from_ptr(&raw mut (*page).data_head) }.load(Ordering::Acquire)
    }

    /// Gives each record up to `head` and makes room. A record is its 8-byte words.
    pub(super) fn read_to(&self, head: u64, mut each: impl FnMut(&[u64])) {
        let page = self.page();
        // SAFETY: as above; this field is written by us alone.
        let tail = unsafe { AtomicU64::from_ptr(&raw mut (*page).data_tail) };
        let mut at = tail.load(Ordering::Relaxed);
        let mut record = Vec::new();
        while at < head {
            let words = (self.word(at) >> 48) as usize / 8;
            record.clear();
            record.extend((0..words).map(|word| self.word(at + 8 * word as u64)));
            each(&record);
            // A record has a header at least; without one nothing here can be told apart.
            at = if words == 0 {
                head
            } else {
                at + 8 * words as u64
            };
        }
        tail.store(at, Ordering::Release);
    }

    /// The word at a position; records are multiples of 8 bytes, and so is the ring.
    fn word(&self, at: u64) -> u64 {
        let offset = rustix::param::page_size() + at as usize % self.size;
        // SAFETY: within the mapping and aligned; the kernel leaves alone what lies before `head`
        // until `data_tail` says that it was read.
        unsafe { self.map.as_ptr().add(offset).cast::<u64>().read_volatile() }
    }

    fn page(&self) -> *mut perf_event_mmap_page {
        self.map.as_mut_ptr().cast()
    }
}

fn check(returned: libc::c_int) -> io::Result<()> {
    match returned {
        ..0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn refused(cpu: u32, error: &io::Error) -> Error {
    let remedy = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "; needs root, or CAP_PERFMON and an unlimited kernel.perf_event_mlock_kb"
        }
        Some(libc::EMFILE) => "; raise the limit of open files (ulimit -n)",
        _ => "",
    };
    Error::Unsupported {
        probe: super::PROBE.name,
        reason: format!("no perf records of switches on CPU {cpu}: {error}{remedy}"),
    }
}

/// What went wrong with an event that was open.
pub(super) fn failed(cpu: u32, error: &io::Error) -> Error {
    refused(cpu, error)
}

/// Why there is nothing to open events on.
pub(super) fn unlisted(error: &io::Error) -> Error {
    Error::Unsupported {
        probe: super::PROBE.name,
        reason: format!("the kernel does not list its CPUs in /sys/devices/system/cpu: {error}"),
    }
}
