// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Where watched tasks run, sampled, and where they leave their CPU, with the time until they are back. How long a
 * task slept or waited is the growth of its books, which the program of sched.bpf.c has brought up to date
 * at the same switch, just before: so the sums are those of the books.
 */
#include "stacks.h"
#include "in_progress.h"
#include "prepare.h"

enum { TRIES = 8 };

/* The books of the task being looked at, its state and its stack, by the one pass at a time that there is. */
static struct totals books;
static enum task_state state;
static struct stack_frames sleeping;

static __always_inline __u32 reason_of(struct task_entry *entry)
{
	return entry->reason < REASONS ? entry->reason : REASON_OTHER;
}

static __always_inline __u64 grown(__u64 now, __u64 before)
{
	return now > before ? now - before : 0;
}

/* Counts the time that a task was off its CPU, by its books now. */
static __always_inline void account(struct off_cpu *was, __u64 asleep, __u64 waiting, __u64 turn)
{
	struct stack_key key = {
		.stack = was->stack,
		.image = was->image,
		.tgid = was->tgid,
		.group = was->group,
		.of = was->of,
		.turn = turn,
	};

	asleep = grown(asleep, was->asleep);
	waiting = grown(waiting, was->waiting);
	/* A task that ran as the first stacks were taken has been nowhere. */
	if (!asleep && !waiting && was->stack == STACK_BEFORE)
		return;
	if (add_stack(&key, asleep, waiting))
		return;
	COUNT_STACK_LOSS(sleeps, 1);
	COUNT_STACK_LOSS(time, asleep + waiting);
}

/* The time that a task which is new waited until it first ran: it has no stack yet. */
static __always_inline void account_new(struct task_struct *task, struct task_entry *entry, __u64 waiting,
					__u64 turn)
{
	struct off_cpu was = {
		.stack = STACK_NEW,
		.image = image_of(task),
		.tgid = process_of(task),
		.group = entry->group,
		.of = STACK_PREEMPTED,
	};

	account(&was, 0, waiting, turn);
}

/* Remembers where the task leaves its CPU. */
static __always_inline void leave(void *context, struct task_struct *task, struct task_entry *entry,
				  struct stack_control *control, bool sleeps, struct off_cpu *into)
{
	into->started = task->start_time;
	into->image = image_of(task);
	into->tgid = process_of(task);
	into->group = entry->group;
	into->reason = reason_of(entry);
	into->of = sleeps ? into->reason : STACK_PREEMPTED;
	into->asleep = entry->blocked[into->reason];
	into->waiting = entry->runnable;
	into->stack = within_budget(control, entry->end) ? take_stack(context) : STACK_OVER_BUDGET;
}

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state)
 *
 * Seen on 6.1, 6.12, 6.18. Attached after the program of sched.bpf.c, so called after it.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_stack_switch, bool preempt, struct task_struct *prev)
{
	struct task_entry *entry = watched_entry(prev);
	struct stack_control *control = stack_control_block();
	struct off_cpu *was, now = {};
	__u64 key = (__u64)prev;

	if (!entry || !control)
		return 0;
	if (entry->end != task_rq(prev)->clock)
		COUNT_STACK_LOSS(order, 1);
	was = bpf_map_lookup_elem(&off_cpu, &key);
	if (was && was->started == prev->start_time) {
		__u32 reason = was->reason;

		if (reason < REASONS)
			account(was, entry->blocked[reason], entry->runnable, control->turn);
	} else if (!entry->base_pcount && entry->pcount <= 1 + entry->unseen) {
		account_new(prev, entry, entry->runnable, control->turn);
	}
	if (prev->__state & TASK_DEAD) {
		bpf_map_delete_elem(&off_cpu, &key);
		return 0;
	}
	leave(ctx, prev, entry, control, !preempt && prev->__state, &now);
	if (bpf_map_update_elem(&off_cpu, &key, &now, BPF_ANY))
		COUNT_STACK_LOSS(tasks, 1);
	return 0;
}

/*
 * The perf software event cpu-clock, on each CPU, at a timer interrupt; seen on 6.1, 6.12, 6.18. The current task is
 * the one that was interrupted.
 */
SEC("perf_event")
int on_stack_tick(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_entry *entry = watched_entry(task);
	struct stack_control *control = stack_control_block();
	struct stack_key key = {};

	if (!entry || !control)
		return 0;
	key.image = image_of(task);
	key.tgid = process_of(task);
	key.group = entry->group;
	key.of = STACK_ON_CPU;
	key.turn = control->turn;
	key.stack = take_stack(ctx);
	if (!add_stack(&key, 0, 0))
		COUNT_STACK_LOSS(samples, 1);
	return 0;
}

