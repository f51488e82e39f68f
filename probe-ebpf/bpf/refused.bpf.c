// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* A program that every verifier must refuse, for the test of what users are then told. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>

SEC("tp_btf/task_newtask")
int refused(__u64 *ctx)
{
	/* A number as an address. */
	return *(volatile int *)(ctx[1] * 2);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
