//! Tests of the store: every lock, several processes, and owners that die.

use super::*;

fn store<L: Lock>(bytes: usize) -> Store<L> {
    Store::new(bytes).expect("cannot map a small store")
}

fn value<L: Lock>(store: &Store<L>, key: &[u8]) -> Option<Vec<u8>> {
    store.get(key, <[u8]>::to_vec)
}

/// Runs `child` in a forked process and answers its pid. Sound in a test of many threads: the child
/// takes no lock but those of the store and of malloc, which glibc makes usable after a fork.
fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: see above; the child never returns.
    match unsafe { libc::fork() } {
        0 => {
            child();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        pid => {
            assert!(pid > 0, "cannot fork");
            pid
        }
    }
}

fn wait_for(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: `pid` is this test's own child.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the child failed");
}

fn sets_gets_and_deletes<L: Lock>() {
    let store = store::<L>(4 << 20);
    assert_eq!(value(&store, b"a"), None);
    for round in 0..3_u32 {
        for key in 0..5000_u32 {
            let bytes = vec![key as u8; (key % 300) as usize + round as usize];
            assert_eq!(store.set(&key.to_le_bytes(), &bytes), Ok(()));
        }
        for key in 0..5000_u32 {
            let bytes = vec![key as u8; (key % 300) as usize + round as usize];
            assert_eq!(value(&store, &key.to_le_bytes()), Some(bytes));
        }
    }
    for key in 0..5000_u32 {
        assert!(store.delete(&key.to_le_bytes()));
        assert!(!store.delete(&key.to_le_bytes()));
        assert_eq!(value(&store, &key.to_le_bytes()), None);
    }
}

#[test]
fn works_with_every_lock() {
    sets_gets_and_deletes::<SingleThread>();
    sets_gets_and_deletes::<BetweenThreads>();
    sets_gets_and_deletes::<BetweenProcesses>();
}

#[test]
fn the_largest_key_and_value_fit_the_smallest_store() {
    let store = store::<SingleThread>(MIN_BYTES);
    let (key, bytes) = (vec![1; MAX_KEY_BYTES], vec![2; MAX_VALUE_BYTES]);
    assert_eq!(store.set(&key, &bytes), Ok(()));
    assert_eq!(value(&store, &key), Some(bytes));
    assert_eq!(store.set(b"", b""), Ok(()));
    assert_eq!(value(&store, b""), Some(Vec::new()));
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_has() {
    let store = store::<SingleThread>(MIN_BYTES);
    let mut kept = 0_u32;
    while store.set(&kept.to_le_bytes(), &[7; 200]).is_ok() {
        kept += 1;
    }
    // 256 bytes each of 2 MiB less the buckets.
    assert!((7_900..8_192).contains(&kept), "{kept} entries");
    assert_eq!(store.set(b"new", &[1; 200]), Err(Full));
    assert_eq!(
        store.increment(b"new"),
        Ok(1),
        "a smaller block is left over"
    );
    assert!((0..kept).all(|key| value(&store, &key.to_le_bytes()) == Some(vec![7; 200])));
}

#[test]
fn freed_blocks_are_joined_for_larger_values() {
    let store = store::<SingleThread>(MIN_BYTES);
    for round in 0..3 {
        let mut kept = 0_u32;
        while store.set(&kept.to_le_bytes(), &[7; 100]).is_ok() {
            kept += 1;
        }
        assert!(kept > 15_000, "round {round}: {kept} entries");
        assert!((0..kept).all(|key| store.delete(&key.to_le_bytes())));
        assert_eq!(
            store.set(b"large", &vec![3; MAX_VALUE_BYTES]),
            Ok(()),
            "round {round}"
        );
        assert!(store.delete(b"large"));
    }
}

#[test]
fn increments_as_redis_does() {
    let store = store::<SingleThread>(MIN_BYTES);
    assert_eq!(store.increment(b"n"), Ok(1));
    assert_eq!(store.increment(b"n"), Ok(2));
    assert_eq!(value(&store, b"n"), Some(b"2".to_vec()));
    for (before, after) in [
        (&b"-1"[..], Ok(0)),
        (b"-9223372036854775808", Ok(i64::MIN + 1)),
        (b"9223372036854775806", Ok(i64::MAX)),
        (b"9223372036854775807", Err(IncrementError::Overflow)),
        (b"9223372036854775808", Err(IncrementError::NotAnInteger)),
        (b"", Err(IncrementError::NotAnInteger)),
        (b"01", Err(IncrementError::NotAnInteger)),
        (b"+1", Err(IncrementError::NotAnInteger)),
        (b" 1", Err(IncrementError::NotAnInteger)),
        (b"-0", Err(IncrementError::NotAnInteger)),
        (b"1.0", Err(IncrementError::NotAnInteger)),
        (b"\xff", Err(IncrementError::NotAnInteger)),
    ] {
        assert_eq!(store.set(b"n", before), Ok(()));
        assert_eq!(store.increment(b"n"), after, "{}", before.escape_ascii());
        if after.is_err() {
            assert_eq!(value(&store, b"n").as_deref(), Some(before));
        }
    }
}

#[test]
fn threads_lose_no_increment() {
    let store = store::<BetweenThreads>(MIN_BYTES);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20_000).for_each(|_| assert!(store.increment(b"n").is_ok())));
        }
    });
    assert_eq!(value(&store, b"n"), Some(b"80000".to_vec()));
}

