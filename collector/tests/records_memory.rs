//! A record of ten hours, written and read in memory that does not grow with it. Alone in its process.

use connscope::record::{Entry, Gathered, Reader, Writer};
use connscope::snapshot::{Histogram, Role, Snapshot, Task};
use std::fs::File;

/// One for each second.
const SNAPSHOTS: u64 = 36_000;
/// By then everything has been as large as it gets: zstd's window is full.
const WARM: u64 = 4_000;
/// What allocators keep is no leak.
const SLACK: u64 = 3_000_000;

fn snapshot(second: u64) -> Entry {
    let task = |tid: u32| Task {
        tid,
        comm: "backend".into(),
        ..Task::default()
    };
    let mut counts = vec![0; 200];
    counts[(second % 200) as usize] = second * second % 9_973;
    Entry::Snapshots(vec![Snapshot {
        at_ns: second * 1_000_000_000,
        roles: vec![Role {
            name: "client".to_owned(),
            tasks: (1..5).map(task).collect(),
            run_queue_wait: Histogram {
                counts,
                sum_ns: second * 31_337,
                ..Histogram::default()
            },
            ..Role::default()
        }],
        ..Snapshot::default()
    }])
}

#[test]
fn ten_hours_are_written_and_read_in_bounded_memory() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut writer = Writer::begin(file.as_file_mut()).expect("room");
    let mut gathered = Gathered::default();
    let mut watch = Growth::default();
    for second in 0..SNAPSHOTS {
        let entry = snapshot(second);
        writer.put(&entry).expect("room");
        gathered.take(entry);
        watch.look(second);
    }
    writer.finish().expect("room");
    assert_eq!(gathered.snapshots(), SNAPSHOTS);
    watch.assert_little("writing");
    let bytes = file.as_file().metadata().expect("it is there").len();
    assert!(bytes < SNAPSHOTS * 700, "{bytes} bytes");

    let mut gathered = Gathered::default();
    let mut watch = Growth::default();
    let read = Reader::begin(File::open(file.path()).expect("it is there")).expect("a record");
    for (second, entry) in (0..).zip(read) {
        gathered.take(entry.expect("an entry"));
        watch.look(second);
    }
    assert_eq!(gathered.snapshots(), SNAPSHOTS);
    watch.assert_little("reading");
}

/// By how much this process has grown since it was warm.
#[derive(Default)]
struct Growth(u64);

impl Growth {
    fn look(&mut self, second: u64) {
        if second == WARM {
            self.0 = resident_bytes();
        }
    }

    #[track_caller]
    fn assert_little(&self, what: &str) {
        let grown = resident_bytes().saturating_sub(self.0);
        assert!(grown < SLACK, "{what}: it grew by {grown} bytes");
    }
}

fn resident_bytes() -> u64 {
    let statm = procfs::process::Process::myself().and_then(|it| it.statm());
    statm.expect("a process").resident * procfs::page_size()
}
