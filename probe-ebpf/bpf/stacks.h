/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Stacks, told apart by a number, and how often and how long each was seen. */
#ifndef CONNSCOPE_STACKS_H
#define CONNSCOPE_STACKS_H

#include "watch.h"
#include "abi_stacks.h"
#include "pids.h"

/* So many stacks may come at once before the budget is asked. */
enum { STACK_BURST = 64 };
enum { EEXIST = 17 };

/* The frames of stacks that user space has not taken yet. Made at load, since none can be at a switch. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct stack_frames);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct stack_key);
	__type(value, struct stack_count);
} stack_counts SEC(".maps");

/* A task that has left its CPU, and its books then. */
struct off_cpu {
	__u64 started; /* tells it from a later one at the same address */
	__u64 stack;
	__u64 image;
	__u64 asleep; /* for this reason */
	__u64 waiting;
	__u32 tgid;
	__u32 group;
	__u32 reason;
	__u32 of; /* the same, or enum stack_of */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64); /* address of the task */
	__type(value, struct off_cpu);
} off_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_control);
} stack_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_losses);
} stack_losses SEC(".maps");

/* A stack being taken, with interrupts off: by one program on each CPU at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_frames);
} taking SEC(".maps");

struct stack_budget {
	__u64 refilled; /* by the clock of the run queue */
	__u64 credit;	/* nanoseconds, of which a stack costs an interval */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_budget);
} stack_budget SEC(".maps");

/* Adds to a counter of enum-like name in this CPU's losses. */
#define COUNT_STACK_LOSS(field, by)						\
	({									\
		__u32 __zero = 0;						\
		struct stack_losses *__lost = bpf_map_lookup_elem(&stack_losses, &__zero); \
		if (__lost)							\
			__lost->field += (by);					\
	})

/* Whether one more stack is within the budget of this CPU. */
static __always_inline bool within_budget(struct stack_control *control, __u64 clock)
{
	__u32 zero = 0;
	struct stack_budget *budget = bpf_map_lookup_elem(&stack_budget, &zero);
	__u64 most = control->interval * STACK_BURST;

	if (!budget)
		return false;
	budget->credit += clock - budget->refilled;
	budget->refilled = clock;
	if (budget->credit > most)
		budget->credit = most;
	if (budget->credit < control->interval)
		return false;
	budget->credit -= control->interval;
	return true;
}

/* Two different stacks out of a million have the same number once in some 30 million times. */
static __always_inline __u64 mixed(__u64 number, __u64 with)
{
	number = (number ^ with) * 0x9e3779b97f4a7c15ULL;
	return number ^ (number >> 29);
}

static __always_inline __u64 number_of(struct stack_frames *frames)
{
	__u64 number = mixed(frames->kernel, (__u64)frames->user << 32);

	for (__u32 at = 0; at < STACK_KERNEL_FRAMES && at < frames->kernel; at++)
		number = mixed(number, frames->kernel_frames[at]);
	for (__u32 at = 0; at < STACK_USER_FRAMES && at < frames->user; at++)
		number = mixed(number, frames->user_frames[at]);
	return number < STACK_IDS ? number + STACK_IDS : number;
}

/* Keeps a stack for user space to take, and returns its number. */
static __always_inline __u64 keep_stack(struct stack_frames *frames)
{
	__u64 number;
	long error;

	if (!frames->kernel && !frames->user)
		return STACK_UNREADABLE;
	number = number_of(frames);
	if (bpf_map_lookup_elem(&stacks, &number))
		return number;
	error = bpf_map_update_elem(&stacks, &number, frames, BPF_NOEXIST);
	if (!error || error == -EEXIST)
		return number;
	COUNT_STACK_LOSS(stacks, 1);
	return STACK_LOST;
}

/* Takes the stack of the current task, in the kernel and in user space, and returns its number. */
static __always_inline __u64 take_stack(void *context)
{
	__u32 zero = 0;
	struct stack_frames *frames = bpf_map_lookup_elem(&taking, &zero);
	long bytes;

	if (!frames)
		return STACK_UNREADABLE;
	bytes = bpf_get_stack(context, frames->kernel_frames, sizeof(frames->kernel_frames), 0);
	frames->kernel = bytes > 0 ? bytes / sizeof(__u64) : 0;
	bytes = bpf_get_stack(context, frames->user_frames, sizeof(frames->user_frames), BPF_F_USER_STACK);
	frames->user = bytes > 0 ? bytes / sizeof(__u64) : 0;
	return keep_stack(frames);
}

/* Whether it could be counted. */
static __always_inline bool add_stack(struct stack_key *key, __u64 asleep, __u64 waiting)
{
	struct stack_count *count = bpf_map_lookup_elem(&stack_counts, key);

	if (!count) {
		struct stack_count none = {};

		bpf_map_update_elem(&stack_counts, key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&stack_counts, key);
	}
	if (!count)
		return false;
	__sync_fetch_and_add(&count->times, 1);
	__sync_fetch_and_add(&count->asleep, asleep);
	__sync_fetch_and_add(&count->waiting, waiting);
	return true;
}

/*
 * Tells what a process has mapped at which place: a number that it shares with the processes that it forks, until
 * they execute another program. User space makes it of /proc/PID/stat.
 */
static __always_inline __u64 image_of(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;

	if (!mm)
		return 0;
	return mixed(mixed(mixed(0, mm->start_code), mm->end_code), mm->start_stack);
}

/* The process of a task, as the reader of the stacks numbers it. */
static __always_inline __u32 process_of(struct task_struct *task)
{
	return reader_level ? pid_here(BPF_CORE_READ(task, group_leader, thread_pid)) : (__u32)task->tgid;
}

static __always_inline struct stack_control *stack_control_block(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stack_control, &zero);
}

#endif
