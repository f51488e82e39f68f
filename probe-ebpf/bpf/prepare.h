/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* For objects whose hooks are entered by any task: what tells them how their reader numbers pids. */
#ifndef CONNSCOPE_PREPARE_H
#define CONNSCOPE_PREPARE_H

#include "pids.h"

/* No hook: run by user space, in its own context, before all else. */
SEC("raw_tp")
int prepare(void *ctx)
{
	note_reader();
	return 0;
}

#endif
