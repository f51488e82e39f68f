/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What programs of the timeline share with user space. */
#ifndef CONNSCOPE_ABI_TIMELINE_H
#define CONNSCOPE_ABI_TIMELINE_H

#include "abi.h"

/* What the timeline's ring holds: each record begins with one of these, four bytes. */
enum timeline_kind { TIMELINE_SWITCH, TIMELINE_CREATION, TIMELINE_SHOOTDOWN };

/* How a task left its CPU. */
enum timeline_left { LEFT_RUNNABLE, LEFT_ASLEEP, LEFT_UNINTERRUPTIBLE, LEFT_FOR_GOOD };

/* A task left its CPU: the books as of then. */
struct timeline_switch {
	__u32 kind;
	__u32 cpu;
	__u32 left;   /* enum timeline_left */
	__u32 reason; /* enum reason, or beyond it: what it sleeps on from now on, if it does */
	__u64 task;   /* where it is */
	__u64 started;
	__u64 clock; /* of the run queue */
	__u64 at;    /* CLOCK_MONOTONIC, a moment later */
	__u64 running; /* since it is watched, as are the following */
	__u64 runnable;
	__u64 blocked;
	__u64 arrivals;
	__u32 gap_ns; /* of the switch that had brought it: from the second stamp to the third; 0: not seen */
	__u32 own_ns; /* and from the first to the second, between which the kernel does nothing */
	__u32 pid;
	__u32 tid; /* 0 if it has none any more */
	__u32 group;
	__u32 unused;
	char comm[16];
};

struct timeline_creation {
	__u32 kind;
	__u32 cpu;
	__u64 creator; /* where it is */
	__u64 flags;   /* of clone(2) */
	__u64 at;      /* CLOCK_MONOTONIC */
	__u64 task;
	__u64 started;
	__u32 pid;
	__u32 tid;
	__u32 group; /* NO_GROUP if it is not watched */
	__u32 io_worker;
	char comm[16];
};

struct timeline_shootdown {
	__u32 kind;
	__u32 cpu;
	__u64 task;  /* that sent it, or was interrupted */
	__u64 pages; /* or all: ~0 */
	__u64 at;    /* CLOCK_MONOTONIC */
	__u32 sent;  /* else received */
	__u32 unused;
};

/* On one CPU: records that are not there. */
struct timeline_counts {
	__u64 no_room;
	__u64 not_booked;
};

#endif
