/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The layouts that cross from the kernel to user space. The Rust side is generated from these
 * definitions (through the object's BTF), never written by hand. All times are nanoseconds.
 */
#ifndef CONNSCOPE_ABI_H
#define CONNSCOPE_ABI_H

/*
 * Log-linear buckets: eight to each power of two, values 0 to 2^42 - 1 ns (73 minutes); larger
 * ones land in the last bucket and in `sum` and `max` as they are.
 */
enum histogram_shape {
	HISTOGRAM_SUB_BITS = 3,
	HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
	HISTOGRAM_TOP_BIT = 41,
	HISTOGRAM_BUCKETS = (HISTOGRAM_TOP_BIT - HISTOGRAM_SUB_BITS + 2) * HISTOGRAM_SUB,
	DEPTH_BUCKETS = 64,
};

struct histogram {
	__u64 sum;
	__u64 max;
	__u64 counts[HISTOGRAM_BUCKETS];
};

/* Numbers of kernel types in its BTF, for the verifier. 0: it has none. */
struct kernel_type_ids {
	__u32 task_struct;
	__u32 llist_head;
	__u32 file;
	__u32 pt_regs___call;
};

/* What a task sleeps on. */
enum reason {
	REASON_EVENT_WAIT, /* epoll, poll, select, eventfd */
	REASON_LOCK,	   /* futex, file locks */
	REASON_SEMAPHORE,  /* System V semaphores */
	REASON_SOCKET,
	REASON_PIPE,
	REASON_DISK,	 /* files, fsync, and whatever the kernel calls waiting for I/O */
	REASON_IO_URING, /* completions of io_uring, whatever was submitted */
	REASON_TIMER,
	REASON_CHILD,
	REASON_PAGE_FAULT,
	REASON_OTHER,
	REASONS,
};

/* What a task was seen to do while it was watched. */
struct totals {
	__u64 voluntary;   /* context switches, task_struct.nvcsw */
	__u64 involuntary; /* context switches, task_struct.nivcsw */
	__u64 cpu;         /* se.sum_exec_runtime: running, less what interrupts and the hypervisor stole */
	__u64 running;
	__u64 runnable;
	__u64 blocked[REASONS];
	__u64 arrivals; /* times put on a CPU, sched_info.pcount */
	__u64 unseen;   /* of these, the switches that no tracepoint showed */
	__u64 minor_faults; /* task_struct.min_flt */
	__u64 major_faults; /* task_struct.maj_flt */
};

/* The tasks that have ended, by whether the snapshot being taken had visited them: see watch.h. */
enum ended { ENDED_SETTLED, ENDED_DURING_VISIT, ENDED_KINDS };

struct ended_totals {
	__u64 tasks;
	struct totals totals;
};

/* Why the TLB was flushed: enum tlb_flush_reason of the kernel, include/linux/mm_types.h. */
enum flush_reason {
	FLUSH_TASK_SWITCH,
	FLUSH_SHOOTDOWN_RECEIVED,
	FLUSH_LOCAL_SHOOTDOWN,
	FLUSH_LOCAL_WHOLE,
	FLUSH_SHOOTDOWN_SENT,
	FLUSH_REASONS,
};

struct flushes {
	__u64 count;
	__u64 pages; /* of those that named pages */
	__u64 whole; /* of the count: all entries of the address space */
};

/* The TLB of a group's tasks. */
struct tlb_stats {
	__u64 kept;    /* switches to a task of the group from another address space, its entries still valid */
	__u64 flushed; /* the same, its entries gone */
	struct flushes flushes[FLUSH_REASONS];
	/* From sched_switch of a task of the group to the other address space being in place. */
	struct histogram kept_time;
	struct histogram flushed_time;
};

/* One group: the tasks of one role of one target. One per CPU. */
struct group_stats {
	struct histogram run_queue_wait;
	struct histogram on_cpu_slice;
	struct histogram first_run;
	__u64 run_queue_depth[DEPTH_BUCKETS];
	struct tlb_stats tlb;
	struct ended_totals ended[ENDED_KINDS];
};

/* Which group the children of a group's tasks belong to. */
struct group_rule {
	__u32 thread_group;
	__u32 process_group;
	__u32 unsettled; /* not 0: until user space says which group is theirs */
};

/* The groups of a process to watch: its main thread, its other threads, its descendants. */
struct assignment {
	__u32 main_group;
	__u32 thread_group;
	__u32 process_group;
	__u32 unsettled; /* likewise */
};

/* A task, told from a later one at the same address by the time of its creation. */
struct task_key {
	__u64 task;
	__u64 started; /* task_struct.start_time */
};

/* The group of an unsettled task, from its next switch-out on. */
struct settlement {
	__u32 group;
	__u32 taken; /* that was, and the task is of that group */
	/* Of its totals, as of the switch-out before, those that change with a switch. */
	__u64 voluntary;
	__u64 involuntary;
	__u64 arrivals;
	__u64 unseen;
};

/* What user space asks of the iterator, and what the iterator answers. */
struct control {
	__u64 epoch;       /* number of the snapshot being taken or last taken, from 1 */
	__u64 visiting;    /* a snapshot is under way */
	__u64 assigned;    /* answer: tasks put on the watch list so far */
	__u64 base_clock;  /* run-queue clock and CLOCK_MONOTONIC, taken together as a pass begins */
	__u64 base_time;
	__u64 scratch;
	__u64 registers; /* answer: where on its kernel stack a task's user registers are */
};

/* Creations are counted by the creator's group and the flags of the call. */
struct creation_key {
	__u64 clone_flags;
	__u32 group; /* of the creator */
	__u32 io_worker;
};

/* What a page fault was. See docs/measures.md. */
enum fault_class {
	FAULT_COW_COPY,
	FAULT_COW_REUSE,
	FAULT_ZERO_FILL,
	FAULT_ZERO_FILL_HUGE,
	FAULT_ZERO_PAGE,
	FAULT_FILE,
	FAULT_FILE_WRITE,
	FAULT_SHARED,
	FAULT_HUGETLB,
	FAULT_MAJOR,
	FAULT_OTHER,
	FAULT_CLASSES,
};

/* Whether faults are looked at; nothing is counted until user space has attached all programs. */
enum fault_mode { FAULTS_CLOSED, FAULTS_OPEN, FAULTS_TRIED };

struct fault_window {
	__u32 mode; /* enum fault_mode */
	__u32 number;
	__s64 vm_events_from_queue; /* from a CPU's run queue to its event counters, in bytes */
	__s64 current_from_queue;   /* and to where it has its current task; 0 if BTF has no such place */
	/* FAULTS_TRIED: ends of faults seen on the host, and the CPU's own count at the last one. */
	__u64 tried_ends;
	__u64 tried_count;
	__u64 tried_cpu;
};

/* Page faults of one group in windows. One per CPU. */
struct fault_counts {
	__u64 user[FAULT_CLASSES];
	__u64 kernel[FAULT_CLASSES];
	__u64 huge_splits; /* huge pages that had to be split, found with the fault that did it */
	__u64 begun;       /* the faults above are those of them that were seen to end */
	__u64 not_begun;   /* the end of a fault that began before the window, or without an exception */
	__u64 no_storage;
	__u64 no_mapping;
};

enum loss {
	LOSS_STORAGE,     /* no task storage for a created task: it and its children are not watched */
	LOSS_CREATION,    /* no room for another combination of clone flags */
	LOSS_CLOCK,       /* a task's stamps contradicted each other; its blocked time was taken as 0 */
	LOSS_TORN,        /* a task switched each time it was read; its totals are one switch old */
	LOSS_WAIT,        /* a wait that the kernel did not tell from the sleep before: it counts as sleep */
	LOSS_KINDS,
};

struct losses {
	__u64 count[LOSS_KINDS];
};

enum task_state { STATE_RUNNING, STATE_RUNNABLE, STATE_BLOCKED };

/* One watched task, as the iterator writes it. */
struct task_record {
	__u32 pid;
	__u32 tid;
	__u32 group;
	__u32 state;   /* enum task_state */
	__u64 started; /* CLOCK_MONOTONIC, tells a reused pid from the old one */
	__u64 at;      /* CLOCK_MONOTONIC of the reading: a pass takes its time */
	__u64 mm;      /* tells tasks that share an address space; 0: none */
	__u64 unsettled; /* where it is, as struct task_key has it, if its group is not settled; else 0 */
	struct totals totals;
	/* Set for the first of neighbouring tasks with the same `mm`, else 0. */
	__s64 anonymous_bytes;
	__s64 file_bytes;
	__s64 shared_bytes;
	__u64 page_table_bytes;
	__u64 reserved_bytes; /* private writable mappings, touched or not */
	/* Of this task, and not in the figures of its address space; less than 0 if it freed more. */
	__s64 pending_anonymous_bytes;
	__s64 pending_file_bytes;
	__s64 pending_shared_bytes;
	__u64 kernel_stack_bytes; /* of this task */
	char comm[16];
};

/* What a task identity has for an address space if it has none; any other value is an address. */
enum space { SPACE_NONE, SPACE_KERNEL };

/* Any task, watched or not, by the tid that perf records name it with. */
struct task_identity {
	__u64 space; /* tells tasks that share an address space, or enum space */
	__u32 tid;
	__u32 group; /* NO_GROUP if it is not watched */
};

enum group_number { NO_GROUP = 0xffffffff };

/* What the sockets of a process hold. */
struct process_sockets {
	__u64 bytes;
	__u32 pid;	    /* in the reader's PID namespace */
	__u32 unread_files; /* open files, of any kind, that were not looked at */
};

/* The task that was the first to wait at a socket. */
struct socket_waiter {
	__u64 task;   /* where it is */
	__u64 started;
	__u32 tid;    /* in the reader's PID namespace */
	__u32 shared; /* others have waited there too */
};

/* Calls that create tasks, by what the caller asked the C library for. */
enum call_kind { CALL_FORK, CALL_SPAWN, CALL_THREAD, CALL_CLONE, CALL_KINDS };

/* A sum of 128 bits. */
struct wide {
	__u64 low;
	__u64 high;
};

/* A call that has not returned yet. */
struct call {
	__u64 start;        /* CLOCK_MONOTONIC */
	__u64 stack;        /* where its return address lies */
	__u64 task_started; /* tells a reused thread id from the old one */
	__u64 resident_pages;
	__u64 page_table_bytes;
	__u32 group;
	__u32 function;
};

/* Calls of one kind that returned. */
struct call_stats {
	struct histogram latency; /* of those that succeeded, as are the sums */
	__u64 failed;
	__u64 resident_pages; /* of the caller's address space, at the call */
	__u64 page_table_bytes;
	struct wide pages_squared;
	struct wide pages_times_ns;
};

struct group_calls {
	struct call_stats kinds[CALL_KINDS];
};

struct call_losses {
	__u64 no_room;
	__u64 no_return;
};

/* A call by connscope itself. */
struct own_call {
	__u64 caller;  /* thread id; 0 for none */
	__u64 latency; /* of its last call */
};

/* Between whom a CPU switched, as far as programs in the kernel tell it. */
enum switch_kind { SWITCH_SAME_SPACE, SWITCH_DIFFERENT_SPACE, SWITCH_IDLE, SWITCH_KERNEL_THREAD };

enum switch_flag {
	SWITCH_LEFT = 1,      /* the group is that of the task that left, else of the one that came */
	SWITCH_PREEMPTED = 2, /* the task that left would have run on */
	SWITCH_TIMED = 4,     /* the one that came was seen to come */
};

/* A switch of a watched task, timed by stamps. */
struct switch_record {
	__u32 ns;     /* from the second stamp to the third, at most 2^32 - 1 */
	__u32 own_ns; /* from the first to the second, between which the kernel does nothing */
	__u32 group;
	__u16 kind;  /* enum switch_kind */
	__u16 flags; /* enum switch_flag */
};

/* On one CPU: what became of stamps for which there is no record, and the last stamps on nothing. */
struct stamp_counts {
	__u64 no_room;
	__u64 unmatched;
	__u64 on_nothing_began;
	__u64 on_nothing_ns;
};

#endif
