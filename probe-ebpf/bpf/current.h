/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Whether the current task can be on the watch list, without a call: to ask the kernel for the current
 * task is one until 7.0, and on CPUs with slow returns (Safe RET) a tenth of what a program costs the
 * faults of others. The kernel has it in a per-CPU variable, which BTF places; see faults.h on how it is
 * found.
 */
#ifndef CONNSCOPE_CURRENT_H
#define CONNSCOPE_CURRENT_H

#include "watch.h"

/* In place of an address: what lay there was not the current task. */
enum { NOT_FOUND = 1 };

/* Where this CPU has its current task; 0 if that was not looked for yet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} current_at SEC(".maps");

/* Makes sure that it is there, as it is for one CPU so for all times. */
static __always_inline void find_current(__u64 *at, __s64 distance_from_queue)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 place = (__u64)BPF_CORE_READ(task, se.cfs_rq, rq) + distance_from_queue, found = 0;

	bpf_probe_read_kernel(&found, sizeof(found), (void *)place);
	*at = found == (__u64)task ? place : NOT_FOUND;
}

/* False only if the current task is not watched. Distances are in bytes, 0 if BTF has none. */
static __always_inline bool may_be_watched(__s64 distance_from_queue)
{
	__u32 zero = 0;
	__u64 *at, task;

	/* What reads without a call; see read_at.h. */
	if (!bpf_core_enum_value_exists(enum bpf_attach_type, BPF_TCX_INGRESS) || !distance_from_queue)
		return true;
	at = bpf_map_lookup_elem(&current_at, &zero);
	if (!at)
		return true;
	if (!*at)
		find_current(at, distance_from_queue);
	if (*at == NOT_FOUND)
		return true;
	task = READ_AT(llist_head, *at, first);
	return READ_AT(task_struct, task, bpf_storage);
}

#endif
