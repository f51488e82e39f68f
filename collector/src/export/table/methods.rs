//! How the measures were taken.

use super::part::Note;
use crate::report::Report;
use crate::report::measures::Measures;

type Method = fn(&Measures) -> Option<&String>;

/// What a note calls a measure, and where its method is.
const METHODS: &[(&str, Method)] = &[
    ("clients", |m| Some(&m.client.as_ref()?.method)),
    ("switches", |m| {
        Some(&m.kernel.context_switches.as_ref()?.method)
    }),
    ("in user space", |m| {
        let switches = m.user_space_switches.as_ref()?;
        switches.counted.as_ref().map(|_| &switches.method)
    }),
    ("run-queue wait", |m| {
        Some(&m.kernel.run_queue_wait.as_ref()?.method)
    }),
    ("on-CPU slice", |m| {
        Some(&m.kernel.on_cpu_slice.as_ref()?.method)
    }),
    ("run-queue depth", |m| {
        Some(&m.kernel.run_queue_depth.as_ref()?.method)
    }),
    ("blocked", |m| Some(&m.kernel.blocked.as_ref()?.all.method)),
    ("address spaces", |m| {
        Some(&m.kernel.address_space_switches.as_ref()?.method)
    }),
    ("TLB flushes", |m| {
        Some(&m.kernel.tlb_flushes.as_ref()?.method)
    }),
    ("shootdowns", |m| {
        Some(&m.kernel.shootdown_latency.as_ref()?.method)
    }),
    ("switch latency", |m| {
        Some(&m.kernel.switch_latency.as_ref()?.method)
    }),
    ("creation", |m| Some(&m.kernel.creations.as_ref()?.method)),
    ("first run", |m| {
        Some(&m.kernel.creations.as_ref()?.first_run.as_ref()?.method)
    }),
    ("calls", |m| {
        Some(&m.kernel.creations.as_ref()?.latency.as_ref()?.method)
    }),
    ("calls in the kernel", |m| {
        let creations = m.kernel.creations.as_ref()?;
        Some(&creations.latency_in_kernel.as_ref()?.method)
    }),
    ("page-table copies", |m| {
        let creations = m.kernel.creations.as_ref()?;
        Some(&creations.page_table_copy.as_ref()?.method)
    }),
    ("one more", |m| {
        let marginal = m.kernel.memory.marginal_bytes_per_connection.as_ref()?;
        marginal.value.map(|_| &marginal.method)
    }),
    ("one more reserves", |m| {
        let reserved = m.kernel.memory.reserved_bytes_per_connection.as_ref()?;
        reserved.value.map(|_| &reserved.method)
    }),
    ("accounted", |m| {
        Some(&m.kernel.memory.accounted.as_ref()?.method)
    }),
    ("faults", |m| Some(&m.kernel.faults.as_ref()?.method)),
    ("classes of faults", |m| {
        let classes = m.kernel.faults.as_ref()?.by_class.as_ref()?;
        Some(&classes.values().next()?.latency.method)
    }),
    ("own", |m| Some(&m.kernel.memory.own_bytes.as_ref()?.method)),
    ("software counters", |m| {
        Some(&m.software_counters.as_ref()?.method)
    }),
    ("hardware counters", |m| {
        Some(&m.hardware_counters.as_ref()?.method)
    }),
    ("CPU", |m| Some(&m.kernel.cpu.as_ref()?.method)),
];

/// The method of each measure that some target has.
pub(super) fn methods(report: &Report) -> Vec<Note> {
    let of_any = |method: Method| {
        report
            .targets
            .iter()
            .find_map(|target| method(&target.measures))
    };
    let of_targets = METHODS
        .iter()
        .filter_map(|(about, method)| Some(((*about).to_owned(), of_any(*method)?.clone())));
    let observer = ("observer".to_owned(), report.observer.method.clone());
    // Reports of earlier versions do not say.
    let observer = Some(observer).filter(|(_, method)| !method.is_empty());
    of_targets.chain(observer).collect()
}
