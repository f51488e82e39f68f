// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The part of a fork that copies the caller's address space: its mappings and page tables. Entry and
 * return of the function that does it; or, where the compiler has made that a part of its caller, the two
 * functions that are called right before and right after it. Programs for one of these are loaded, by one way in.
 */
#include "call_losses.h"
#include "functions.h"
#include "histogram.h"

enum { COPIES_MAX = 4096 };
/* A pointer above its negative is an error: include/linux/err.h */
enum { ERRNO_MAX = 4095 };

/* A copy under way, or one that has ended in a fork that has not. */
struct copy {
	__u64 began;
	__u64 took;
};

/* By thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COPIES_MAX);
	__type(key, __u64);
	__type(value, struct copy);
} copies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct histogram);
} page_table_copies SEC(".maps");

static __always_inline void begin_copy(void)
{
	struct copy copy = {}, *placed;
	__u64 id;

	if (!find_entry(bpf_get_current_task_btf()))
		return;
	id = bpf_get_current_pid_tgid();
	if (bpf_map_lookup_elem(&copies, &id))
		count_no_return();
	if (bpf_map_update_elem(&copies, &id, &copy, BPF_ANY)) {
		count_no_room();
		return;
	}
	/* The clock is read last, so that what is done here is no part of the copy. */
	placed = bpf_map_lookup_elem(&copies, &id);
	if (placed)
		placed->began = bpf_ktime_get_ns();
}

static __always_inline void stop_copy(void)
{
	__u64 now = bpf_ktime_get_ns(), id;
	struct copy *copy;

	if (!find_entry(bpf_get_current_task_btf()))
		return;
	id = bpf_get_current_pid_tgid();
	copy = bpf_map_lookup_elem(&copies, &id);
	if (copy)
		copy->took = now - copy->began;
}

static __always_inline void keep_copy(bool succeeded)
{
	struct task_entry *entry = find_entry(bpf_get_current_task_btf());
	struct histogram *histogram;
	struct copy *copy;
	__u32 group;
	__u64 id;

	if (!entry)
		return;
	id = bpf_get_current_pid_tgid();
	copy = bpf_map_lookup_elem(&copies, &id);
	if (!copy)
		return;
	group = entry->group;
	histogram = bpf_map_lookup_elem(&page_table_copies, &group);
	if (histogram && succeeded)
		shared_histogram_add(histogram, copy->took);
	bpf_map_delete_elem(&copies, &id);
}

/* int dup_mmap(struct mm_struct *mm, struct mm_struct *oldmm): seen on 6.1 */
SEC("fexit/dup_mmap")
int BPF_PROG(on_copied, void *mm, void *oldmm, int returned)
{
	stop_copy();
	keep_copy(!returned);
	return 0;
}

SEC("fentry/dup_mmap")
int BPF_PROG(on_copy, void *mm, void *oldmm)
{
	begin_copy();
	return 0;
}

/* The same function: its registers. */
SEC("kretprobe/dup_mmap")
int on_copied_probed(struct pt_regs *ctx)
{
	stop_copy();
	keep_copy(!(int)ctx->ax);
	return 0;
}

SEC("kprobe/dup_mmap")
int on_copy_probed(struct pt_regs *ctx)
{
	begin_copy();
	return 0;
}

/*
 * struct task_struct *copy_process(struct pid *pid, int trace, int node, struct kernel_clone_args *args)
 *
 * Seen on 6.12. The copy is done within. Only here is it known whether that failed: the function after it
 * is called in either case.
 */
SEC("fexit/copy_process")
int BPF_PROG(on_copied_process, void *pid, int trace, int node, void *args, __u64 returned)
{
	keep_copy(returned < (__u64)-ERRNO_MAX);
	return 0;
}

/* void uprobe_end_dup_mmap(void): seen on 6.12. Called right after the copy. */
SEC("fentry/uprobe_end_dup_mmap")
int BPF_PROG(on_copied_space)
{
	stop_copy();
	return 0;
}

/* void uprobe_start_dup_mmap(void): seen on 6.12. Returns right before the copy. */
SEC("fexit/uprobe_start_dup_mmap")
int BPF_PROG(on_copy_space)
{
	begin_copy();
	return 0;
}

/* The same functions: their registers. */
SEC("kretprobe/copy_process")
int on_copied_process_probed(struct pt_regs *ctx)
{
	keep_copy(ctx->ax < (unsigned long)-ERRNO_MAX);
	return 0;
}

SEC("kprobe/uprobe_end_dup_mmap")
int on_copied_space_probed(struct pt_regs *ctx)
{
	stop_copy();
	return 0;
}

SEC("kretprobe/uprobe_start_dup_mmap")
int on_copy_space_probed(struct pt_regs *ctx)
{
	begin_copy();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
