//! The rows of a table: one list, whatever the columns are.

use super::calls::{call, copied, created_unseen, in_kernel, p50, p99, per_page, resident, tables};
use super::cells::{
    accounted, accounted_per_connection, address_space_time, address_spaces, blocked, cpu,
    cpu_per_request, created, depth, errors, first_run, flushes, if_any, latency, latency_max,
    marginal, mean_blocked, mean_tasks, own, reserved, sent_late, shootdown, slice, stolen,
    switches, switches_per_request, throughput, wait, wait_max, wait_total, waiting_share,
};
use super::client_cells::{
    booking_retries, lost_by_crash, on_locks_per_request, oversold, serves_again, set_up, stall,
};
use super::column::Column;
use super::counter_cells::{hardware, software, task_clock};
use super::fault_cells::{
    fault_class, fault_p50, faults, faults_not_shown, faults_per_request, huge_page_splits,
    other_faults,
};
use super::figures::Figure;
use super::footnotes::Footnotes;
use super::grid;
use super::switch_latency::{self, between_spaces, p50_of, raw_p50_of, same_space};
use super::units;
use super::user_space_cells::{alive, begun, mean_time, per_request, per_second, timed};

type Cell = fn(&Column<'_>) -> Figure;

/// Groups of rows: a heading, and labels with the figure each shows.
const GROUPS: &[(&str, &[(&str, Cell)])] = &[
    (
        "What clients saw",
        &[
            ("throughput", throughput),
            ("latency p50", |c| {
                latency(c, |s| s.latency_p50_seconds.as_ref())
            }),
            ("latency p99", |c| {
                latency(c, |s| s.latency_p99_seconds.as_ref())
            }),
            ("latency max", latency_max),
            ("connect to answer p50", |c| set_up(c, |l| l.p50_seconds)),
            ("connect to answer p99", |c| set_up(c, |l| l.p99_seconds)),
            ("oversold seats", oversold),
            ("purchases tried again", booking_retries),
            ("beside 100 ms of CPU p50", |c| {
                stall(c, |s| s.with, |d| d.p50_seconds)
            }),
            ("beside 100 ms of CPU max", |c| {
                stall(c, |s| s.with, |d| d.max_seconds)
            }),
            ("the same, undisturbed, p50", |c| {
                stall(c, |s| s.without, |d| d.p50_seconds)
            }),
            ("lost by a crash", lost_by_crash),
            ("serves again after", serves_again),
            ("sent late by p50", |c| {
                sent_late(c, |s| s.send_lateness_p50_seconds.as_ref())
            }),
            ("sent late by p99", |c| {
                sent_late(c, |s| s.send_lateness_p99_seconds.as_ref())
            }),
            ("errors, unanswered", errors),
        ],
    ),
    (
        "Scheduler",
        &[
            ("switches per request", switches_per_request),
            ("switches, voluntary", |c| switches(c, |s| s.voluntary)),
            ("switches, involuntary", |c| switches(c, |s| s.involuntary)),
            ("run-queue wait p50", |c| wait(c, |d| d.p50_seconds)),
            ("run-queue wait p99", |c| wait(c, |d| d.p99_seconds)),
            ("run-queue wait max", wait_max),
            ("run-queue wait total", wait_total),
            ("on-CPU slice p50", |c| slice(c, |d| d.p50_seconds)),
            ("on-CPU slice p99", |c| slice(c, |d| d.p99_seconds)),
            ("run-queue depth mean", depth),
            ("blocked p50", |c| blocked(c, |d| d.p50_seconds)),
            ("blocked p99", |c| blocked(c, |d| d.p99_seconds)),
            ("on locks, per request", on_locks_per_request),
        ],
    ),
    (
        "In user space",
        &[
            ("tasks alive at the end", alive),
            ("tasks begun", begun),
            ("switches per request", per_request),
            ("switches", per_second),
            ("switch took, mean", mean_time),
            ("switches timed", timed),
        ],
    ),
    (
        "Tasks blocked, mean",
        &[
            ("on events", |c| mean_blocked(c, "event_wait")),
            ("on locks", |c| mean_blocked(c, "lock")),
            ("on semaphores", |c| mean_blocked(c, "semaphore")),
            ("on sockets", |c| mean_blocked(c, "socket")),
            ("on pipes", |c| mean_blocked(c, "pipe")),
            ("on the disk", |c| mean_blocked(c, "disk")),
            ("on io_uring", |c| mean_blocked(c, "io_uring")),
            ("on timers", |c| mean_blocked(c, "timer")),
            ("on children", |c| mean_blocked(c, "child")),
            ("on page faults", |c| mean_blocked(c, "page_fault")),
            ("on other things", |c| mean_blocked(c, "other")),
        ],
    ),
    (
        "Address spaces",
        &[
            ("switches, TLB kept", |c| {
                address_spaces(c, |switches| switches.tlb_kept)
            }),
            ("switches, TLB flushed", |c| {
                address_spaces(c, |switches| switches.tlb_flushed)
            }),
            ("kept, time p50", |c| {
                address_space_time(c, |switches| &switches.tlb_kept_time)
            }),
            ("flushed, time p50", |c| {
                address_space_time(c, |switches| &switches.tlb_flushed_time)
            }),
            ("shootdowns sent", |c| flushes(c, "shootdown_sent")),
            ("shootdowns received", |c| flushes(c, "shootdown_received")),
            ("shootdown took p50", |c| shootdown(c, |d| d.p50_seconds)),
            ("shootdown took p99", |c| shootdown(c, |d| d.p99_seconds)),
        ],
    ),
    (
        "Direct switch latency",
        &[
            ("same space p50", |c| same_space(c, |l| l.p50_seconds)),
            ("same space p90", |c| same_space(c, |l| l.p90_seconds)),
            ("same space p99", |c| same_space(c, |l| l.p99_seconds)),
            ("  voluntary p50", |c| {
                p50_of(c, |l| &l.same_address_space.voluntary)
            }),
            ("  preempted p50", |c| {
                p50_of(c, |l| &l.same_address_space.preempted)
            }),
            ("  as recorded p50", |c| {
                raw_p50_of(c, |l| &l.same_address_space.all)
            }),
            ("between spaces p50", |c| {
                between_spaces(c, |l| l.p50_seconds)
            }),
            ("between spaces p90", |c| {
                between_spaces(c, |l| l.p90_seconds)
            }),
            ("between spaces p99", |c| {
                between_spaces(c, |l| l.p99_seconds)
            }),
            ("  voluntary p50", |c| {
                p50_of(c, |l| &l.different_address_space.voluntary)
            }),
            ("  preempted p50", |c| {
                p50_of(c, |l| &l.different_address_space.preempted)
            }),
            ("  as recorded p50", |c| {
                raw_p50_of(c, |l| &l.different_address_space.all)
            }),
            ("with idle p50", |c| p50_of(c, |l| &l.idle.all)),
            ("kernel threads p50", |c| {
                p50_of(c, |l| &l.kernel_thread.all)
            }),
            ("switches timed", switch_latency::timed),
        ],
    ),
    (
        "Tasks",
        &[
            ("alive at the end", |c| {
                Figure::Value(units::count(c.tasks as f64))
            }),
            ("processes created", |c| created(c, |k| k.process.count)),
            ("vforks", |c| if_any(created(c, |k| k.vfork.count))),
            ("threads created", |c| created(c, |k| k.thread.count)),
            ("io_uring workers", |c| {
                if_any(created(c, |k| k.io_worker.count))
            }),
            ("first run after p50", |c| first_run(c, |d| d.p50_seconds)),
            ("first run after p99", |c| first_run(c, |d| d.p99_seconds)),
            ("fork call p50", |c| call(c, |l| &l.fork, p50)),
            ("fork call p99", |c| call(c, |l| &l.fork, p99)),
            ("resident at fork", |c| call(c, |l| &l.fork, resident)),
            ("page tables at fork", |c| call(c, |l| &l.fork, tables)),
            ("fork, per page", |c| call(c, |l| &l.fork, per_page)),
            ("spawn call p50", |c| call(c, |l| &l.spawn, p50)),
            ("spawn call p99", |c| call(c, |l| &l.spawn, p99)),
            ("pthread_create p50", |c| call(c, |l| &l.thread, p50)),
            ("pthread_create p99", |c| call(c, |l| &l.thread, p99)),
            ("clone call p50", |c| call(c, |l| &l.clone, p50)),
            ("clone call p99", |c| call(c, |l| &l.clone, p99)),
            ("created unseen", created_unseen),
            ("fork in kernel p50", |c| in_kernel(c, |l| &l.fork, p50)),
            ("fork in kernel p99", |c| in_kernel(c, |l| &l.fork, p99)),
            ("of it, copies p50", |c| copied(c, |d| d.p50_seconds)),
            ("spawn in kernel p50", |c| in_kernel(c, |l| &l.spawn, p50)),
            ("spawn in kernel p99", |c| in_kernel(c, |l| &l.spawn, p99)),
            ("thread in kernel p50", |c| in_kernel(c, |l| &l.thread, p50)),
            ("thread in kernel p99", |c| in_kernel(c, |l| &l.thread, p99)),
            ("clone in kernel p50", |c| in_kernel(c, |l| &l.clone, p50)),
            ("clone in kernel p99", |c| in_kernel(c, |l| &l.clone, p99)),
        ],
    ),
    (
        "Page faults",
        &[
            ("minor", |c| faults(c, |f| f.minor)),
            ("major", |c| if_any(faults(c, |f| f.major))),
            ("per request", faults_per_request),
            ("copies on write", |c| fault_class(c, "cow_copy")),
            ("copy p50", |c| fault_p50(c, "cow_copy")),
            ("reuses on write", |c| fault_class(c, "cow_reuse")),
            ("reuse p50", |c| fault_p50(c, "cow_reuse")),
            ("fills with zeros", |c| fault_class(c, "zero_fill")),
            ("zero fill p50", |c| fault_p50(c, "zero_fill")),
            ("huge fills", |c| fault_class(c, "zero_fill_huge")),
            ("huge pages split", huge_page_splits),
            ("of files", |c| fault_class(c, "file")),
            ("of files, written", |c| fault_class(c, "file_write")),
            ("of shared memory", |c| fault_class(c, "shared")),
            ("other classes", other_faults),
            ("by class", faults_not_shown),
        ],
    ),
    (
        "Memory",
        &[
            ("one more connection", marginal),
            ("one more reserves", reserved),
            ("accounted/connection", accounted_per_connection),
            ("own, each process", own),
            ("anonymous", |c| accounted(c, |a| a.anonymous_bytes)),
            ("page tables", |c| accounted(c, |a| a.page_table_bytes)),
            ("kernel stacks", |c| {
                accounted(c, |a| Some(a.kernel_stack_bytes))
            }),
            ("reserved", |c| accounted(c, |a| a.reserved_bytes)),
        ],
    ),
    (
        "CPU",
        &[
            ("CPU time", cpu),
            ("CPU per request", cpu_per_request),
            ("tasks running, mean", |c| {
                mean_tasks(c, |t| t.running_seconds)
            }),
            ("tasks waiting, mean", |c| {
                mean_tasks(c, |t| t.runnable_seconds)
            }),
            ("of both, waiting", waiting_share),
            ("stolen by hypervisor", stolen),
        ],
    ),
    (
        "Perf counters",
        &[
            ("context switches", |c| software(c, |s| s.context_switches)),
            ("migrations", |c| software(c, |s| s.cpu_migrations)),
            ("page faults", |c| software(c, |s| s.page_faults)),
            ("task clock", task_clock),
            ("cycles", |c| hardware(c, |h| h.cycles)),
            ("instructions", |c| hardware(c, |h| h.instructions)),
            ("dTLB misses, loads", |c| {
                hardware(c, |h| h.dtlb_load_misses)
            }),
            ("cache misses", |c| hardware(c, |h| h.cache_misses)),
        ],
    ),
];

/// The rows of these columns. A row that no column has is left out, as is a heading without rows.
pub(super) fn rows(columns: &[Column<'_>], footnotes: &mut Footnotes) -> Vec<grid::Row> {
    let mut rows = Vec::new();
    for &(heading, group) in GROUPS {
        let mut opened = false;
        for (label, cell) in group {
            let figures: Vec<_> = columns.iter().map(cell).collect();
            if figures.iter().all(|figure| *figure == Figure::Absent) {
                continue;
            }
            if !opened {
                rows.push(grid::Row::Heading(heading.to_owned()));
                opened = true;
            }
            let cells = figures.into_iter().map(|figure| footnotes.cell(figure));
            rows.push(grid::Row::Figures(
                std::iter::once(format!("  {label}")).chain(cells).collect(),
            ));
        }
    }
    rows
}
