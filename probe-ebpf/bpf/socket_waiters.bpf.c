// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Which task waits at which socket: of a server that has a thread for each connection, the one that serves
 * it, which sleeps there from one request to the next. One sleep tells for as long as the connection lasts.
 */
#include "reasons.h"
#include "prepare.h"

enum { SOCKETS_MAX = 16384 };
/* Calls with a list of descriptors (x86-64). */
enum { CALL_POLL = 7, CALL_PPOLL = 271 };
enum { NO_DESCRIPTOR = -1 };

/* By inode. If there are too many, those that nobody has waited at for long are forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64);
	__type(value, struct socket_waiter);
} socket_waiters SEC(".maps");

/* The one descriptor of the call that a task sits in. Of a list with several none is its own. */
static __always_inline int descriptor_of_call(struct task_struct *task)
{
	struct control *control = control_block();
	int descriptor = NO_DESCRIPTOR;
	__u64 regs, call;
	__u8 reason;

	if (!control || task->flags & (PF_KTHREAD | PF_IO_WORKER) || task->thread_info.status & TS_COMPAT)
		return NO_DESCRIPTOR;
	regs = (__u64)task->stack + control->registers;
	call = READ_AT(pt_regs___call, regs, orig_ax);
	if (call == CALL_POLL || call == CALL_PPOLL) {
		void *list = (void *)READ_AT(pt_regs___call, regs, di);

		/* It begins with the descriptor. What cannot be read is made 0, which is a descriptor too. */
		if (READ_AT(pt_regs___call, regs, si) != 1 || bpf_probe_read_user(&descriptor, sizeof(descriptor), list))
			return NO_DESCRIPTOR;
		return descriptor;
	}
	reason = call < SYSCALLS ? reason_of_call[call] : 0;
	if (reason == IS(BY_FILE) || reason == IS(REASON_SOCKET))
		descriptor = READ_AT(pt_regs___call, regs, di);
	return descriptor;
}

/* The inode of the socket behind a descriptor, 0 if that is none. */
static __always_inline __u64 socket_at(struct task_struct *task, int descriptor)
{
	struct file *file = (struct file *)file_at(task, descriptor);
	struct inode *inode = file ? BPF_CORE_READ(file, f_inode) : NULL;

	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	return BPF_CORE_READ(inode, i_ino);
}

static __always_inline void note_waiter(__u64 inode, struct task_struct *task)
{
	struct socket_waiter *known = bpf_map_lookup_elem(&socket_waiters, &inode);
	struct socket_waiter first = { .task = (__u64)task, .started = task->start_time };

	if (known) {
		if (known->task != first.task || known->started != first.started)
			known->shared = 1;
		return;
	}
	first.tid = pid_here(BPF_CORE_READ(task, thread_pid));
	bpf_map_update_elem(&socket_waiters, &inode, &first, BPF_ANY);
}

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state)
 *
 * Seen on 6.18. `prev` is still the current task, whose memory can be read.
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_socket_wait, bool preempt, struct task_struct *prev)
{
	__u64 inode;
	int descriptor;

	if (!watched_entry(prev) || preempt || !prev->__state || prev->__state & TASK_DEAD)
		return 0;
	descriptor = descriptor_of_call(prev);
	if (descriptor < 0)
		return 0;
	inode = socket_at(prev, descriptor);
	if (inode)
		note_waiter(inode, prev);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
