//! Putting tasks on the watch list.

#[path = "support/workload.rs"]
mod workload;

use probe_ebpf::{Assignment, GroupRule, Options, Watch};
use workload::*;

#[test]
fn every_task_is_added_once() {
    for threads in [0, 3, 200, sized(5_000).into()] {
        let workload = Workload::new(|| {
            for _ in 0..threads {
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
            }
            || ()
        });
        let options = Options {
            only: only(&[]),
            ..Options::default()
        };
        let mut watch = Watch::load(&[GroupRule::default()], &options).expect("probes load");
        let process = Assignment {
            pid: workload.pid,
            main_group: 0,
            thread_group: 0,
            process_group: 0,
            unsettled: false,
        };
        assert_eq!(watch.add(process).expect("it can be watched"), threads + 1);
        assert_eq!(
            tasks(&watch.read().expect("read")).count() as u64,
            threads + 1
        );
    }
}
