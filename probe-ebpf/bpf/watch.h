/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The watch list: which tasks are watched, in which group, and what each was seen to do.
 *
 * It is task-local storage. The iterator puts the first tasks on it, task_newtask their children;
 * sched_switch keeps the books of a task at each switch-out and closes them at its last one; the
 * kernel frees the storage with the task. Every object declares these maps; that of lists.bpf.c makes
 * them, the others are given its file descriptors.
 *
 * Looking a task up in task storage is a call, which on CPUs with slow returns (Safe RET) costs as
 * much as all the rest of a switch. So an entry lies in an array, at the place its pid tells, while no
 * other task's entry is there; only then is it in the storage itself. The storage has the
 * last word: it says whether a task is watched and where its entry is.
 *
 * Books are exact while tasks come and go during a snapshot. Each task is claimed once, by the
 * snapshot that visits it or by its death, whichever comes first (an atomic exchange). The totals of a
 * task that dies unvisited while a snapshot is under way are kept apart, since the snapshot read
 * the settled ones before it set out:
 *
 *   snapshot = ENDED_SETTLED before the visit + the visited tasks + ENDED_DURING_VISIT after it
 */
#ifndef CONNSCOPE_WATCH_H
#define CONNSCOPE_WATCH_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "read_at.h"

enum { SLOTS = 16384 };
/* The owner of a place in the array while an entry is being made there. */
#define SLOT_TAKEN 1ULL
/* The claim of a task that has ended; snapshots are numbered from 1. */
#define CLAIM_ENDED (~0ULL)
/* The `run_delay` of an entry whose task has been taken for one that waits while it slept. It is above all that
 * a task may have waited, so what it waits until its next switch-out comes out as 0. */
#define RUN_DELAY_UNKNOWN (~0ULL >> 1)

/* What each switch touches comes first, in two cache lines. */
struct task_entry {
	__u64 owner; /* in the array: address of the task, 0 for none, or SLOT_TAKEN */
	__u32 group;
	__u8 assigned_running; /* on a CPU when first watched: no arrival precedes its first switch-out */
	__u8 unsettled;        /* may have a settlement that gives it another group */
	__u16 in_slot;          /* in the storage: 1 + the place of the entry in the array, 0 for none */
	/* A writer sets `begin` first and `end` last, both to the clock of the switch: a reader that
	 * reads them the other way round and finds them equal has read one state. */
	__u64 begin;
	__u64 end;
	/* As of the last switch-out (or of the assignment): the kernel's own bookkeeping. */
	__u64 run_delay;
	__u64 pcount;
	__u64 born; /* CLOCK_MONOTONIC of its creation if that was seen and it has not left a CPU since */
	__u64 running;
	__u64 runnable;
	__u64 file_operations; /* f_op of the kind of file it slept on last, and the reason that means */
	__u32 file_reason;
	__u32 reason; /* why it sleeps, or slept last */
	__u64 blocked[REASONS];
	__u64 unseen;
	/* As of the assignment; zero for a task created under watch. */
	__u64 base_pcount;
	__u64 base_nvcsw;
	__u64 base_nivcsw;
	__u64 base_cpu;
	__u64 base_minor_faults;
	__u64 base_major_faults;
	__u64 claim;   /* the last snapshot that visited it, or CLAIM_ENDED */
	__u64 visited; /* the last snapshot that visited it before it ended */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_entry);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct task_entry);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct group_stats);
} groups SEC(".maps");

/* The sleeps of a group by reason: at group * REASONS + reason. Apart from the rest, since a value of a
 * per-CPU map has at most 32 KB. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups times REASONS */
	__type(key, __u32);
	__type(value, struct histogram);
} sleeps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct losses);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct task_key);
	__type(value, struct settlement);
} settlements SEC(".maps");

/*
 * The last switch on this CPU: from the program at sched_switch, which knows whose it is and whether it changes the
 * address space, to the one at tlb_flush, which knows whether the TLB is flushed, and back when the task leaves its CPU.
 */
struct address_space_switch {
	__u64 next;    /* the task switched to, if it may be watched */
	__u32 changed; /* whether that changes the address space */
	__u32 flushed; /* and whether the entries of the new one were gone */
	/* Of one change in CHANGES_TIMED: the task that left, its group, and CLOCK_MONOTONIC then. */
	__u64 previous;
	__u64 began;
	__u32 group;
	__u32 changes; /* since one had its time taken */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct address_space_switch);
} switched SEC(".maps");

static __always_inline struct address_space_switch *switch_on_this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&switched, &zero);
}

/*
 * At a switch from one task to another, of which the latter may be watched if it has storage. As the kernel does: a
 * thread of its own borrows the address space that it finds, and to come back to that is no change.
 */
static __always_inline void expect_address_space(struct address_space_switch *last, struct task_struct *previous,
						 struct task_struct *next)
{
	struct mm_struct *mm = next->mm;

