// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * What watched tasks do, one by one and when, into a ring: switches with the books of the task that leaves, creations,
 * shootdowns. Loaded when asked for, and attached for as long.
 *
 * The program at sched_switch is attached behind the one that keeps the books, and hands over what these say: two
 * records of a task that follow each other have its time between them by state. If one is lost, the next has it.
 */
#include "watch.h"
#include "abi_timeline.h"
#include "pids.h"

/* TASK_UNINTERRUPTIBLE, include/linux/sched.h */
enum { SLEEPS_FOR_GOOD = 0x2 };

/* The switch under way on a CPU, where its end is seen, and how long the last one took. */
struct timeline_gap {
	__u64 next; /* the task that comes, or has come */
	__u64 first;
	__u64 second;
	__u32 ns;
	__u32 own_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timeline_gap);
} timeline_gaps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timeline_counts);
} timeline_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* set at load */
} timeline_records SEC(".maps");

static __always_inline struct timeline_gap *gap_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&timeline_gaps, &zero);
}

static __always_inline struct timeline_counts *timeline_counts_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&timeline_counts, &zero);
}

/* Room for a record, or NULL, which is counted. Nobody is woken: records are fetched by the clock. */
static __always_inline void *timeline_room(__u64 size)
{
	void *record = bpf_ringbuf_reserve(&timeline_records, size, 0);
	struct timeline_counts *counts;

	if (record)
		return record;
	counts = timeline_counts_here();
	if (counts)
		counts->no_room++;
	return NULL;
}

/* Ids as the reader numbers them. A thread that makes its last switch may have lost its own: 0 then. */
static __always_inline void write_ids(struct task_struct *task, __u32 *pid, __u32 *tid)
{
	if (reader_level) {
		*tid = pid_here(BPF_CORE_READ(task, thread_pid));
		*pid = pid_here(BPF_CORE_READ(task, group_leader, thread_pid));
	} else {
		*tid = task->pid;
		*pid = task->tgid;
	}
}

/* The books of a task as of its last switch-out. */
static __always_inline void write_books(struct timeline_switch *record, struct task_struct *task,
					struct task_entry *entry)
{
	record->kind = TIMELINE_SWITCH;
	record->task = (__u64)task;
	record->started = task->start_time;
	record->clock = entry->end;
	record->running = entry->running;
	record->runnable = entry->runnable;
	record->blocked = 0;
	for (int reason = 0; reason < REASONS; reason++)
		record->blocked += entry->blocked[reason];
	record->arrivals = entry->pcount - entry->base_pcount;
	record->reason = entry->reason;
	record->group = entry->group;
	record->gap_ns = 0;
	record->own_ns = 0;
	write_ids(task, &record->pid, &record->tid);
	__builtin_memcpy(record->comm, task->comm, sizeof(record->comm));
}

static __always_inline __u32 how_it_left(struct task_struct *task, bool preempt, __u32 state)
{
	if (task->__state & TASK_DEAD)
		return LEFT_FOR_GOOD;
	if (preempt || !task->__state)
		return LEFT_RUNNABLE;
	return state & SLEEPS_FOR_GOOD ? LEFT_UNINTERRUPTIBLE : LEFT_ASLEEP;
}

static __always_inline void record_switch(struct task_struct *task, struct task_entry *entry, __u32 left,
					  struct timeline_gap *gap)
{
	struct timeline_switch *record;
	struct timeline_counts *counts;

	/* The books were not kept: the kernel did not run their program, or runs it after this one. */
	if (entry->end != task_rq(task)->clock) {
		counts = timeline_counts_here();
		if (counts)
			counts->not_booked++;
		return;
	}
	record = timeline_room(sizeof(*record));
	if (!record)
		return;
	write_books(record, task, entry);
	record->cpu = bpf_get_smp_processor_id();
	record->left = left;
	record->unused = 0;
	if (gap && gap->next == (__u64)task) {
		record->gap_ns = gap->ns;
		record->own_ns = gap->own_ns;
	}
	record->at = bpf_ktime_get_ns();
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state)
 *
 * Seen on 6.1, 6.18. Attached after the program that keeps the books.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	struct task_entry *entry = watched_entry(prev);
	struct timeline_gap *gap;

	if (!entry && !next->bpf_storage)
		return 0;
	gap = gap_here();
	if (!gap)
		return 0;
	if (entry)
		record_switch(prev, entry, how_it_left(prev, preempt, prev_state), gap);
	gap->next = (__u64)next;
	gap->ns = 0;
	gap->own_ns = 0;
	gap->second = 0;
	gap->first = bpf_ktime_get_ns();
	return 0;
}

