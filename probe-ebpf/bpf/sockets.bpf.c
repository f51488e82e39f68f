// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * What the sockets of some processes hold in their buffers. One pass over all tasks, since an
 * iterator over files (iter/task_file) visits those of every process, or of one alone.
 */
#include "pids.h"
#include "abi.h"

enum { CHOSEN_MAX = 16384, WORD_BITS = 64, LOOPS_MAX = 1 << 23 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct sock {
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	refcount_t sk_wmem_alloc;
	int sk_wmem_queued;
	int sk_forward_alloc;
};

struct socket {
	struct sock *sk;
};

#pragma clang attribute pop

/*
 * The processes asked for, by pid in the reader's PID namespace: how many of its descriptors to look
 * at, a multiple of WORD_BITS.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHOSEN_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} chosen SEC(".maps");

struct walk {
	struct file **files;
	unsigned long *open; /* a bit for each descriptor */
	__s64 bytes;
	__u32 count;
	__u32 limit;
	__u32 unread;
};

/*
 * What was written and is not gone yet. TCP queues it (sk_wmem_queued), and what the device has of
 * that is charged to sk_wmem_alloc besides, as clones that share its bytes. All others charge it to
 * sk_wmem_alloc alone: a Unix socket until the other end has read it. So the larger is all of it.
 * sk_wmem_alloc begins at 1, for the socket itself.
 */
static __always_inline __s64 written_bytes(struct sock *sk)
{
	__s64 queued = BPF_CORE_READ(sk, sk_wmem_queued);
	__s64 charged = (__s64)BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;

	return queued > charged ? queued : charged;
}

static __always_inline __s64 socket_bytes(struct sock *sk)
{
	return (__s64)BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter) + written_bytes(sk) +
	       BPF_CORE_READ(sk, sk_forward_alloc);
}

static long add_file(__u32 number, struct walk *walk)
{
	struct file *file = NULL;
	struct socket *socket;
	struct sock *sk;

	if (number >= walk->count)
		return 1;
	bpf_probe_read_kernel(&file, sizeof(file), walk->files + number);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = socket ? BPF_CORE_READ(socket, sk) : NULL;
	if (sk)
		walk->bytes += socket_bytes(sk);
	return 0;
}

/* Counts the open files of one word of bits behind those that were looked at. */
static long count_unread(__u32 number, struct walk *walk)
{
	__u64 word = 0;

	number += walk->limit / WORD_BITS;
	if (number >= walk->count / WORD_BITS)
		return 1;
	bpf_probe_read_kernel(&word, sizeof(word), walk->open + number);
	walk->unread += __builtin_popcountll(word);
	return 0;
}

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.12, 6.18, 7.3. Writes a pid and the bytes of its sockets for each process asked for.
 */
SEC("iter/task")
int on_process(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct *owner = (void *)task;
	struct walk walk = {};
	struct fdtable *table;
	struct process_sockets record;
	__u32 pid, *limit;

	if (!task)
		return 0;
	if (ctx->meta->seq_num == 0)
		note_reader();
	if (task->pid != task->tgid)
		return 0;
	pid = pid_here(BPF_CORE_READ(task, thread_pid));
	limit = bpf_map_lookup_elem(&chosen, &pid);
	if (!limit)
		return 0;
	table = BPF_CORE_READ(owner, files, fdt);
	if (table) {
		walk.files = BPF_CORE_READ(table, fd);
		walk.count = BPF_CORE_READ(table, max_fds);
		walk.limit = *limit;
		bpf_loop(walk.limit, add_file, &walk, 0);
		walk.open = BPF_CORE_READ(table, open_fds);
		bpf_loop(LOOPS_MAX, count_unread, &walk, 0);
	}
	record.pid = pid;
	record.bytes = walk.bytes > 0 ? walk.bytes : 0;
	record.unread_files = walk.unread;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
