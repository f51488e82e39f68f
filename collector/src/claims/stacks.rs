//! What the stack of a thread takes: address space, memory that is touched, the kernel's stack.

use super::{Family, Spec, round::Round};
use crate::figures::Unit;
use anyhow::{Context, Result, bail};
use procfs::Current;
use std::{fs, mem, ptr, sync::Barrier, thread};

pub(super) const FAMILY: Family = Family {
    name: "stacks of threads",
    figures: &[Spec {
        name: "thread_stack",
        unit: Unit::Bytes,
        axis: "what is counted",
        method: "threads with default attributes that wait: reserved is the size of the stack \
                 (pthread_getattr_np, soft limit of stacks), touched what smaps says is resident of its \
                 mapping, kernel stack what the kernel's own (KernelStack of /proc/meminfo) grow by",
    }],
    takes_ms: [300, 300],
    take,
};

/// Threads alive at once: what other tasks of the host do to KernelStack does not weigh.
const THREADS: usize = 500;

fn take(round: &mut Round<'_>) -> Result<()> {
    let of_kernel = || {
        let memory = procfs::Meminfo::current().context("cannot read /proc/meminfo")?;
        memory
            .kernel_stack
            .context("/proc/meminfo says nothing of kernel stacks")
    };
    let before = of_kernel()?;
    let (stacks, after) = beside_threads(THREADS, || {}, of_kernel)?;
    let mean =
        |figure: fn(&Stack) -> u64| stacks.iter().map(figure).sum::<u64>() as f64 / THREADS as f64;
    let kernel = after.saturating_sub(before) as f64 / THREADS as f64;
    for (at, bytes) in [
        ("reserved", mean(|stack| stack.reserved)),
        ("touched", mean(|stack| stack.touched)),
        ("kernel stack", kernel),
    ] {
        round.tell_at("thread_stack", at, None, vec![bytes]);
    }
    Ok(())
}

/// Bytes of a stack.
#[derive(Clone, Copy, Debug)]
struct Stack {
    reserved: u64,
    touched: u64,
}

/// Looks, and at the stacks, while so many threads wait that have done that `work`.
fn beside_threads<T>(
    threads: usize,
    work: impl Fn() + Sync,
    look: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Stack>, T)> {
    let (there, go) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    thread::scope(|scope| {
        let mut waiting = Vec::new();
        for _ in 0..threads {
            // The library's default, which is none of the standard library's.
            let attributes = default_stack()?;
            let body = || {
                work();
                let place = place_of_stack();
                there.wait();
                go.wait();
                place
            };
            let builder = thread::Builder::new().stack_size(attributes);
            waiting.push(
                builder
                    .spawn_scoped(scope, body)
                    .context("cannot create a thread")?,
            );
        }
        there.wait();
        let smaps = fs::read_to_string("/proc/self/smaps").context("cannot read smaps");
        let looked = look();
        go.wait();
        let (smaps, looked) = (smaps?, looked?);
        let stacks = waiting.into_iter().map(|thread| {
            let (start, bytes) = thread
                .join()
                .unwrap_or_else(|_| bail!("a thread panicked"))?;
            Ok(Stack {
                reserved: bytes,
                touched: resident(&smaps, start + bytes - 1).context("smaps has no such stack")?,
            })
        });
        Ok((stacks.collect::<Result<_>>()?, looked))
    })
}

/// Bytes that a thread with default attributes reserves for its stack.
fn default_stack() -> Result<usize> {
    let mut attributes = mem::MaybeUninit::uninit();
    let mut bytes = 0;
    // SAFETY: the attributes are made before they are asked.
    let error = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut bytes)
    };
    match error {
        0 => Ok(bytes),
        _ => bail!("cannot tell the default size of stacks"),
    }
}

/// Where the calling thread's stack begins, and its bytes.
fn place_of_stack() -> Result<(u64, u64)> {
    let mut attributes = mem::MaybeUninit::uninit();
    let (mut start, mut bytes) = (ptr::null_mut(), 0);
    // SAFETY: the attributes are those of this thread, made before they are asked, and given up after.
    let error = unsafe {
        match libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) {
            0 => {
                let error = libc::pthread_attr_getstack(
                    attributes.as_ptr(),
                    &raw mut start,
                    &raw mut bytes,
                );
                libc::pthread_attr_destroy(attributes.as_mut_ptr());
                error
            }
            error => error,
        }
    };
    match error {
        0 => Ok((start as u64, bytes as u64)),
        _ => bail!("cannot tell where a stack is"),
    }
}

/// `Rss` of the mapping that holds an address, in bytes.
fn resident(smaps: &str, address: u64) -> Option<u64> {
    let mut lines = smaps.lines();
    let within = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(number(from)? <= address && address < number(to)?)
    };
    lines.find(|line| within(line) == Some(true))?;
    let kilobytes = lines.find_map(|line| line.strip_prefix("Rss:"))?;
    Some(
        kilobytes
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()?
            * 1024,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Writes so many pages of the calling thread's stack, one of each.
    fn touch<const BYTES: usize>() {
        let mut written = [0_u8; BYTES];
        for place in (0..BYTES).step_by(4096) {
            // SAFETY: within the array.
            unsafe { written.as_mut_ptr().add(place).write_volatile(1) };
        }
        black_box(&mut written);
    }

    #[test]
    fn what_threads_touch_of_their_stacks_is_what_is_said() {
        const KNOWN: usize = 256 << 10;
        let touched = |work: fn()| {
            let (stacks, ()) = beside_threads(20, work, || Ok(())).expect("threads");
            let all: u64 = stacks.iter().map(|it| it.touched).sum();
            (all / 20, stacks[0].reserved)
        };
        let (without, reserved) = touched(|| {});
        let (with, _) = touched(touch::<KNOWN>);
        let more = with - without;
        assert!(
            more.abs_diff(KNOWN as u64) <= 8192,
            "{more} bytes more where {KNOWN} were touched"
        );
        assert!(
            without < 64 << 10 && reserved >= 128 << 10,
            "{without} of {reserved}"
        );
    }

    #[test]
    fn residence_is_that_of_the_mapping_that_holds_the_address() {
        let smaps =
            "1000-3000 rw-p 0 0:0 0\nSize: 8 kB\nRss:   8 kB\n3000-5000 ---p 0 0:0 0\nRss: 0 kB\n";
        assert_eq!(
            [resident(smaps, 0x2fff), resident(smaps, 0x3000)],
            [Some(8192), Some(0)]
        );
        assert_eq!(resident(smaps, 0x5000), None);
    }
}
