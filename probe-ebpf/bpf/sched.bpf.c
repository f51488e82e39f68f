// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Run-queue wait, on-CPU slice, blocked time and run-queue depth, at the switch that takes a task
 * off its CPU, from the scheduler's own stamps.
 */
#include "watch.h"
#include "histogram.h"
#include "reasons.h"

/*
 * One change of address space in so many has its time taken. A prime, so that tasks that take turns, as two
 * or a power of two of them do, all have theirs taken and not always the same one.
 */
enum { CHANGES_TIMED = 61 };

static __always_inline __u32 runnable_tasks(struct rq *rq)
{
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		return rq->cfs.h_nr_runnable;
	return rq->nr_running;
}

static __always_inline void totals_add(struct totals *sum, const struct totals *one)
{
	sum->voluntary += one->voluntary;
	sum->involuntary += one->involuntary;
	sum->cpu += one->cpu;
	sum->running += one->running;
	sum->runnable += one->runnable;
	for (int reason = 0; reason < REASONS; reason++)
		sum->blocked[reason] += one->blocked[reason];
	sum->arrivals += one->arrivals;
	sum->unseen += one->unseen;
	sum->minor_faults += one->minor_faults;
	sum->major_faults += one->major_faults;
}

/*
 * A sleep that is over, on what the task was seen to begin it. A task that did not sleep has such a time too if it
 * was moved from one run queue to another, as long as it was on neither: that is no sleep, and has no sample.
 */
static __always_inline void add_sleep(struct task_entry *entry, __u64 time)
{
	__u32 reason = entry->reason < REASONS ? entry->reason : REASON_OTHER;
	__u32 place = entry->group * REASONS + reason;
	struct histogram *sleeps_of_reason = bpf_map_lookup_elem(&sleeps, &place);

	if (!sleeps_of_reason)
		return;
	if (!(entry->reason & AWAKE))
		histogram_add(sleeps_of_reason, time);
	entry->blocked[reason] += time;
}

/* Counts the change of address space that brought the task here, and now and then times the next. */
static __always_inline void follow_address_space(struct task_struct *task, struct task_struct *next,
						 struct task_entry *entry, struct group_stats *group)
{
	struct address_space_switch *last = switch_on_this_cpu();

	if (!last)
		return;
	if (last->next == (__u64)task && last->changed) {
		if (last->flushed)
			group->tlb.flushed++;
		else
			group->tlb.kept++;
	}
	expect_address_space(last, task, next);
	if (!last->changed || ++last->changes < CHANGES_TIMED)
		return;
	last->changes = 0;
	last->previous = (__u64)task;
	last->group = entry->group;
	last->began = bpf_ktime_get_ns();
}

/* The books of a task are closed at its last switch, which comes after sched_process_exit. */
static __always_inline void close_entry(struct task_struct *task, struct task_entry *entry,
					struct group_stats *group)
{
	struct control *control = control_block();
	struct ended_totals *ended;
	struct totals totals;
	__u64 claim;

	claim = __sync_lock_test_and_set(&entry->claim, CLAIM_ENDED);
	if (!control || claim == CLAIM_ENDED)
		return;
	ended = &group->ended[ENDED_SETTLED];
	if (control->visiting && claim != control->epoch)
		ended = &group->ended[ENDED_DURING_VISIT];
	ended->tasks++;
	entry_totals(&totals, task, entry);
	totals_add(&ended->totals, &totals);
	leave_slot(task, entry);
}

/*
 * Gives a task the group that user space has found to be its own. By the task itself, as it leaves its
 * CPU: between two switches nothing of it changes, and its last one is no exception.
 */
static __always_inline void settle(struct task_struct *task, struct task_entry *entry, bool voluntary)
{
	struct task_key key = { .task = (__u64)task, .started = task->start_time };
	struct settlement *settlement = bpf_map_lookup_elem(&settlements, &key);

	if (!settlement)
		return;
	settlement->voluntary = task->nvcsw - entry->base_nvcsw;
	settlement->involuntary = task->nivcsw - entry->base_nivcsw;
	/* The kernel has counted the switch under way, which will be in the new group's histograms. One with a
	 * signal pending is voluntary too, though since 6.14 its task shows as running: taken for the other kind
	 * then, unless there has been none. */
	if (settlement->voluntary && (voluntary || !settlement->involuntary))
		settlement->voluntary--;
	else if (settlement->involuntary)
		settlement->involuntary--;
	settlement->arrivals = entry->pcount - entry->base_pcount;
	settlement->unseen = entry->unseen;
	entry->group = settlement->group;
	entry->unsettled = 0;
	settlement->taken = 1;
}

