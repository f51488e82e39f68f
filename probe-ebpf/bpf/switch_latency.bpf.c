// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Who the tasks are that perf's context-switch records name by tid: watched in which group, in which
 * address space; and how many events record the switches of a CPU, ours and others'. Run from user
 * space in windows, on no hot path.
 */
#include "perf.h"
#include "pids.h"

static __always_inline __u64 space_of(struct task_struct *task)
{
	if (task->flags & PF_KTHREAD)
		return SPACE_KERNEL;
	return task->mm ? (__u64)task->mm : SPACE_NONE;
}

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.18, 7.3. Called for each task of the reader's PID namespace, and once without a task
 * at the end.
 */
SEC("iter/task")
int on_identity(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *seen;
	struct task_identity identity = {};
	struct task_entry *entry;

	if (!task)
		return 0;
	if (ctx->meta->seq_num == 0)
		note_reader();
	seen = untrusted(task);
	entry = find_entry(task);
	identity.space = space_of(seen);
	identity.tid = pid_of(seen);
	identity.group = entry ? entry->group : NO_GROUP;
	bpf_seq_write(ctx->meta->seq, &identity, sizeof(identity));
	return 0;
}

/*
 * No hook: run by user space, in its own context, with the descriptor of an event as argument.
 * Seen on 6.1, 6.18, 7.3.
 */
SEC("raw_tp")
int count_recorders(__u64 *ctx)
{
	return active_recorders(perf_event_of(ctx[0]));
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
