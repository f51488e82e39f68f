//! What guards a shard of the store: nothing for one thread, a mutex inside one process for
//! threads, a robust mutex in shared memory for processes.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::sync::Mutex;

/// In what state a lock was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The last holder released it.
    Released,
    /// The last holder died (or panicked) while holding it: what it guards may be half changed.
    Abandoned,
}

/// A lock that lives inside the shared mapping.
///
/// # Safety
/// `with` must run closures one at a time among all holders of a reference to the same lock that
/// the implementation allows to exist.
pub(crate) unsafe trait Lock: Sized {
    /// Makes a lock at `place`.
    ///
    /// # Safety
    /// `place` is valid for writes, aligned, not in use, and never moves afterwards.
    ///
    /// # Errors
    /// What the system answers where it makes the lock.
    unsafe fn init(place: *mut Self) -> std::io::Result<()>;

    /// Runs `work` while holding the lock.
    fn with<R>(&self, work: impl FnOnce(Found) -> R) -> R;
}

/// No lock: for a server of one thread. Not `Sync`, so no second thread can get at it.
#[derive(Debug)]
pub(crate) struct SingleThread(PhantomData<Cell<()>>);

// SAFETY: the type is not `Sync`, so all closures run on one thread; `with` is not entered again
// from inside `work`, which has no reference to the lock.
unsafe impl Lock for SingleThread {
    unsafe fn init(place: *mut Self) -> std::io::Result<()> {
        // SAFETY: the caller answers for `place`.
        unsafe { place.write(Self(PhantomData)) };
        Ok(())
    }

    fn with<R>(&self, work: impl FnOnce(Found) -> R) -> R {
        work(Found::Released)
    }
}

/// A futex mutex for the threads of one process.
#[derive(Debug)]
pub(crate) struct BetweenThreads(Mutex<()>);

// SAFETY: the standard mutex excludes all threads of the process.
unsafe impl Lock for BetweenThreads {
    unsafe fn init(place: *mut Self) -> std::io::Result<()> {
        // SAFETY: the caller answers for `place`.
        unsafe { place.write(Self(Mutex::new(()))) };
        Ok(())
    }

    fn with<R>(&self, work: impl FnOnce(Found) -> R) -> R {
        let (_guard, found) = match self.0.lock() {
            Ok(guard) => (guard, Found::Released),
            Err(poisoned) => {
                self.0.clear_poison();
                (poisoned.into_inner(), Found::Abandoned)
            }
        };
        work(found)
    }
}

/// A process-shared robust mutex: the kernel passes it on when its holder dies.
pub(crate) struct BetweenProcesses(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a pthread mutex is made to be used from several threads and processes at once.
unsafe impl Sync for BetweenProcesses {}

// SAFETY: the mutex is process-shared, so it excludes every thread of every process that has the
// mapping.
unsafe impl Lock for BetweenProcesses {
    unsafe fn init(place: *mut Self) -> std::io::Result<()> {
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first and destroyed last; the caller answers for
        // `place`, whose only field is the mutex.
        unsafe {
            checked(libc::pthread_mutexattr_init(attributes))?;
            checked(libc::pthread_mutexattr_setpshared(
                attributes,
                libc::PTHREAD_PROCESS_SHARED,
            ))?;
            checked(libc::pthread_mutexattr_setrobust(
                attributes,
                libc::PTHREAD_MUTEX_ROBUST,
            ))?;
            checked(libc::pthread_mutex_init(place.cast(), attributes))?;
            checked(libc::pthread_mutexattr_destroy(attributes))
        }
    }

    fn with<R>(&self, work: impl FnOnce(Found) -> R) -> R {
        // SAFETY: `init` made the mutex, and it never moves.
        let found = match unsafe { libc::pthread_mutex_lock(self.0.get()) } {
            0 => Found::Released,
            libc::EOWNERDEAD => {
                // SAFETY: this thread now holds the mutex, as `EOWNERDEAD` says. If it dies before
                // its repair is done, the next holder is told again.
                unsafe { libc::pthread_mutex_consistent(self.0.get()) };
                Found::Abandoned
            }
            // Reachable only by corrupt memory: going on would corrupt more of it.
            error => panic!("cannot lock the shared state: error {error}"),
        };
        // A panic in `work` leaves the mutex held on purpose: the process ends, and the next holder
        // finds it abandoned.
        let result = work(found);
        // SAFETY: this thread holds the mutex.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) };
        result
    }
}

fn checked(status: libc::c_int) -> std::io::Result<()> {
    match status {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error)),
    }
}
