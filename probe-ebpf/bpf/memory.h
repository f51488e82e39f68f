/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Pages of an address space, resident and reserved, summed as the kernel sums them for /proc/PID/status. */
#ifndef CONNSCOPE_MEMORY_H
#define CONNSCOPE_MEMORY_H

#include "watch.h"

enum { CPUS_MAX = 8192, PAGE_SIZE = 4096 };

/*
 * Since 6.2 resident pages are per-CPU counters, of which `count` alone may lack 32 pages or more
 * for each CPU. The programs cannot name __per_cpu_offset (it is not in kallsyms unless the kernel
 * was built with KALLSYMS_ALL); a per-CPU map tells it, since its base and the address of each
 * CPU's copy can both be read. The verifier does arithmetic on neither pointer, but on a number
 * read from memory, so each copy holds its own address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} anchor SEC(".maps");

static volatile __u64 anchor_map;

struct percpu_walk {
	__u64 counters;
	__u64 base;
	__s64 sum;
};

static long add_share(__u32 cpu, struct percpu_walk *walk)
{
	__u32 zero = 0;
	__s32 share = 0;
	volatile __u64 *copy = bpf_map_lookup_percpu_elem(&anchor, &zero, cpu);

	if (!copy) /* past the last CPU */
		return 1;
	*copy = (__u64)copy;
	bpf_probe_read_kernel(&share, sizeof(share), (void *)(walk->counters + (*copy - walk->base)));
	walk->sum += share;
	return 0;
}

static __always_inline __s64 percpu_counter_sum(struct percpu_counter *counter)
{
	struct bpf_array *array;
	struct percpu_walk walk = {
		.counters = (__u64)BPF_CORE_READ(counter, counters),
		.sum = BPF_CORE_READ(counter, count),
	};

	anchor_map = (__u64)&anchor;
	array = (struct bpf_array *)anchor_map;
	bpf_core_read(&walk.base, sizeof(walk.base), &array->pptrs);
	bpf_loop(CPUS_MAX, add_share, &walk, 0);
	return walk.sum;
}

static __always_inline __s64 resident_bytes(struct mm_struct *mm, int kind)
{
	struct mm_struct___v61 *old = (void *)mm;

	if (bpf_core_field_exists(old->rss_stat.count))
		return BPF_CORE_READ(old, rss_stat.count[kind].counter) * PAGE_SIZE;
	/* The size of an element is the kernel's, not that of our shortened type. */
	return percpu_counter_sum((void *)mm + bpf_core_field_offset(struct mm_struct, rss_stat) +
				  kind * bpf_core_type_size(struct percpu_counter)) *
	       PAGE_SIZE;
}

static __always_inline void read_memory(struct task_record *record, struct mm_struct *mm)
{
	record->anonymous_bytes = resident_bytes(mm, MM_ANONPAGES);
	record->file_bytes = resident_bytes(mm, MM_FILEPAGES);
	record->shared_bytes = resident_bytes(mm, MM_SHMEMPAGES);
	record->page_table_bytes = mm->pgtables_bytes.counter;
	record->reserved_bytes = (mm->data_vm + mm->stack_vm) * PAGE_SIZE;
}

/*
 * Until 6.1 a thread hands its pages on to its address space only after 64 events, and
 * /proc/PID/status does without the rest: where each connection has a thread, that may be all that
 * a connection holds.
 */
static __always_inline __s64 pending_bytes(struct task_struct *task, int kind)
{
	struct task_struct___v61 *old = (void *)task;

	if (!bpf_core_field_exists(old->rss_stat.count))
		return 0;
	return (__s64)BPF_CORE_READ(old, rss_stat.count[kind]) * PAGE_SIZE;
}

static __always_inline void read_pending(struct task_record *record, struct task_struct *task)
{
	record->pending_anonymous_bytes = pending_bytes(task, MM_ANONPAGES);
	record->pending_file_bytes = pending_bytes(task, MM_FILEPAGES);
	record->pending_shared_bytes = pending_bytes(task, MM_SHMEMPAGES);
}

#endif
