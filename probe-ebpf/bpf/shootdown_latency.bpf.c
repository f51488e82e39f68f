// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * How long a task that shoots down TLB entries of other CPUs is held up: entry and return of the
 * function that asks the others and waits for all of them. It runs with preemption off and from no
 * interrupt, so one is under way on a CPU at most. One of the two pairs of programs is loaded.
 */
#include "functions.h"
#include "histogram.h"

/* CLOCK_MONOTONIC when a watched task's began on this CPU; 0 for none. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} shootdown_began SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct histogram);
} shootdowns SEC(".maps");

static __always_inline __u64 *began_on_this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&shootdown_began, &zero);
}

static __always_inline void begin_shootdown(void)
{
	__u64 *began;

	if (!watched_entry(bpf_get_current_task_btf()))
		return;
	began = began_on_this_cpu();
	if (began)
		*began = bpf_ktime_get_ns();
}

static __always_inline void end_shootdown(void)
{
	__u64 now = bpf_ktime_get_ns(), time, *began;
	struct task_entry *entry = watched_entry(bpf_get_current_task_btf());
	struct histogram *histogram;
	__u32 group;

	if (!entry)
		return;
	began = began_on_this_cpu();
	if (!began || !*began)
		return;
	time = now - *began;
	*began = 0;
	group = entry->group;
	histogram = bpf_map_lookup_elem(&shootdowns, &group);
	if (histogram)
		histogram_add(histogram, time);
}

/*
 * void native_flush_tlb_multi(const struct cpumask *cpumask, const struct flush_tlb_info *info): seen
 * on 6.1. Guests of KVM call it with the CPUs that run; those of Hyper-V and Xen have
 * another.
 */
SEC("fexit/native_flush_tlb_multi")
int BPF_PROG(on_shot_down, void *cpumask, void *info)
{
	end_shootdown();
	return 0;
}

SEC("fentry/native_flush_tlb_multi")
int BPF_PROG(on_shootdown, void *cpumask, void *info)
{
	begin_shootdown();
	return 0;
}

/* The same function: its registers. */
SEC("kretprobe/native_flush_tlb_multi")
int on_shot_down_probed(struct pt_regs *ctx)
{
	end_shootdown();
	return 0;
}

SEC("kprobe/native_flush_tlb_multi")
int on_shootdown_probed(struct pt_regs *ctx)
{
	begin_shootdown();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