/*
 * The same hook, attached next: where the end of a switch is seen. From the first stamp to this one the kernel does nothing
 * but leave one program and enter another, as it does between this one and the end.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_stamped)
{
	struct timeline_gap *gap = gap_here();

	if (gap && gap->first)
		gap->second = bpf_ktime_get_ns();
	return 0;
}

/*
 * void sched_exit_tp(bool is_switch)
 *
 * Since 6.16, seen on 6.18. Called at the end of __schedule(), by the task that has come, with preemption disabled. A
 * new task does not return from there, it begins.
 */
SEC("tp_btf/sched_exit_tp")
int BPF_PROG(on_switch_over, bool is_switch)
{
	struct timeline_gap *gap = gap_here();
	__u64 now;

	if (!gap || !gap->first)
		return 0;
	now = bpf_ktime_get_ns();
	if (is_switch && gap->second && gap->next == (__u64)bpf_get_current_task()) {
		gap->ns = now - gap->second;
		gap->own_ns = gap->second - gap->first;
	}
	gap->first = 0;
	return 0;
}

/*
 * void task_newtask(struct task_struct *task, u64 clone_flags)
 *
 * Seen on 6.1 (clone_flags: unsigned long), 6.18. Called in the creator, before the task is first queued.
 */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_creation, struct task_struct *task, __u64 clone_flags)
{
	struct task_struct *creator = bpf_get_current_task_btf();
	struct task_entry *entry = watched_entry(creator);
	struct timeline_creation *record;

	if (!entry)
		return 0;
	record = timeline_room(sizeof(*record));
	if (!record)
		return 0;
	record->kind = TIMELINE_CREATION;
	record->cpu = bpf_get_smp_processor_id();
	record->creator = (__u64)creator;
	record->flags = clone_flags;
	record->task = (__u64)task;
	record->started = task->start_time;
	record->io_worker = !!(task->flags & PF_IO_WORKER);
	entry = watched_entry(task);
	record->group = entry ? entry->group : NO_GROUP;
	write_ids(task, &record->pid, &record->tid);
	__builtin_memcpy(record->comm, task->comm, sizeof(record->comm));
	record->at = bpf_ktime_get_ns();
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/*
 * void tlb_flush(int reason, unsigned long pages)
 *
 * Seen on 6.1, 6.18. Called for every flush; in an interrupt it is the task that was interrupted.
 */
SEC("tp_btf/tlb_flush")
int BPF_PROG(on_shootdown, int reason, unsigned long pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct timeline_shootdown *record;

	if (reason != FLUSH_SHOOTDOWN_RECEIVED && reason != FLUSH_SHOOTDOWN_SENT)
		return 0;
	if (!watched_entry(task))
		return 0;
	record = timeline_room(sizeof(*record));
	if (!record)
		return 0;
	record->kind = TIMELINE_SHOOTDOWN;
	record->cpu = bpf_get_smp_processor_id();
	record->task = (__u64)task;
	record->pages = pages;
	record->sent = reason == FLUSH_SHOOTDOWN_SENT;
	record->unused = 0;
	record->at = bpf_ktime_get_ns();
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* The task being read, by the one pass at a time that there is. */
static struct timeline_switch standing;

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.18. Writes of each watched task what is known since its last switch-out. Of one that switches meanwhile
 * nothing: its record is in the ring.
 */
SEC("iter/task")
int on_standing(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	volatile struct task_entry *stamps;
	struct task_entry *entry;
	__u64 end;

	if (!task)
		return 0;
	if (ctx->meta->seq_num == 0)
		note_reader();
	entry = find_entry(task);
	if (!entry)
		return 0;
	stamps = entry;
	end = stamps->end;
	barrier();
	write_books(&standing, task, entry);
	standing.cpu = task_rq(task)->cpu;
	standing.left = LEFT_RUNNABLE;
	standing.unused = 0;
	standing.at = 0;
	barrier();
	if (stamps->begin == end && stamps->claim != CLAIM_ENDED)
		bpf_seq_write(ctx->meta->seq, &standing, sizeof(standing));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
