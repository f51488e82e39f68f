/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Calls that create tasks: those under way, by thread, and what is kept of those that returned, by group. */
#ifndef CONNSCOPE_CALLS_H
#define CONNSCOPE_CALLS_H

#include "call_losses.h"
#include "memory.h"
#include "histogram.h"

enum { CALLS_MAX = 4096 };

/* By thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS_MAX);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

/* By group; calls are too slow and rare to need a copy for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* set at load to the number of groups, and one of our own */
	__type(key, __u32);
	__type(value, struct group_calls);
} group_calls SEC(".maps");

/* The programs can be preempted by others of their kind on the same CPU, so all adding is atomic. */
static __always_inline void wide_add(struct wide *sum, __u64 value)
{
	__u64 before = __sync_fetch_and_add(&sum->low, value);

	if (before + value < before)
		__sync_fetch_and_add(&sum->high, 1);
}

static __always_inline void read_caller(struct call *call, struct task_struct *task)
{
	struct mm_struct *mm = untrusted(task)->mm;
	__s64 resident;

	if (!mm)
		return;
	resident = resident_bytes(mm, MM_ANONPAGES) + pending_bytes(task, MM_ANONPAGES) +
		   resident_bytes(mm, MM_FILEPAGES) + pending_bytes(task, MM_FILEPAGES) +
		   resident_bytes(mm, MM_SHMEMPAGES) + pending_bytes(task, MM_SHMEMPAGES);
	call->resident_pages = resident > 0 ? (__u64)resident / PAGE_SIZE : 0;
	call->page_table_bytes = mm->pgtables_bytes.counter;
}

static __always_inline void add_call(struct call_stats *stats, const struct call *call, __u64 time)
{
	shared_histogram_add(&stats->latency, time);
	__sync_fetch_and_add(&stats->resident_pages, call->resident_pages);
	__sync_fetch_and_add(&stats->page_table_bytes, call->page_table_bytes);
	wide_add(&stats->pages_squared, call->resident_pages * call->resident_pages);
	wide_add(&stats->pages_times_ns, call->resident_pages * time);
}

#endif
