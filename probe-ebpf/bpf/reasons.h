/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Why a task leaves its CPU: by the system call that it sits in, and by the kind of file behind the
 * call's descriptor where calls on a socket, a pipe and a file look alike. Numbers are those of x86-64
 * (arch/x86/entry/syscalls/syscall_64.tbl).
 */
#ifndef CONNSCOPE_REASONS_H
#define CONNSCOPE_REASONS_H

#include "watch.h"

enum { SYSCALLS = 512 };
/* Not a reason: the kind of file behind the first argument tells. */
enum { BY_FILE = REASONS };
/* Nor this: why a task sleeps that slept already when it was first watched is yet to be found out. */
enum { REASON_UNKNOWN = REASONS };
/* Nor these, which count as other: with the reason of the call added, a task that was stopped in it. */
enum { STOPPED_IN = REASONS + 1 };
/* Added to any of them since it was last off its CPU without a sleep: it was preempted, or yielded. */
#define AWAKE (1U << 31)
/* restart_syscall: nanosleep, poll or futex with a timeout, resumed after a stop. */
enum { RESUMED_CALL = 219 };
/* What the table holds is one more than the reason, so that what it does not name is other. */
#define IS(reason) ((reason) + 1)

static const volatile __u8 reason_of_call[SYSCALLS] = {
	[0] = IS(BY_FILE), /* read */
	[1] = IS(BY_FILE), /* write */
	[17] = IS(BY_FILE), /* pread64 */
	[18] = IS(BY_FILE), /* pwrite64 */
	[19] = IS(BY_FILE), /* readv */
	[20] = IS(BY_FILE), /* writev */
	[40] = IS(BY_FILE), /* sendfile */
	[275] = IS(BY_FILE), /* splice */
	[276] = IS(BY_FILE), /* tee */
	[295] = IS(BY_FILE), /* preadv */
	[296] = IS(BY_FILE), /* pwritev */
	[327] = IS(BY_FILE), /* preadv2 */
	[328] = IS(BY_FILE), /* pwritev2 */
	[7] = IS(REASON_EVENT_WAIT), /* poll */
	[23] = IS(REASON_EVENT_WAIT), /* select */
	[232] = IS(REASON_EVENT_WAIT), /* epoll_wait */
	[270] = IS(REASON_EVENT_WAIT), /* pselect6 */
	[271] = IS(REASON_EVENT_WAIT), /* ppoll */
	[281] = IS(REASON_EVENT_WAIT), /* epoll_pwait */
	[441] = IS(REASON_EVENT_WAIT), /* epoll_pwait2 */
	[72] = IS(REASON_LOCK), /* fcntl, which sleeps for F_SETLKW alone */
	[73] = IS(REASON_LOCK), /* flock */
	[202] = IS(REASON_LOCK), /* futex */
	[449] = IS(REASON_LOCK), /* futex_waitv */
	[455] = IS(REASON_LOCK), /* futex_wait */
	[65] = IS(REASON_SEMAPHORE), /* semop */
	[220] = IS(REASON_SEMAPHORE), /* semtimedop */
	[42] = IS(REASON_SOCKET), /* connect */
	[43] = IS(REASON_SOCKET), /* accept */
	[44] = IS(REASON_SOCKET), /* sendto */
	[45] = IS(REASON_SOCKET), /* recvfrom */
	[46] = IS(REASON_SOCKET), /* sendmsg */
	[47] = IS(REASON_SOCKET), /* recvmsg */
	[288] = IS(REASON_SOCKET), /* accept4 */
	[299] = IS(REASON_SOCKET), /* recvmmsg */
	[307] = IS(REASON_SOCKET), /* sendmmsg */
	[26] = IS(REASON_DISK), /* msync */
	[74] = IS(REASON_DISK), /* fsync */
	[75] = IS(REASON_DISK), /* fdatasync */
	[76] = IS(REASON_DISK), /* truncate */
	[77] = IS(REASON_DISK), /* ftruncate */
	[162] = IS(REASON_DISK), /* sync */
	[187] = IS(REASON_DISK), /* readahead */
	[208] = IS(REASON_DISK), /* io_getevents */
	[209] = IS(REASON_DISK), /* io_submit */
	[277] = IS(REASON_DISK), /* sync_file_range */
	[285] = IS(REASON_DISK), /* fallocate */
	[306] = IS(REASON_DISK), /* syncfs */
	[326] = IS(REASON_DISK), /* copy_file_range */
	[333] = IS(REASON_DISK), /* io_pgetevents */
	[426] = IS(REASON_IO_URING), /* io_uring_enter */
	[35] = IS(REASON_TIMER), /* nanosleep */
	[230] = IS(REASON_TIMER), /* clock_nanosleep */
	[56] = IS(REASON_CHILD), /* clone: a vfork waits for its child */
	[58] = IS(REASON_CHILD), /* vfork */
	[61] = IS(REASON_CHILD), /* wait4 */
	[247] = IS(REASON_CHILD), /* waitid */
	[435] = IS(REASON_CHILD), /* clone3 */
};

