// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Nothing, on the same hooks as the probes: what entering a program costs, for benchmarks. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("tp_btf/sched_switch")
int BPF_PROG(empty_sched_switch)
{
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(empty_task_newtask)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
