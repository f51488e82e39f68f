/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/* What programs that take stacks share with user space. */
#ifndef CONNSCOPE_ABI_STACKS_H
#define CONNSCOPE_ABI_STACKS_H

#include "abi.h"

enum stack_shape { STACK_KERNEL_FRAMES = 64, STACK_USER_FRAMES = 127 };

/* In place of the number of a stack, which is above all of these. */
enum stack_id {
	STACK_NONE,
	STACK_LOST,        /* taken, and there was no room to keep it */
	STACK_UNREADABLE,  /* the kernel could not take it */
	STACK_OVER_BUDGET, /* not taken: there were too many */
	STACK_BEFORE,      /* not taken: the task left its CPU before stacks were */
	STACK_NEW,         /* none: a task that has not run yet */
	STACK_IDS = 16,
};

/* What a stack was taken of: a sleep, by `enum reason`, or one of these. */
enum stack_of { STACK_PREEMPTED = REASONS, STACK_ON_CPU };

struct stack_frames {
	__u32 kernel; /* how many there are, innermost first */
	__u32 user;
	__u64 kernel_frames[STACK_KERNEL_FRAMES];
	__u64 user_frames[STACK_USER_FRAMES];
};

/* Whom a stack is of. */
struct stack_key {
	__u64 stack; /* the number of its frames, or `enum stack_id` */
	__u64 image; /* tells what the process has mapped: see image_of() */
	__u32 tgid;  /* in the reader's PID namespace */
	__u32 group;
	__u32 of;   /* `enum reason` or `enum stack_of` */
	__u32 turn; /* in which of user space's turns it was counted */
};

struct stack_count {
	__u64 times; /* samples on a CPU, or times that it left one */
	__u64 asleep;
	__u64 waiting; /* for a CPU, afterwards */
};

/* What user space asks of the programs that take stacks. */
struct stack_control {
	__u64 interval; /* least time between two stacks of tasks that leave a CPU, on average, on each CPU; 0: none */
	__u64 turn;
};

/* What could not be counted for lack of room. One per CPU. */
struct stack_losses {
	__u64 stacks;  /* taken, and not kept: their time is there, as STACK_LOST */
	__u64 samples; /* on a CPU, not counted at all */
	__u64 sleeps;  /* times that a task left a CPU, not counted at all */
	__u64 time;    /* that these took */
	__u64 tasks;   /* that left a CPU and could not be remembered: until they come back, not counted at all */
	__u64 order;   /* sleeps of which the books were not up to date */
};

#endif
