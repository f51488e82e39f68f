/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* Reading kernel structs by a pointer whose type the verifier is told. */
#ifndef CONNSCOPE_READ_AT_H
#define CONNSCOPE_READ_AT_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "abi.h"

/* Set at load. CO-RE would have to be given all of the kernel's types to tell them. */
const volatile struct kernel_type_ids type_ids SEC(".rodata.types");

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

/*
 * Reads a field of a kernel struct at an address that is only a number to the verifier. Where it
 * can be told the type of what lies there (6.2; seen to load from 6.6) that is one load; else a call, which
 * costs as much as all the rest of a switch. `name` is that of the struct in `type_ids`.
 */
#define READ_AT(name, address, field)								\
	({											\
		__u64 __value = 0;								\
		if (bpf_core_enum_value_exists(enum bpf_attach_type, BPF_TCX_INGRESS)) {	\
			struct name *__typed = bpf_rdonly_cast((void *)(address), type_ids.name); \
			__value = (__u64)__typed->field;					\
		} else {									\
			__value = (__u64)BPF_CORE_READ((struct name *)(address), field);		\
		}										\
		__value;									\
	})

/*
 * The same task, to read pointers from, for programs on no hot path. For each pointer read from the one
 * it trusts, the verifier looks through the names of all types of the kernel (seen on 6.18: 1 ms each
 * time it comes by). Through this one it does not; helpers and storage want the other.
 */
static __always_inline struct task_struct *untrusted(struct task_struct *task)
{
	if (bpf_core_enum_value_exists(enum bpf_attach_type, BPF_TCX_INGRESS))
		return bpf_rdonly_cast(task, type_ids.task_struct);
	return task;
}

#endif
