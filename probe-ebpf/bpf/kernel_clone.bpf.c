// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * How long fork, vfork, clone and clone3 take in the kernel, whoever calls them, and what the caller's
 * address space held: entry and return of the function that all of them come to. The task that is
 * created returns by another way. One of the two pairs of programs is loaded.
 */
#include "calls.h"
#include "functions.h"

struct kernel_clone_args {
	__u64 flags;
} __attribute__((preserve_access_index));

/* A call of connscope's own, to see what the programs add. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct own_call);
} own_call SEC(".maps");

static __always_inline struct own_call *own_call_of(__u64 id)
{
	__u32 zero = 0;
	struct own_call *own = bpf_map_lookup_elem(&own_call, &zero);

	return own && own->caller == id ? own : NULL;
}

static __always_inline __u32 kind_of(__u64 flags)
{
	if (flags & CLONE_THREAD)
		return CALL_THREAD;
	if (!(flags & CLONE_VM))
		return CALL_FORK;
	return flags & CLONE_VFORK ? CALL_SPAWN : CALL_CLONE;
}

/* The clock is read last, so that what is done here is no part of the call. */
static __always_inline void begin_call(__u64 flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_entry *entry = find_entry(task);
	__u64 id = bpf_get_current_pid_tgid();
	struct call call = { .function = kind_of(flags) }, *placed;

	if (!entry && !own_call_of(id))
		return;
	call.group = entry ? entry->group : NO_GROUP;
	if (bpf_map_lookup_elem(&calls, &id))
		count_no_return();
	if (call.function != CALL_THREAD)
		read_caller(&call, task);
	call.task_started = task->start_time;
	call.start = bpf_ktime_get_ns(); /* not 0 while it is seen without the time below */
	if (bpf_map_update_elem(&calls, &id, &call, BPF_ANY)) {
		count_no_room();
		return;
	}
	placed = bpf_map_lookup_elem(&calls, &id);
	if (placed)
		placed->start = bpf_ktime_get_ns();
}

static __always_inline void keep_call(const struct call *call, __s64 returned, __u64 time)
{
	struct group_calls *group = bpf_map_lookup_elem(&group_calls, &call->group);
	struct call_stats *stats;

	if (!group)
		return;
	stats = &group->kinds[call->function & (CALL_KINDS - 1)];
	if (returned < 0)
		__sync_fetch_and_add(&stats->failed, 1);
	else
		add_call(stats, call, time);
}

static __always_inline void end_call(__s64 returned)
{
	__u64 now = bpf_ktime_get_ns(), id = bpf_get_current_pid_tgid();
	struct call *call;
	struct own_call *own;

	/* Unwatched tasks have none; they need not be looked for. */
	if (!bpf_get_current_task_btf()->bpf_storage && !own_call_of(id))
		return;
	call = bpf_map_lookup_elem(&calls, &id);
	if (!call)
		return;
	if (call->group != NO_GROUP) {
		keep_call(call, returned, now - call->start);
	} else {
		own = own_call_of(id);
		if (own)
			own->latency = now - call->start;
	}
	bpf_map_delete_elem(&calls, &id);
}

/* pid_t kernel_clone(struct kernel_clone_args *args): seen on 6.1 */
SEC("fexit/kernel_clone")
int BPF_PROG(on_cloned, struct kernel_clone_args *args, int returned)
{
	end_call(returned);
	return 0;
}

SEC("fentry/kernel_clone")
int BPF_PROG(on_clone, struct kernel_clone_args *args)
{
	begin_call(args->flags);
	return 0;
}

/* The same function: its registers. */
SEC("kretprobe/kernel_clone")
int on_cloned_probed(struct pt_regs *ctx)
{
	end_call((int)ctx->ax);
	return 0;
}

SEC("kprobe/kernel_clone")
int on_clone_probed(struct pt_regs *ctx)
{
	struct kernel_clone_args *args = (void *)ctx->di;

	begin_call(BPF_CORE_READ(args, flags));
	return 0;
}

/*
 * No hook: run by user space, in its own context, with whether its calls are followed from now on as
 * argument. Seen on 6.1.
 */
SEC("raw_tp")
int follow_caller(__u64 *ctx)
{
	__u32 zero = 0;
	struct own_call *own = bpf_map_lookup_elem(&own_call, &zero);

	if (own)
		own->caller = ctx[0] ? bpf_get_current_pid_tgid() : 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
