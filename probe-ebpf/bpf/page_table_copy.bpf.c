// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The part of a fork that copies the caller's address space: its mappings and page tables. Entry and
 * return of the function that does it. One of the two pairs of programs is loaded.
 */
#include "call_losses.h"
#include "functions.h"
#include "histogram.h"

enum { COPIES_MAX = 4096 };

/* When a copy began, by thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COPIES_MAX);
	__type(key, __u64);
	__type(value, __u64);
} copies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct histogram);
} page_table_copies SEC(".maps");

static __always_inline void begin_copy(void)
{
	__u64 id, now, *placed;

	if (!find_entry(bpf_get_current_task_btf()))
		return;
	id = bpf_get_current_pid_tgid();
	if (bpf_map_lookup_elem(&copies, &id))
		count_no_return();
	now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&copies, &id, &now, BPF_ANY)) {
		count_no_room();
		return;
	}
	/* The clock is read last, so that what is done here is no part of the copy. */
	placed = bpf_map_lookup_elem(&copies, &id);
	if (placed)
		*placed = bpf_ktime_get_ns();
}

static __always_inline void end_copy(int returned)
{
	__u64 now = bpf_ktime_get_ns(), id, *began;
	struct task_entry *entry = find_entry(bpf_get_current_task_btf());
	struct histogram *histogram;
	__u32 group;

	if (!entry)
		return;
	id = bpf_get_current_pid_tgid();
	began = bpf_map_lookup_elem(&copies, &id);
	if (!began)
		return;
	group = entry->group;
	histogram = bpf_map_lookup_elem(&page_table_copies, &group);
	if (histogram && !returned)
		shared_histogram_add(histogram, now - *began);
	bpf_map_delete_elem(&copies, &id);
}

/* int dup_mmap(struct mm_struct *mm, struct mm_struct *oldmm): seen on 6.1 */
SEC("fexit/dup_mmap")
int BPF_PROG(on_copied, void *mm, void *oldmm, int returned)
{
	end_copy(returned);
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
	end_copy((int)ctx->ax);
	return 0;
}

SEC("kprobe/dup_mmap")
int on_copy_probed(struct pt_regs *ctx)
{
	begin_copy();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