#[test]
fn processes_lose_no_increment() {
    let store = store::<BetweenProcesses>(MIN_BYTES);
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                for _ in 0..20_000 {
                    if store.increment(b"n").is_err() {
                        // SAFETY: ends this child at once.
                        unsafe { libc::_exit(1) };
                    }
                }
            })
        })
        .collect();
    children.into_iter().for_each(wait_for);
    assert_eq!(value(&store, b"n"), Some(b"80000".to_vec()));
}

#[test]
fn an_owner_that_dies_costs_nobody_else_anything() {
    let store = store::<BetweenProcesses>(MIN_BYTES);
    for key in 0..1000_u32 {
        assert_eq!(store.set(&key.to_le_bytes(), &[5; 90]), Ok(()));
    }
    let child = fork(|| {
        store.with_shard(b"any", |shard, _| {
            shard.wreck_free_lists();
            // SAFETY: dies while holding the lock, in the middle of a change.
            unsafe { libc::_exit(0) }
        });
    });
    wait_for(child);
    for key in 0..1000_u32 {
        assert_eq!(value(&store, &key.to_le_bytes()), Some(vec![5; 90]));
        assert_eq!(store.set(&key.to_le_bytes(), &[6; 900]), Ok(()));
    }
    assert!((0..1000_u32).all(|key| value(&store, &key.to_le_bytes()) == Some(vec![6; 900])));
}

#[test]
fn owners_killed_at_random_leave_every_value_whole() {
    let store = store::<BetweenProcesses>(MIN_BYTES);
    for round in 0..40 {
        let child = fork(|| {
            for turn in 0_u32.. {
                let byte = turn as u8;
                let _ = store.set(&[turn as u8 % 50], &vec![byte; 50 + (turn as usize % 700)]);
                store.delete(&[(turn as u8).wrapping_mul(7) % 50]);
            }
        });
        std::thread::sleep(std::time::Duration::from_micros(500 + 137 * round));
        // SAFETY: this test's own child, not waited for yet.
        unsafe { libc::kill(child, libc::SIGKILL) };
        let mut status = 0;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        for key in 0..50 {
            if let Some(bytes) = value(&store, &[key]) {
                assert!(bytes.len() >= 50 && bytes.iter().all(|&byte| byte == bytes[0]));
            }
        }
    }
    for key in 0..50 {
        store.delete(&[key]);
    }
    // Nothing was lost to the deaths: all memory is there to be used.
    assert_eq!(store.set(b"large", &vec![3; MAX_VALUE_BYTES]), Ok(()));
    let mut kept = 0_u32;
    while store.set(&kept.to_le_bytes(), &[7; 200]).is_ok() {
        kept += 1;
    }
    assert!(kept > 3_800, "{kept} entries beside 1 MiB");
}

#[test]
fn a_thread_that_panics_with_the_lock_leaves_the_store_usable() {
    let store = store::<BetweenThreads>(MIN_BYTES);
    assert_eq!(store.set(b"key", b"value"), Ok(()));
    let panicked = std::thread::scope(|scope| {
        scope
            .spawn(|| store.get(b"key", |_| panic!("meant to happen")))
            .join()
            .is_err()
    });
    assert!(panicked);
    assert_eq!(value(&store, b"key"), Some(b"value".to_vec()));
    assert_eq!(store.set(b"key", b"other"), Ok(()));
}
