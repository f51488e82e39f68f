//! Page faults one by one, in windows: class, mode and latency.

use super::{
    Context, MapSize, Measure, Part, Probe,
    fault_windows::{Closed, End, FaultWindows},
};
use crate::{
    Error,
    abi::{self, Plain, fault_counts, histogram},
    fault_sample::CLASSES,
    sample::{GroupSample, Loss, WindowTime},
    windows::{Windowed, Windows},
};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use std::sync::{Arc, Mutex, PoisonError};

/// The programs at the beginning and at the end of faults.
pub static PROBE: Probe = Probe {
    name: "faults",
    object: object!("faults"),
    hooks: &[
        "tp_btf/page_fault_user",
        "tp_btf/page_fault_kernel",
        "fexit/handle_mm_fault, or tp_btf/count_memcg_events or perf page-faults-min",
        "perf page-faults-maj without the first",
    ],
    map_sizes: &[
        MapSize {
            map: "fault_counts",
            entries: |groups| groups,
        },
        MapSize {
            map: "fault_latency",
            entries: |groups| groups * CLASSES as u32,
        },
    ],
    essential: false,
    measures: &[Measure {
        name: "fault_classes",
        method: METHODS[0],
    }],
    start: Some(start),
};

const METHODS: [&str; 3] = [
    "in windows, from tp_btf/page_fault_user or page_fault_kernel to fexit/handle_mm_fault, which says \
     whether it was major; class by error code, mapping (bpf_find_vma) and the CPU's vm_event_states",
    "in windows, from tp_btf/page_fault_user or page_fault_kernel to tp_btf/count_memcg_events; \
     class by error code, mapping (bpf_find_vma) and the CPU's vm_event_states; major by the perf \
     event page-faults-maj",
    "in windows, from tp_btf/page_fault_user or page_fault_kernel to the perf events \
     page-faults-min and page-faults-maj on each CPU; class by error code, mapping (bpf_find_vma) \
     and the CPU's vm_event_states",
];
/// Reads what the programs counted.
struct Faults {
    windows: Windows,
    time: Option<WindowTime>,
    counts: MapHandle,
    latency: MapHandle,
    programs: Vec<u32>,
    end: End,
    closed: Arc<Mutex<Closed>>,
}

fn start(context: &Context<'_>) -> Result<Box<dyn Part>, Error> {
    let mut windows = FaultWindows::load(context)?;
    let counts = windows.loaded.handle("fault_counts")?;
    let latency = windows.loaded.handle("fault_latency")?;
    let (programs, end) = (windows.loaded.program_ids(), windows.end);
    let closed = windows.closed.clone();
    // What cannot be attached is said at once, and a window without end leaves nothing out.
    windows.open()?;
    Ok(Box::new(Faults {
        windows: Windows::start(PROBE.name, context.options.fault_share, windows)?,
        time: None,
        counts,
        latency,
        programs,
        end,
        closed,
    }))
}

impl Part for Faults {
    fn read(&mut self, groups: &mut [GroupSample]) -> Result<Vec<Loss>, Error> {
        self.time = Some(self.windows.time(PROBE.name)?);
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut no_storage, mut no_mapping) = (0, 0);
        for ((number, group), closed) in (0u32..).zip(groups).zip(&closed.samples) {
            group.faults = closed.clone();
            for cpu in read_all::<fault_counts>(&self.counts, "fault_counts", number)? {
                group.faults.add(&cpu);
                no_storage += cpu.no_storage;
                no_mapping += cpu.no_mapping;
            }
            for class in 0..CLASSES {
                let key = number * CLASSES as u32 + class as u32;
                for cpu in read_all::<histogram>(&self.latency, "fault_latency", key)? {
                    group.faults.add_latency(class, &cpu);
                }
            }
        }
        let loss = |what, count| Loss {
            probe: PROBE.name,
            what,
            count,
        };
        Ok(vec![
            closed.skipped.clone(),
            loss("page faults without room to follow them", no_storage),
            loss(
                "page faults of unknown class (their mapping could not be looked up)",
                no_mapping,
            ),
        ])
    }

    fn program_ids(&self) -> Vec<u32> {
        self.programs.clone()
    }

    fn measures(&self) -> Vec<Measure> {
        let method = match self.end {
            End::Returned => METHODS[0],
            End::MemcgEvent => METHODS[1],
            End::PerfEvent => METHODS[2],
        };
        PROBE
            .measures
            .iter()
            .map(|measure| Measure { method, ..*measure })
            .collect()
    }

    fn window(&self) -> Option<WindowTime> {
        self.time.clone()
    }
}

fn read_all<T: Plain>(map: &MapHandle, name: &'static str, key: u32) -> Result<Vec<T>, Error> {
    let failed = |source| Error::Read {
        probe: PROBE.name,
        object: name,
        source,
    };
    let cpus = map
        .lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY)
        .map_err(failed)?
        .unwrap_or_default();
    Ok(cpus
        .iter()
        .filter_map(|bytes| abi::from_bytes(bytes))
        .collect())
}
