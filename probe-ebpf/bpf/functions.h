/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What programs at the entry and return of functions of the kernel need. Those at the return come first in
 * each file: they are attached in this order, and what begins must be seen to end.
 */
#ifndef CONNSCOPE_FUNCTIONS_H
#define CONNSCOPE_FUNCTIONS_H

#include "watch.h"

/* x86-64; include/asm/ptrace.h of the kernel */
struct pt_regs {
	unsigned long ax;
	unsigned long di;
	unsigned long sp;
} __attribute__((preserve_access_index));

#endif
