// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The iterator over all tasks: puts processes on the watch list, and reads the watched tasks with
 * the state each is in at that moment, which no switch has reported yet.
 */
#include "memory.h"
#include "reasons.h"
#include "pids.h"

enum { ANCESTORS_MAX = 1024, READ_TRIES = 8 };

/* The processes to put on the watch list, by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct assignment);
} assignments SEC(".maps");

/* The address space of the task visited last; threads of a process are visited together. */
static __u64 last_mm;

/*
 * Now, by the run-queue clock. Nothing reads that clock afresh, so a pass takes it once, just after
 * its caller yielded (which updates it), and adds the time that has passed since.
 */
static __always_inline __u64 clock_now(struct control *control, __u64 seq_num)
{
	if (seq_num == 0) {
		control->base_clock = task_rq(bpf_get_current_task_btf())->clock;
		control->base_time = bpf_ktime_get_ns();
		return control->base_clock;
	}
	return control->base_clock + (bpf_ktime_get_ns() - control->base_time);
}

static __always_inline void watch_task(struct task_struct *task, __u32 group, struct control *control,
				       __u64 now)
{
	struct task_entry entry = { .group = group }, *made;
	__u64 queued = task->sched_info.last_queued;

	entry.begin = now;
	entry.end = now;
	entry.pcount = task->sched_info.pcount;
	entry.base_pcount = entry.pcount;
	entry.run_delay = task->sched_info.run_delay;
	/* A wait under way began before the watch: only what comes after counts. */
	if (queued && queued < now)
		entry.run_delay += now - queued;
	entry.assigned_running = !queued && task->on_cpu;
	entry.reason = REASON_UNKNOWN;
	entry.base_nvcsw = task->nvcsw;
	entry.base_nivcsw = task->nivcsw;
	entry.base_cpu = task->se.sum_exec_runtime;
	entry.base_minor_faults = task->min_flt;
	entry.base_major_faults = task->maj_flt;
	made = watch(task, &entry);
	if (!made)
		count_loss(LOSS_STORAGE);
	else if (made->begin == now && made->end == now) /* not made by its creator meanwhile */
		control->assigned++;
	/* If its last switch came before the entry could be found, nobody else will end the watch. */
	if (made && task->__state & TASK_DEAD) {
		struct task_entry *left = watched_entry(task);

		if (left && __sync_lock_test_and_set(&left->claim, CLAIM_ENDED) != CLAIM_ENDED)
			leave_slot(task, left);
	}
}

/* The walk from a process to its ancestors, for bpf_loop: one pass for the verifier. */
struct ancestry {
	struct task_struct *process;
	__u32 is_main;
	__u32 found;
	__u32 group;
};

