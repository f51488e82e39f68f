// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * How long fork, posix_spawn, pthread_create and clone take as their caller sees them, and what the
 * caller's address space held: uprobes on the functions of the C library, entry and return.
 *
 * Of calls within calls (posix_spawn may call clone) the outermost counts. They are told apart by
 * the stack: the return belongs to the entry whose return address lay just below it. The child of
 * a fork returns too, as another task that never called.
 */
#include "calls.h"
#include "functions.h"

/* The attach cookie. */
#define COOKIE_KIND(cookie) ((cookie) & (CALL_KINDS - 1))
#define COOKIE_RETURNS_PID 4ULL
#define COOKIE_FUNCTION(cookie) ((__u32)((cookie) >> 8) & 0xffffff)
/* 1 + the group of a function of our own, called to see what the probes add; 0: of a watched task. */
#define COOKIE_OWN(cookie) ((__u32)((cookie) >> 32))

/*
 * True if the call found under way is one that this is part of, rather than one that was left
 * without a return, by longjmp or with its thread. A function that ends in a jump to another
 * leaves its return address where it is.
 */
static __always_inline bool is_part_of(const struct call *outer, const struct call *call)
{
	if (outer->task_started != call->task_started || call->stack > outer->stack)
		return false;
	return call->stack < outer->stack || call->function != outer->function;
}

/*
 * Entry of a function of the C library: the caller's registers. Seen on 6.1, 6.12, 6.18, 7.3.
 * The clock is read last, so that what is done here is no part of the call.
 */
SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 cookie = bpf_get_attach_cookie(ctx), id = bpf_get_current_pid_tgid();
	struct call call = { .function = COOKIE_FUNCTION(cookie) }, *outer;

	if (COOKIE_OWN(cookie)) {
		call.group = COOKIE_OWN(cookie) - 1;
	} else {
		struct task_entry *entry = find_entry(task);

		if (!entry)
			return 0;
		call.group = entry->group;
	}
	call.stack = ctx->sp;
	call.task_started = task->start_time;
	outer = bpf_map_lookup_elem(&calls, &id);
	if (outer && is_part_of(outer, &call))
		return 0;
	if (outer)
		count_no_return();
	if (COOKIE_KIND(cookie) != CALL_THREAD)
		read_caller(&call, task);
	call.start = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&calls, &id, &call, BPF_ANY))
		count_no_room();
	return 0;
}

static __always_inline bool failed(__u64 cookie, int returned)
{
	return cookie & COOKIE_RETURNS_PID ? returned < 0 : returned != 0;
}

/* Return to the caller of the same function. Seen on 6.1, 6.12, 6.18, 7.3. */
SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 id = bpf_get_current_pid_tgid(), cookie;
	struct call *call = bpf_map_lookup_elem(&calls, &id);
	struct group_calls *group;

	if (!call || ctx->sp != call->stack + sizeof(long))
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	group = bpf_map_lookup_elem(&group_calls, &call->group);
	if (group) {
		struct call_stats *stats = &group->kinds[COOKIE_KIND(cookie)];

		if (failed(cookie, ctx->ax))
			__sync_fetch_and_add(&stats->failed, 1);
		else
			add_call(stats, call, now - call->start);
	}
	bpf_map_delete_elem(&calls, &id);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
