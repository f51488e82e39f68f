//! Files as servers write them, whole and not.

use super::*;
use std::io::Write;

/// A file of so many threads, where the counters of thread `n` (from 0) are `place + 100 * n`.
fn file(threads: u32) -> Vec<u8> {
    let mut bytes = vec![0; 128 + threads as usize * 128];
    put(&mut bytes, 0, MAGIC);
    for (place, number) in [(8, 1), (12, 4321), (16, 128), (20, 128), (24, threads)] {
        put(&mut bytes, place, &u32::to_le_bytes(number));
    }
    put(&mut bytes, 28, &256_u32.to_le_bytes());
    put(&mut bytes, 32, &19_u64.to_le_bytes());
    put(&mut bytes, 40, b"green-threads");
    for thread in 0..threads as usize {
        for place in [0, 8, 16, 24, 32] {
            let number = (place + 100 * thread) as u64;
            let at = 128 + 128 * thread + place;
            put(&mut bytes, at, &number.to_le_bytes());
        }
    }
    bytes
}

fn put(bytes: &mut [u8], place: usize, what: &[u8]) {
    bytes[place..place + what.len()].copy_from_slice(what);
}

fn with(place: usize, number: u32) -> Result<Scheduler, Refused> {
    let mut bytes = file(2);
    put(&mut bytes, place, &number.to_le_bytes());
    parse(&bytes)
}

#[test]
fn counters_of_all_threads_are_summed() {
    let of_one = Scheduler {
        tasks_begun: 0,
        tasks_ended: 8,
        switches: 16,
        sampled: 24,
        sampled_ns: 32,
        clock_ns: 19,
    };
    assert_eq!(parse(&file(1)), Ok(of_one));
    let of_three = Scheduler {
        tasks_begun: 300,
        tasks_ended: 324,
        switches: 348,
        sampled: 372,
        sampled_ns: 396,
        clock_ns: 19,
    };
    assert_eq!(parse(&file(3)), Ok(of_three));
    // What lies behind them, as the rest of the page, is not theirs.
    let mut page = file(3);
    page.resize(4096, 0xff);
    assert_eq!(parse(&page), Ok(of_three));
}

/// A later writer of the same version may have more in the head and of each thread.
#[test]
fn the_head_says_where_they_are() {
    let counters = &file(3)[128..];
    let mut bytes = file(3)[..128].to_vec();
    bytes.resize(256, 0xff);
    for of_thread in counters.chunks(128) {
        bytes.extend(&of_thread[..40]);
        bytes.extend([0xff; 24]);
    }
    put(&mut bytes, 16, &256_u32.to_le_bytes());
    put(&mut bytes, 20, &64_u32.to_le_bytes());
    assert_eq!(parse(&bytes), parse(&file(3)));
}

#[test]
fn what_is_no_file_of_counters_is_refused() {
    assert_eq!(parse(b""), Err(Refused::NoCounters));
    assert_eq!(parse(&[0; 4096]), Err(Refused::NoCounters));
    assert_eq!(parse(b"cnscpcn"), Err(Refused::NoCounters));
    assert_eq!(with(0, 7), Err(Refused::NoCounters));
}

#[test]
fn other_versions_are_refused_whatever_else_they_hold() {
    for version in [0, 2, u32::MAX] {
        assert_eq!(with(8, version), Err(Refused::Version(version)));
    }
    let mut short = b"cnscpcnt".to_vec();
    short.extend(2_u32.to_le_bytes());
    assert_eq!(parse(&short), Err(Refused::Version(2)));
    let words =
        "the file is of version 2, and 1 is known; use the connscope-target of this connscope";
    assert_eq!(Refused::Version(2).to_string(), words);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = file(2);
    for bytes in 8..whole.len() {
        let refused = parse(&whole[..bytes]).expect_err("it is cut");
        assert!(
            matches!(refused, Refused::Truncated { .. }),
            "{bytes}: {refused}"
        );
    }
    assert!(parse(&whole).is_ok());
    // More threads than there is room for, up to the most that can be said.
    let needed = 128 + 3 * 128;
    let refused = Refused::Truncated { bytes: 384, needed };
    assert_eq!(with(24, 3), Err(refused));
    assert!(with(24, u32::MAX).is_err());
}

#[test]
fn counters_need_room() {
    for (place, number) in [(16, 0), (16, 71), (20, 0), (20, 39)] {
        let refused = with(place, number).expect_err("there is none");
        assert!(matches!(refused, Refused::Places { .. }), "{refused}");
    }
}

#[test]
fn a_file_is_read_anew_each_time() {
    let mut source = Source::new();
    let unseen = |source: &mut Source, words: &str| match source.read() {
        UserSpace::Unseen(reason) => assert!(reason.contains(words), "{reason}"),
        counted => panic!("{counted:?}"),
    };
    unseen(
        &mut source,
        "cannot read the counters of its scheduler: the file does not",
    );
    let Source::File(file_of_it) = &mut source else {
        panic!("{source:?}")
    };
    let mut writer = file_of_it.try_clone().expect("a descriptor");
    writer.write_all(&file(2)).expect("room");
    let counted = |threads| UserSpace::Counted(parse(&file(threads)).expect("counters"));
    assert_eq!(source.read(), counted(2));
    writer.rewind().expect("a file");
    writer.write_all(&file(3)).expect("room");
    assert_eq!(source.read(), counted(3));
    unseen(
        &mut Source::Nowhere("it keeps none".into()),
        "it keeps none",
    );
}