static long step_to_parent(__u32 generation, struct ancestry *walk)
{
	struct task_struct *process = walk->process;
	__u32 pid = pid_here(BPF_CORE_READ(process, thread_pid));
	struct assignment *assignment = bpf_map_lookup_elem(&assignments, &pid);

	if (assignment) {
		walk->found = 1;
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

/* Watches the task if its process, or the nearest ancestor of it, is one of those assigned. */
static __always_inline void assign_task(struct task_struct *task, struct control *control, __u64 now)
{
	struct ancestry walk = {
		.process = BPF_CORE_READ(task, group_leader),
		.is_main = task->pid == task->tgid,
	};
	struct task_entry *entry = watched_entry(task);

	if (entry)
		find_reason(task, entry);
	if (entry || task->exit_state || (task->__state & TASK_DEAD))
		return;
	bpf_loop(ANCESTORS_MAX, step_to_parent, &walk, 0);
	if (walk.found)
		watch_task(task, walk.group, control, now);
}

/* Adds what the task has done since its last switch-out to `record->totals`, and says its state. */
static __always_inline void add_in_progress(struct task_record *record, struct task_struct *task,
					    struct task_entry *entry, __u64 now)
{
	struct totals *totals = &record->totals;
	__u32 reason = entry->reason;
	__u64 *blocked = &totals->blocked[reason < REASONS ? reason : REASON_OTHER];
	__u64 since = entry->end;
	__u64 arrivals = task->sched_info.pcount - entry->pcount;
	__u64 arrival = task->sched_info.last_arrival;
	__u64 queued = task->sched_info.last_queued;
	__u64 wait = wait_since(task, entry);

	if (arrivals) {
		record->state = STATE_RUNNING;
		totals->unseen += arrivals - 1;
		totals->runnable += wait;
		if (since && arrival > since + wait)
			*blocked += arrival - since - wait;
		if (now > arrival)
			totals->running += now - arrival;
		return;
	}
	if (!since) /* new: queued for the first time, or about to be */
		since = queued ? queued : now;
	if (now < since)
		now = since;
	if (entry->assigned_running) {
		record->state = STATE_RUNNING;
		totals->running += now - since;
		return;
	}
	record->state = queued ? STATE_RUNNABLE : STATE_BLOCKED;
	if (queued && now > queued)
		wait += now - queued;
	if (wait > now - since)
		wait = now - since;
	totals->runnable += wait;
	*blocked += now - since - wait;
}

/* One reading of a task's books, for bpf_loop: one pass for the verifier. */
struct reading {
	struct task_record *record;
	struct task_struct *task;
	struct task_entry *entry;
	__u64 now;
	__u64 whole;
};

/* If the task makes its last switch meanwhile, its slot may be another's at once: the next try looks
 * where its entry is then. */
static long read_once(__u32 try, struct reading *reading)
{
	struct task_struct *task = reading->task;
	struct task_entry *entry = try ? watched_entry(task) : reading->entry;
	volatile struct task_entry *stamps = entry;
	__u64 claim, end;

	if (!entry)
		return 1;
	claim = stamps->claim;
	end = stamps->end;
	barrier();
	entry_totals(&reading->record->totals, task, entry);
	if (claim == CLAIM_ENDED) /* before its totals were read: these are the last */
		reading->record->state = STATE_BLOCKED;
	else
		add_in_progress(reading->record, task, entry, reading->now);
	barrier();
	/* A slot that has changed hands does not come back to the same task. */
	reading->whole = stamps->claim == claim && (claim == CLAIM_ENDED || stamps->begin == end) &&
			 (!stamps->in_slot || stamps->owner == (__u64)task);
	return reading->whole;
}

/* Reads totals and the state in progress as of one moment between two switches. */
static __always_inline void read_totals(struct task_record *record, struct task_struct *task,
					struct task_entry *entry, __u64 now)
{
	struct reading reading = { .record = record, .task = task, .entry = entry, .now = now };

	bpf_loop(READ_TRIES, read_once, &reading, 0);
	if (!reading.whole)
		count_loss(LOSS_TORN);
}

/* True if this snapshot is to report the task; see watch.h on claims. */
static __always_inline bool claim_task(struct task_entry *entry, __u64 epoch)
{
	__u64 claim = entry->claim;

	/* Nobody but the end of the task changes a claim while a snapshot is under way. */
	if (claim == CLAIM_ENDED || __sync_val_compare_and_swap(&entry->claim, claim, epoch) != claim)
		return entry->visited == epoch; /* visited again, since its record did not fit the buffer */
	entry->visited = epoch;
	return true;
}

/* THREAD_SIZE. Kernels built without the union in BTF have the default of their architecture. */
static __always_inline __u64 kernel_stack_bytes(void)
{
	if (bpf_core_type_exists(union thread_union))
		return bpf_core_type_size(union thread_union);
	return 16384; /* x86-64 and arm64 */
}

static __always_inline void read_task(struct seq_file *seq, struct task_struct *task,
				      struct control *control, __u64 now)
{
	struct task_entry *entry = watched_entry(task);
	struct task_record record = {};
	struct mm_struct *mm;

	if (!entry || !claim_task(entry, control->epoch))
		return;
	record.pid = pid_here(BPF_CORE_READ(task, group_leader, thread_pid));
	record.tid = pid_here(BPF_CORE_READ(task, thread_pid));
	record.group = entry->group;
	record.started = task->start_time;
	record.at = control->base_time + (now - control->base_clock);
	record.kernel_stack_bytes = kernel_stack_bytes();
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	read_totals(&record, task, entry, now);
	mm = task->mm;
	if (mm) {
		record.mm = (__u64)mm;
		if (record.mm != last_mm)
			read_memory(&record, mm);
		read_pending(&record, task);
		last_mm = record.mm;
	}
	bpf_seq_write(seq, &record, sizeof(record));
}

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.12, 6.18, 7.3. Called for each task of the reader's PID namespace, and once without a
 * task at the end.
 */
SEC("iter/task")
int on_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct control *control = control_block();
	__u64 now;

	if (!task || !control)
		return 0;
	if (ctx->meta->seq_num == 0) {
		note_reader();
		learn_registers(control, bpf_get_current_task_btf());
		last_mm = 0;
	}
	now = clock_now(control, ctx->meta->seq_num);
	if (control->mode == MODE_ASSIGN)
		assign_task(task, control, now);
	else
		read_task(ctx->meta->seq, task, control, now);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
