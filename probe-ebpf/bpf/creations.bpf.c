// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Creation of processes and threads: the child inherits the watch, and the call is counted by its
 * clone flags. task_newtask sees io_uring workers, which sched_process_fork does not.
 */
#include "watch.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct group_rule);
} rules SEC(".maps");

/* Distinct flag sets are few: a C library uses one for fork, one for threads, one for spawn. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct creation_key);
	__type(value, __u64);
} creations SEC(".maps");

static __always_inline void count_creation(__u32 group, __u64 clone_flags, __u32 io_worker)
{
	struct creation_key key = { .clone_flags = clone_flags, .group = group, .io_worker = io_worker };
	__u64 one = 1, *count = bpf_map_lookup_elem(&creations, &key);

	if (!count && bpf_map_update_elem(&creations, &key, &one, BPF_NOEXIST) == 0)
		return;
	count = count ? count : bpf_map_lookup_elem(&creations, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		count_loss(LOSS_CREATION);
}

/*
 * void task_newtask(struct task_struct *task, u64 clone_flags)
 *
 * Seen on 6.1 and 6.12 (clone_flags: unsigned long), 6.18, 7.3. Called in the creator, after the
 * task is made and before it is first queued.
 */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_task_newtask, struct task_struct *task, __u64 clone_flags)
{
	struct task_entry *parent = watched_entry(bpf_get_current_task_btf());
	struct task_entry child = {};
	struct group_rule *rule;
	__u32 group;

	if (!parent)
		return 0;
	group = parent->group;
	count_creation(group, clone_flags, !!(task->flags & PF_IO_WORKER));
	rule = bpf_map_lookup_elem(&rules, &group);
	if (!rule)
		return 0;
	child.group = clone_flags & CLONE_THREAD ? rule->thread_group : rule->process_group;
	child.unsettled = rule->unsettled;
	child.born = bpf_ktime_get_ns();
	if (!watch(task, &child))
		count_loss(LOSS_STORAGE);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