/*
 * From the creation of a task to its first run. No clock can be read that is the run queue's: where
 * the two run apart (an unstable TSC), the task's wait, a part of the time, is the least it was.
 */
static __always_inline __u64 first_run(__u64 born, __u64 slice, __u64 wait)
{
	__s64 time = bpf_ktime_get_ns() - born - slice;

	return time > (__s64)wait ? time : wait;
}

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state)
 *
 * Seen on 6.1, 6.12, 6.18, 7.3. Called with the run queue locked and its clock updated, before
 * sched_info_switch(): the stamps of `prev` are still those of the run that ends here.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	struct task_entry *entry = watched_entry(prev);
	struct group_stats *group;
	struct rq *rq;
	__u64 clock, arrival, arrivals, slice, wait, since;
	__s64 blocked;
	__u32 depth;

	if (!entry) {
		struct address_space_switch *last = next->bpf_storage ? switch_on_this_cpu() : NULL;

		if (last)
			expect_address_space(last, prev, next);
		return 0;
	}
	if (entry->unsettled)
		settle(prev, entry, !preempt && (prev_state || prev->__state));
	group = bpf_map_lookup_elem(&groups, &entry->group);
	if (!group)
		return 0;
	rq = task_rq(prev);
	clock = rq->clock;
	since = entry->end;
	entry->begin = clock;

	arrivals = prev->sched_info.pcount - entry->pcount;
	if (arrivals) {
		arrival = prev->sched_info.last_arrival;
		slice = clock - arrival;
		wait = wait_since(prev, entry);
		/* A new task's life begins when it is first queued. */
		blocked = since ? (__s64)(arrival - since - wait) : 0;
		if (blocked < 0) {
			blocked = 0;
			count_loss(LOSS_CLOCK);
		}
		if (entry->run_delay == RUN_DELAY_UNKNOWN)
			count_loss(LOSS_WAIT);
		else
			histogram_add(&group->run_queue_wait, wait);
		histogram_add(&group->on_cpu_slice, slice);
		entry->runnable += wait;
		if (blocked)
			add_sleep(entry, blocked);
		if (arrivals > 1)
			entry->unseen += arrivals - 1;
		if (entry->born) {
			histogram_add(&group->first_run, first_run(entry->born, slice, wait));
			entry->born = 0;
		}
	} else {
		/* Put on the list while it ran, by the clock of another run queue, which may be ahead. */
		slice = clock > since ? clock - since : 0;
	}
	entry->assigned_running = 0;
	entry->running += slice;
	entry->pcount += arrivals;
	entry->run_delay = prev->sched_info.run_delay;

	depth = runnable_tasks(rq);
	group->run_queue_depth[depth < DEPTH_BUCKETS ? depth : DEPTH_BUCKETS - 1]++;

	if (!preempt && prev->__state)
		entry->reason = sleep_reason(prev, entry, true);
	else
		entry->reason |= AWAKE;
	entry->end = clock;
	follow_address_space(prev, next, entry, group);
	/* Last, since it gives the slot of the entry away. */
	if (prev->__state & TASK_DEAD)
		close_entry(prev, entry, group);
	return 0;
}

/*
 * void sched_migrate_task(struct task_struct *p, int dest_cpu)
 *
 * Seen on 6.12, 6.18, 7.3; left out where the kernel has no sched_delayed. Called for a task that wakes elsewhere, and
 * for one that is moved from run queue to run queue: if it sleeps then, the time from now on until it next runs
 * will be in its run_delay, however long it sleeps. When it wakes is not to be known, except by a program
 * at every wake-up; so its wait is left out, and counted as such.
 */
SEC("tp_btf/sched_migrate_task")
int BPF_PROG(on_sched_migrate_task, struct task_struct *task)
{
	struct task_entry *entry;

	if (!bpf_core_field_exists(task->se.sched_delayed) || !task->se.sched_delayed)
		return 0;
	entry = watched_entry(task);
	if (entry)
		entry->run_delay = RUN_DELAY_UNKNOWN;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
