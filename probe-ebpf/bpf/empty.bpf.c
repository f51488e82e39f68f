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

/* void tlb_flush(int reason, unsigned long pages): seen on 6.1, 6.12, 6.18, 7.3 */
SEC("tp_btf/tlb_flush")
int BPF_PROG(empty_tlb_flush)
{
	return 0;
}

/* void sched_migrate_task(struct task_struct *p, int dest_cpu): seen on 6.1, 6.12, 6.18, 7.3 */
SEC("tp_btf/sched_migrate_task")
int BPF_PROG(empty_sched_migrate_task)
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
