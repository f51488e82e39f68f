// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The TLB: changes of address space with its entries kept or flushed, flushes by reason, shootdowns.
 */
#include "watch.h"
#include "histogram.h"

/* What the kernel passes for all pages: TLB_FLUSH_ALL. */
#define ALL_PAGES (~0UL)

/* From sched_switch of the task that leaves, which is still the current one, to here. */
static __always_inline void time_change(struct address_space_switch *last, struct task_struct *current,
					bool flushed)
{
	struct group_stats *group;
	__u64 time;

	if (!last->began || last->previous != (__u64)current)
		return;
	time = bpf_ktime_get_ns() - last->began;
	last->began = 0;
	group = bpf_map_lookup_elem(&groups, &last->group);
	if (!group)
		return;
	if (flushed)
		histogram_add(&group->tlb.flushed_time, time);
	else
		histogram_add(&group->tlb.kept_time, time);
}

/* A change of address space finds the TLB flushed. */
static __noinline void count_flushed(struct address_space_switch *last)
{
	struct task_struct *current = bpf_get_current_task_btf();

	if (last->next == (__u64)current) /* the same task, in a new address space: exec */
		return;
	time_change(last, current, true);
	/* For a task that comes back to its own too, which had been flushed while a thread of the kernel borrowed it. */
	last->changed = 1;
	last->flushed = 1;
}

/* Entries are kept in a change of address space that is timed. */
static __noinline void time_kept(struct address_space_switch *last)
{
	time_change(last, bpf_get_current_task_btf(), false);
}

static __noinline void count_flush(__u32 reason, unsigned long pages)
{
	struct task_entry *entry = watched_entry(bpf_get_current_task_btf());
	struct group_stats *group;
	struct flushes *flushes;

	if (!entry || reason >= FLUSH_REASONS)
		return;
	group = bpf_map_lookup_elem(&groups, &entry->group);
	if (!group)
		return;
	flushes = &group->tlb.flushes[reason];
	flushes->count++;
	if (pages == ALL_PAGES)
		flushes->whole++;
	else
		flushes->pages += pages;
}

/*
 * void tlb_flush(int reason, unsigned long pages)
 *
 * Seen on 6.1, 6.18, 7.3. Called once for each change of address space, with 0 pages where the tag of its
 * entries (the PCID) was still valid; for each flush on the CPU that flushes, an interrupt's included;
 * and by the CPU that sends a shootdown to others.
 */
SEC("tp_btf/tlb_flush")
int BPF_PROG(on_tlb_flush, int reason, unsigned long pages)
{
	struct address_space_switch *last;

	if (reason != FLUSH_TASK_SWITCH) {
		count_flush(reason, pages);
		return 0;
	}
	/* Entries are kept unless a flush is seen. All that a switch of unwatched tasks pays for is a word of its CPU or two;
	 * it is looked up in each case apart, so that no register has to be saved for `pages` meanwhile. */
	if (pages) {
		last = switch_on_this_cpu();
		if (last && (last->next || last->began))
			count_flushed(last);
	} else {
		last = switch_on_this_cpu();
		if (last && last->began)
			time_kept(last);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