enum { ANON_INODE_FS_MAGIC = 0x09041934 };

/* An eventfd, a timerfd and their like have one inode together: their name tells them apart. */
static __always_inline enum reason reason_of_anonymous(struct file *file)
{
	const unsigned char *name = BPF_CORE_READ(file, f_path.dentry, d_name.name);
	char start[4] = {};

	bpf_probe_read_kernel(start, sizeof(start), name);
	if (start[1] == 'e' && start[2] == 'v') /* [eventfd] */
		return REASON_EVENT_WAIT;
	if (start[1] == 't' && start[2] == 'i') /* [timerfd] */
		return REASON_TIMER;
	return REASON_OTHER;
}

static __always_inline enum reason reason_of_file(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	switch (BPF_CORE_READ(inode, i_mode) & S_IFMT) {
	case S_IFSOCK:
		return REASON_SOCKET;
	case S_IFIFO:
		return REASON_PIPE;
	case S_IFBLK:
		return REASON_DISK;
	case S_IFREG: /* that of anonymous inodes since 6.16 */
	case 0: /* and until then */
		if (BPF_CORE_READ(inode, i_sb, s_magic) == ANON_INODE_FS_MAGIC)
			return reason_of_anonymous(file);
		return REASON_DISK;
	}
	return REASON_OTHER;
}

/* The address of the file behind a descriptor of a task, 0 if there is none. */
static __always_inline __u64 file_at(struct task_struct *task, __u32 descriptor)
{
	struct files_struct *files = untrusted(task)->files;
	struct fdtable *table = files ? files->fdt : NULL;

	if (!table || descriptor >= table->max_fds)
		return 0;
	return READ_AT(llist_head, table->fd + descriptor, first);
}

/*
 * The reason by the file behind a descriptor. What f_op points to is of one kind of file only, so
 * for the kind of file that the task slept on last the answer is there. To remember is for the task's
 * own switches only, which nothing else may come between.
 */
static __always_inline enum reason reason_by_file(struct task_struct *task, struct task_entry *entry,
						  __u32 descriptor, bool remember)
{
	__u64 file = file_at(task, descriptor);
	__u64 operations = file ? READ_AT(file, file, f_op) : 0;

	if (!operations)
		return REASON_OTHER;
	if (!remember)
		return reason_of_file((struct file *)file);
	if (operations != entry->file_operations) {
		entry->file_reason = reason_of_file((struct file *)file);
		entry->file_operations = operations;
	}
	return entry->file_reason;
}

/* The same for all tasks. By way of a map, since the verifier does not subtract from a typed pointer. */
static __always_inline void learn_registers(volatile struct control *control, struct task_struct *task)
{
	control->scratch = bpf_task_pt_regs(task);
	control->registers = control->scratch - (__u64)task->stack;
}

/* Why a task sleeps in a call: what it was stopped in, or slept on last, if that was resumed. */
static __always_inline __u32 reason_by_call(struct task_entry *entry, __u64 call)
{
	__u32 reason;

	if (call == RESUMED_CALL) {
		reason = entry->reason & ~AWAKE;
		if (reason >= STOPPED_IN)
			reason -= STOPPED_IN;
		return reason < REASONS ? reason : REASON_OTHER;
	}
	reason = call < SYSCALLS ? reason_of_call[call] : 0;
	return reason ? reason - 1 : REASON_OTHER;
}

/* Why a task that is not runnable sleeps, or is about to. */
static __always_inline __u32 sleep_reason(struct task_struct *task, struct task_entry *entry,
					  bool remember)
{
	struct control *control = control_block();
	bool stopped = task->__state & (TASK_STOPPED | TASK_TRACED);
	__u64 call, regs;
	__u32 reason;

	if (task->flags & PF_IO_WORKER)
		return REASON_IO_URING;
	if (!control || task->flags & PF_KTHREAD || task->thread_info.status & TS_COMPAT)
		return REASON_OTHER;
	regs = (__u64)task->stack + control->registers;
	call = READ_AT(pt_regs___call, regs, orig_ax);
	if (call == ~0ULL) /* an exception, not a call: what sleeps in one is a page fault */
		return stopped ? REASON_OTHER : REASON_PAGE_FAULT;
	reason = reason_by_call(entry, call);
	if (stopped)
		return STOPPED_IN + reason;
	if (reason == REASON_IO_URING)
		return reason;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait))
		return REASON_DISK;
	if (reason != BY_FILE)
		return reason;
	return reason_by_file(task, entry, READ_AT(pt_regs___call, regs, di), remember);
}

#endif
