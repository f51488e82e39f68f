/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The perf events that record the switches of a CPU. */
#ifndef CONNSCOPE_PERF_H
#define CONNSCOPE_PERF_H

#include "watch.h"

enum { RECORDERS_MAX = 1024 };
enum perf_event_state { PERF_EVENT_STATE_ACTIVE = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct perf_event_attr {
	__u64 context_switch : 1;
};

struct perf_buffer;

struct perf_event {
	struct perf_event *group_leader;
	enum perf_event_state state;
	struct perf_event_attr attr;
	struct perf_buffer *rb;
	struct list_head sb_list; /* pmu_sb_events of its CPU: all events told of more than they count */
};

#pragma clang attribute pop

/* The perf event behind a descriptor of the current task, which must be one. */
static __always_inline struct perf_event *perf_event_of(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **files = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), &files[fd]);
	return BPF_CORE_READ(file, private_data);
}

struct recorders {
	__u64 first; /* where the walk began */
	__u64 at;
	__u32 active;
};

/*
 * The list goes round through its head, which lies in no event: what is read around that is no group
 * leader's leader.
 */
static __always_inline bool is_event(struct perf_event *event)
{
	struct perf_event *leader = BPF_CORE_READ(event, group_leader);

	return leader && BPF_CORE_READ(leader, group_leader) == leader;
}

static long step_to_recorder(__u32 number, struct recorders *walk)
{
	struct perf_event *event =
		(void *)(walk->at - bpf_core_field_offset(struct perf_event, sb_list));

	/* Without a ring the kernel gives up before the record is filled in. */
	if (is_event(event) && BPF_CORE_READ(event, state) == PERF_EVENT_STATE_ACTIVE &&
	    BPF_CORE_READ(event, rb) && BPF_CORE_READ_BITFIELD_PROBED(event, attr.context_switch))
		walk->active++;
	walk->at = (__u64)BPF_CORE_READ(event, sb_list.next);
	return !walk->at || walk->at == walk->first;
}

/* How many events record the switches of the CPU that this event is of, itself included if it does. */
static __always_inline __u32 active_recorders(struct perf_event *event)
{
	struct recorders walk = {};

	if (!event)
		return 0;
	walk.first = (__u64)event + bpf_core_field_offset(struct perf_event, sb_list);
	walk.at = walk.first;
	bpf_loop(RECORDERS_MAX, step_to_recorder, &walk, 0);
	return walk.active;
}

#endif
