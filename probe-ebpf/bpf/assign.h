/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Which of the tasks that run already are watched: those of the processes assigned, and their descendants. */
#ifndef CONNSCOPE_ASSIGN_H
#define CONNSCOPE_ASSIGN_H

#include "watch.h"
#include "pids.h"
#include "reasons.h"
#include "in_progress.h"

enum { ANCESTORS_MAX = 1024 };

/* The processes to put on the watch list, by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct assignment);
} assignments SEC(".maps");

/* Returns whether the task is on the watch list by this. */
static __always_inline bool watch_task(struct task_struct *task, __u32 group, bool unsettled,
				       struct control *control, __u64 now)
{
	struct task_entry entry = { .group = group, .unsettled = unsettled }, *made;
	__u64 queued = task->sched_info.last_queued;
	bool added = false;

	entry.begin = now;
	entry.end = now;
	entry.pcount = task->sched_info.pcount;
	entry.base_pcount = entry.pcount;
	entry.run_delay = task->sched_info.run_delay;
	/* A wait under way began before the watch: only what comes after counts. */
	if (queued && is_asleep(task))
		entry.run_delay = RUN_DELAY_UNKNOWN;
	else if (queued && queued < now)
		entry.run_delay += now - queued;
	entry.assigned_running = !queued && task->on_cpu;
	entry.reason = REASON_UNKNOWN;
	if (entry.assigned_running || (queued && !is_asleep(task)))
		entry.reason |= AWAKE;
	entry.base_nvcsw = task->nvcsw;
	entry.base_nivcsw = task->nivcsw;
	entry.base_cpu = task->se.sum_exec_runtime;
	entry.base_minor_faults = task->min_flt;
	entry.base_major_faults = task->maj_flt;
	made = watch(task, &entry);
	if (!made) {
		count_loss(LOSS_STORAGE);
	} else if (made->begin == now && made->end == now) { /* not made by its creator meanwhile */
		control->assigned++;
		added = true;
	}
	/* If its last switch came before the entry could be found, nobody else will end the watch. */
	if (made && task->__state & TASK_DEAD) {
		struct task_entry *left = entry_of(task);

		if (left && __sync_lock_test_and_set(&left->claim, CLAIM_ENDED) != CLAIM_ENDED)
			leave_slot(task, left);
	}
	return added;
}

/* The walk from a process to its ancestors, for bpf_loop: one pass for the verifier. */
struct ancestry {
	struct task_struct *process;
	__u32 is_main;
	__u32 found;
	__u32 group;
	__u32 unsettled;
};

static long step_to_parent(__u32 generation, struct ancestry *walk)
{
	struct task_struct *process = walk->process;
	__u32 pid = pid_here(BPF_CORE_READ(process, thread_pid));
	struct assignment *assignment = bpf_map_lookup_elem(&assignments, &pid);

	if (assignment) {
		walk->found = 1;
		walk->unsettled = assignment->unsettled;
		if (generation)
			walk->group = assignment->process_group;
		else if (walk->is_main)
			walk->group = assignment->main_group;
		else
			walk->group = assignment->thread_group;
		return 1;
	}
	walk->process = BPF_CORE_READ(process, real_parent, group_leader);
	return BPF_CORE_READ(process, pid) <= 1;
}

/*
 * Says why a task sleeps that slept already when it was put on the watch list. In the pass after that one:
 * in the same, the verifier would follow each reason through all that is left to do.
 */
static __always_inline void find_reason(struct task_struct *task, struct task_entry *entry)
{
	if (entry->reason == REASON_UNKNOWN && !task->on_cpu && task->__state)
		__sync_val_compare_and_swap(&entry->reason, REASON_UNKNOWN, sleep_reason(task, entry, false));
}

/* Watches the task if its process, or the nearest ancestor of it, is one of those assigned; returns
 * whether it is watched by this. */
static __always_inline bool assign_task(struct task_struct *task, struct control *control, __u64 now)
{
	struct ancestry walk = {
		.process = BPF_CORE_READ(task, group_leader),
		.is_main = task->pid == task->tgid,
	};
	struct task_entry *entry = find_entry(task);

	if (entry)
		find_reason(task, entry);
	if (entry || task->exit_state || (task->__state & TASK_DEAD))
		return false;
	bpf_loop(ANCESTORS_MAX, step_to_parent, &walk, 0);
	return walk.found && watch_task(task, walk.group, walk.unsettled, control, now);
}

#endif