	last->next = next->bpf_storage ? (__u64)next : 0;
	last->changed = mm && mm != previous->active_mm;
	last->flushed = 0;
	last->began = 0;
}

static __always_inline struct task_entry *slot_of(struct task_struct *task)
{
	__u32 slot = task->pid & (SLOTS - 1);

	return bpf_map_lookup_elem(&slots, &slot);
}

/* The slow way: for an entry in the storage, and for a task whose pid is no more what it was (an
 * exec from a thread gives it the pid of its process). */
static __always_inline struct task_entry *watched_entry_by_storage(struct task_struct *task)
{
	struct task_entry *entry = bpf_task_storage_get(&watched, task, NULL, 0);
	__u32 slot;

	if (!entry || !entry->in_slot)
		return entry;
	slot = entry->in_slot - 1;
	entry = bpf_map_lookup_elem(&slots, &slot);
	return entry && entry->owner == (__u64)task ? entry : NULL;
}

/* The entry of a task that has some storage, if it is watched. */
static __always_inline struct task_entry *entry_of(struct task_struct *task)
{
	struct task_entry *entry = slot_of(task);

	if (entry && entry->owner == (__u64)task)
		return entry;
	return watched_entry_by_storage(task);
}

/* The watched entry of a task, or NULL. Costs an unwatched task one load. */
static __always_inline struct task_entry *watched_entry(struct task_struct *task)
{
	return task->bpf_storage ? entry_of(task) : NULL;
}

/* The same on no hot path: quicker to verify, and slower by some nanoseconds. */
static __always_inline struct task_entry *find_entry(struct task_struct *task)
{
	return untrusted(task)->bpf_storage ? entry_of(task) : NULL;
}

/* Puts a task on the watch list. Returns its entry in the storage, or NULL if there is no memory. */
static __always_inline struct task_entry *watch(struct task_struct *task, struct task_entry *initial)
{
	struct task_entry *slot = slot_of(task), *stored;

	if (slot && __sync_val_compare_and_swap(&slot->owner, 0, SLOT_TAKEN) == 0) {
		initial->owner = SLOT_TAKEN;
		initial->in_slot = 1 + (task->pid & (SLOTS - 1));
		*slot = *initial;
	}
	stored = bpf_task_storage_get(&watched, task, initial, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (slot && initial->in_slot)
		slot->owner = stored && stored->in_slot ? (__u64)task : 0;
	return stored;
}

/* Moves the entry of a task that has made its last switch back to its storage. */
static __always_inline void leave_slot(struct task_struct *task, struct task_entry *entry)
{
	struct task_entry *stored = bpf_task_storage_get(&watched, task, NULL, 0);

	if (!stored || stored == entry)
		return;
	*stored = *entry;
	stored->claim = CLAIM_ENDED;
	stored->in_slot = 0;
	entry->owner = 0;
}

static __always_inline struct control *control_block(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline void count_loss(enum loss loss)
{
	__u32 zero = 0;
	struct losses *lost = bpf_map_lookup_elem(&losses, &zero);

	if (lost)
		lost->count[loss]++;
}

/* The books of a task as of its last switch-out, or as they would be if it left its CPU now. */
static __always_inline void entry_totals(struct totals *totals, struct task_struct *task,
					 struct task_entry *entry)
{
	totals->voluntary = task->nvcsw - entry->base_nvcsw;
	totals->involuntary = task->nivcsw - entry->base_nivcsw;
	totals->cpu = task->se.sum_exec_runtime - entry->base_cpu;
	totals->arrivals = task->sched_info.pcount - entry->base_pcount;
	totals->running = entry->running;
	totals->runnable = entry->runnable;
	__builtin_memcpy(totals->blocked, entry->blocked, sizeof(totals->blocked));
	totals->unseen = entry->unseen;
	totals->minor_faults = task->min_flt - entry->base_minor_faults;
	totals->major_faults = task->maj_flt - entry->base_major_faults;
}

/*
 * What the task has waited for a CPU since its last switch-out, as far as it has had one. A wait
 * under way at the assignment was taken off by the clock of another run queue, which may be ahead.
 */
static __always_inline __u64 wait_since(struct task_struct *task, struct task_entry *entry)
{
	__s64 wait = task->sched_info.run_delay - entry->run_delay;

	return wait > 0 ? wait : 0;
}

/*
 * Whether a task sleeps for certain. Since 6.12 one that goes to sleep may stay on the run queue for a while. If it is
 * moved to another CPU then, the kernel stamps `sched_info.last_queued` as if it had woken, and leaves
 * that so until the task next runs.
 */
static __always_inline bool is_asleep(struct task_struct *task)
{
	return !task->on_rq || (bpf_core_field_exists(task->se.sched_delayed) && task->se.sched_delayed);
}

/* The clock of the run queue a task is on; task->se.cfs_rq leads there whatever its class. */
static __always_inline struct rq *task_rq(struct task_struct *task)
{
	return task->se.cfs_rq->rq;
}

#endif
