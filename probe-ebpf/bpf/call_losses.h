/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What is lost of calls that are followed from their entry to their return; counted atomically, as the
 * programs can be preempted. */
#ifndef CONNSCOPE_CALL_LOSSES_H
#define CONNSCOPE_CALL_LOSSES_H

#include "watch.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct call_losses);
} call_losses SEC(".maps");

static __always_inline struct call_losses *lost_calls(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&call_losses, &zero);
}

static __always_inline void count_no_return(void)
{
	struct call_losses *lost = lost_calls();

	if (lost)
		__sync_fetch_and_add(&lost->no_return, 1);
}

static __always_inline void count_no_room(void)
{
	struct call_losses *lost = lost_calls();

	if (lost)
		__sync_fetch_and_add(&lost->no_room, 1);
}

#endif
