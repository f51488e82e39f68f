// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * How long switches of watched tasks take, by stamps of our own, in windows: where the kernel has a
 * hook at the end of a switch. Nothing is attached outside windows.
 *
 * Two programs follow each other at the decision, and one stands at the end. From the first stamp to
 * the second the kernel does nothing but to leave one program and to enter another. The same lies
 * between the second and the third, beside the switch: so each switch is measured together with the
 * instrument's share in it, on the same CPU, in the same state of its caches.
 *
 *   sched_switch [.. first] [second ..] the switch [third ..]
 *                         own         gap
 */
#include "watch.h"

/* How far the switch under way on a CPU was followed. */
enum progress { NOT_WATCHED, DECIDED, STAMPED_TWICE };

struct switch_under_way {
	__u64 first;
	__u64 second;
	__u64 next;
	struct switch_record record;
	__u64 progress; /* enum progress */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct switch_under_way);
} under_way SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stamp_counts);
} stamp_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* set at load by the number of CPUs */
} switch_records SEC(".maps");

static __always_inline struct switch_under_way *switch_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&under_way, &zero);
}

static __always_inline struct stamp_counts *counts_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stamp_counts, &zero);
}

/* Nobody is woken: records are fetched by the clock. */
static __always_inline void hand_over(struct switch_record *record)
{
	struct stamp_counts *counts;

	if (!bpf_ringbuf_output(&switch_records, record, sizeof(*record), BPF_RB_NO_WAKEUP))
		return;
	counts = counts_here();
	if (counts)
		counts->no_room++;
}

/* A switch that came from or to a task of which no program was told. */
static __always_inline void count_unseen(void)
{
	struct stamp_counts *counts = counts_here();

	if (counts)
		counts->unmatched++;
}

/* The switch under way, if one is, has not been seen to end. It counts, but without a time. */
static __always_inline void without_end(struct switch_under_way *here)
{
	if (here->progress == STAMPED_TWICE)
		hand_over(&here->record);
	here->progress = NOT_WATCHED;
}

/*
 * Idle counts before kernel threads, these before address spaces. A task that has left its address
 * space for good still has it loaded, and one that comes without any changes none.
 */
static __always_inline __u16 kind_of(struct task_struct *prev, struct task_struct *next)
{
	if (!prev->pid || !next->pid)
		return SWITCH_IDLE;
	if ((prev->flags | next->flags) & PF_KTHREAD)
		return SWITCH_KERNEL_THREAD;
	if (!next->mm || next->mm == prev->active_mm)
		return SWITCH_SAME_SPACE;
	return SWITCH_DIFFERENT_SPACE;
}

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state)
 *
 * Seen on 6.1, 6.18, 7.3. Attached after the program that keeps the books of the watch list, whose
 * time is so before the first stamp.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_decided, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct switch_under_way *here = switch_here();
	struct task_entry *entry = find_entry(prev);
	__u16 flags = 0;

	if (!here)
		return 0;
	without_end(here);
	if (here->next && here->next != (__u64)prev)
		count_unseen();
	here->next = (__u64)next;
	if (entry)
		flags = SWITCH_LEFT;
	else
		entry = find_entry(next);
	if (!entry)
		return 0;
	if (preempt || !prev->__state)
		flags |= SWITCH_PREEMPTED;
	here->record.ns = 0;
	here->record.own_ns = 0;
	here->record.group = entry->group;
	here->record.kind = kind_of(untrusted(prev), untrusted(next));
	here->record.flags = flags;
	here->progress = DECIDED;
	here->first = bpf_ktime_get_ns();
	return 0;
}

/* The same hook, attached next. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_stamped)
{
	struct switch_under_way *here = switch_here();

	if (!here || here->progress != DECIDED)
		return 0;
	here->progress = STAMPED_TWICE;
	here->second = bpf_ktime_get_ns();
	return 0;
}

static __always_inline __u32 short_time(__u64 ns)
{
	return ns >> 32 ? ~0U : ns;
}

static __always_inline void has_come(struct switch_under_way *here, __u64 now, __u64 task)
{
	if (task != here->next)
		return without_end(here);
	here->progress = NOT_WATCHED;
	here->record.ns = short_time(now - here->second);
	here->record.own_ns = short_time(here->second - here->first);
	here->record.flags |= SWITCH_TIMED;
	hand_over(&here->record);
}

/*
 * void sched_exit_tp(bool is_switch)
 *
 * Since 6.16, seen on 6.18, 7.3. Called at the end of __schedule(), by the task that has come,
 * with preemption disabled. A new task does not return from there, it begins.
 */
SEC("tp_btf/sched_exit_tp")
int BPF_PROG(on_returned, bool is_switch)
{
	struct switch_under_way *here = switch_here();
	__u64 now;

	if (!here || here->progress != STAMPED_TWICE)
		return 0;
	now = bpf_ktime_get_ns();
	/* The scheduler was called by such a task, and let it run on. */
	if (!is_switch)
		without_end(here);
	else
		has_come(here, now, bpf_get_current_task());
	return 0;
}

/*
 * struct rq *finish_task_switch(struct task_struct *prev)
 *
 * Seen on 6.1, where the compiler calls it finish_task_switch.isra.0: its arguments are not told, and
 * fentry finds no such function. Called on the stack of the task that has come, its address space
 * being in place; by new tasks too.
 */
SEC("kprobe")
int on_finished(void *ctx)
{
	struct switch_under_way *here = switch_here();
	__u64 now;

	if (!here || here->progress != STAMPED_TWICE)
		return 0;
	now = bpf_ktime_get_ns();
	has_come(here, now, bpf_get_current_task());
	return 0;
}

/*
 * Two empty functions of the kernel that it calls one after the other to test programs: what leaving one
 * kprobe and entering the next takes there.
 */
SEC("kprobe/bpf_fentry_test1")
int on_nothing(void *ctx)
{
	struct stamp_counts *counts = counts_here();

	if (counts)
		counts->on_nothing_began = bpf_ktime_get_ns();
	return 0;
}

SEC("kprobe/bpf_fentry_test2")
int on_nothing_again(void *ctx)
{
	struct stamp_counts *counts = counts_here();
	__u64 now;

	if (!counts)
		return 0;
	now = bpf_ktime_get_ns();
	counts->on_nothing_ns = now - counts->on_nothing_began;
	return 0;
}

/* Never attached: user space runs it, and so has the kernel call those functions. */
SEC("fentry/bpf_fentry_test1")
int call_nothing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
