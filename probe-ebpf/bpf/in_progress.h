/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* The state that a task is in at this moment, which no switch has reported yet. */
#ifndef CONNSCOPE_IN_PROGRESS_H
#define CONNSCOPE_IN_PROGRESS_H

#include "watch.h"

/*
 * Now, by the run-queue clock. Nothing reads that clock afresh, so a pass takes it once, just after
 * its caller yielded (which updates it), and adds the time that has passed since.
 */
static __always_inline __u64 clock_now(struct control *control, __u64 seq_num)
{
	if (seq_num == 0) {
		control->base_clock = task_rq(untrusted(bpf_get_current_task_btf()))->clock;
		control->base_time = bpf_ktime_get_ns();
		return control->base_clock;
	}
	return control->base_clock + (bpf_ktime_get_ns() - control->base_time);
}

/* Adds what the task has done since its last switch-out; returns its state. */
static __always_inline enum task_state add_in_progress(struct totals *totals, struct task_struct *task,
						       struct task_entry *entry, __u64 now)
{
	__u32 reason = entry->reason;
	__u64 *blocked = &totals->blocked[reason < REASONS ? reason : REASON_OTHER];
	__u64 since = entry->end;
	__u64 arrivals = task->sched_info.pcount - entry->pcount;
	__u64 arrival = task->sched_info.last_arrival;
	__u64 queued = is_asleep(task) ? 0 : task->sched_info.last_queued;
	__u64 wait = wait_since(task, entry);

	if (arrivals) {
		totals->unseen += arrivals - 1;
		totals->runnable += wait;
		if (since && arrival > since + wait)
			*blocked += arrival - since - wait;
		if (now > arrival)
			totals->running += now - arrival;
		return STATE_RUNNING;
	}
	if (!since) /* new: queued for the first time, or about to be */
		since = queued ? queued : now;
	if (now < since)
		now = since;
	if (entry->assigned_running) {
		totals->running += now - since;
		return STATE_RUNNING;
	}
	if (queued && now > queued && entry->run_delay != RUN_DELAY_UNKNOWN)
		wait += now - queued;
	if (wait > now - since)
		wait = now - since;
	totals->runnable += wait;
	*blocked += now - since - wait;
	return queued ? STATE_RUNNABLE : STATE_BLOCKED;
}

#endif
