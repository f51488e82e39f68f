// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* Nothing, on the same hooks as the probes: what entering a program costs, for benchmarks. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * void sched_switch(bool preempt, struct task_struct *prev, struct task_struct *next,
 *                   unsigned int prev_state): seen on 6.1, 6.12, 6.18, 7.3
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(empty_sched_switch)
{
	return 0;
}

/* void task_newtask(struct task_struct *task, u64 clone_flags): seen on 6.1, 6.12, 6.18, 7.3 */
SEC("tp_btf/task_newtask")
int BPF_PROG(empty_task_newtask)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