/* One reading of a task's books, for bpf_loop: one pass for the verifier. */
struct looking {
	struct task_struct *task;
	struct task_entry *entry;
	__u64 now;
};

static long look_once(__u32 try, struct looking *looking)
{
	volatile struct task_entry *stamps = looking->entry;
	__u64 end = stamps->end;

	barrier();
	entry_totals(&books, looking->task, looking->entry);
	state = add_in_progress(&books, looking->task, looking->entry, looking->now);
	barrier();
	return stamps->begin == end;
}

/* Reads the books of a task, the state in progress included; returns its entry, if it is watched. */
static __always_inline struct task_entry *look(struct bpf_iter__task *ctx, struct task_struct *task,
					       struct control *control)
{
	struct looking looking = {
		.task = task,
		.entry = find_entry(task),
		.now = clock_now(control, ctx->meta->seq_num),
	};

	if (!looking.entry)
		return NULL;
	bpf_loop(TRIES, look_once, &looking, 0);
	return looking.entry;
}

/*
 * The stack of a task that sleeps, in the kernel: in user space it could be read by the task alone. What is read of
 * one that has woken meanwhile is left.
 */
static __always_inline __u64 sleeping_stack(struct task_struct *task)
{
	long bytes;

	if (state != STATE_BLOCKED)
		return STACK_BEFORE;
	bytes = bpf_get_task_stack(task, sleeping.kernel_frames, sizeof(sleeping.kernel_frames), 0);
	sleeping.kernel = bytes > 0 ? bytes / sizeof(__u64) : 0;
	if (!sleeping.kernel || task->on_cpu || !is_asleep(task))
		return STACK_BEFORE;
	return keep_stack(&sleeping);
}

/* Whether it was created under watch, and has not left a CPU since. */
static __always_inline bool is_new(struct task_entry *entry)
{
	return !entry->end;
}

/* Notes the books of a task that has not left a CPU since stacks are taken. */
static __always_inline void note(struct bpf_iter__task *ctx, bool new_ones)
{
	struct task_struct *task = ctx->task;
	struct control *control = control_block();
	struct off_cpu now = {};
	struct task_entry *entry;
	__u64 key = (__u64)task;

	if (!task || !control)
		return;
	entry = look(ctx, task, control);
	if (!entry || task->exit_state || (is_new(entry) && !new_ones))
		return;
	now.started = task->start_time;
	now.stack = sleeping_stack(task);
	now.image = image_of(task);
	now.tgid = process_of(task);
	now.group = entry->group;
	now.reason = reason_of(entry);
	now.of = now.reason;
	now.asleep = books.blocked[now.reason];
	now.waiting = books.runnable;
	if (bpf_map_update_elem(&off_cpu, &key, &now, BPF_NOEXIST) && !bpf_map_lookup_elem(&off_cpu, &key))
		COUNT_STACK_LOSS(tasks, 1);
}

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.12, 6.18. Run once stacks are taken. What new tasks have waited by then is before.
 */
SEC("iter/task")
int on_stacks_begin(struct bpf_iter__task *ctx)
{
	note(ctx, true);
	return 0;
}

/* int bpf_iter_task(...): the same. Run as tasks come to the watch later; of new ones all time counts. */
SEC("iter/task")
int on_stacks_added(struct bpf_iter__task *ctx)
{
	note(ctx, false);
	return 0;
}

/* int bpf_iter_task(...): the same. Run once no more stacks are taken: counts what is in progress. */
SEC("iter/task")
int on_stacks_end(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct control *control = control_block();
	struct stack_control *stack_control = stack_control_block();
	struct task_entry *entry;
	struct off_cpu *was;
	__u64 key = (__u64)task;
	__u32 reason;

	if (!task || !control || !stack_control)
		return 0;
	entry = look(ctx, task, control);
	if (!entry)
		return 0;
	was = bpf_map_lookup_elem(&off_cpu, &key);
	if (!was || was->started != task->start_time) {
		if (is_new(entry))
			account_new(task, entry, books.runnable, stack_control->turn);
		return 0;
	}
	reason = was->reason;
	if (reason < REASONS)
		account(was, books.blocked[reason], books.runnable, stack_control->turn);
	bpf_map_delete_elem(&off_cpu, &key);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
