/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Pids as the reader of an iterator numbers them. */
#ifndef CONNSCOPE_PIDS_H
#define CONNSCOPE_PIDS_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* How deep the reader's PID namespace lies; set as a pass begins. */
static __u32 reader_level;

static __always_inline void note_reader(void)
{
	struct task_struct *reader = bpf_get_current_task_btf();

	reader_level = BPF_CORE_READ(reader, thread_pid, level);
}

/*
 * A pid as the reader's PID namespace numbers it, 0 if it has no number there. The pointer must come
 * from BPF_CORE_READ, which yields a number: on a typed pointer the verifier of 6.1 allows no
 * arithmetic with the level.
 */
static __always_inline __u32 pid_here(struct pid *pid)
{
	__u32 nr = 0;

	if (reader_level && reader_level > BPF_CORE_READ(pid, level))
		return 0;
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      reader_level * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return nr;
}

/* The same of a task that the verifier knows to be one: in the initial namespace, without a call. */
static __always_inline __u32 pid_of(struct task_struct *task)
{
	if (!reader_level)
		return task->thread_pid->numbers[0].nr;
	return pid_here(BPF_CORE_READ(task, thread_pid));
}

#endif
