/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * The kernel types the probes read, and of each only the fields they read. Offsets are relocated
 * at load time against the running kernel's BTF (CO-RE), so order and padding mean nothing here.
 * A name behind three underscores is the same type as an older or newer kernel has it.
 */
#ifndef CONNSCOPE_KERNEL_H
#define CONNSCOPE_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false, true };
#define NULL ((void *)0)

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_F_NO_PREALLOC = 1 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_USER_STACK = 1 << 8 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1 };

enum bpf_attach_type { BPF_TCX_INGRESS = 46 }; /* since 6.6 */

/* include/linux/sched.h, include/uapi/linux/sched.h: unchanged since 5.14 */
enum { TASK_STOPPED = 0x4, TASK_TRACED = 0x8, TASK_DEAD = 0x80 };
enum { PF_IO_WORKER = 0x10, PF_EXITING = 0x4, PF_KTHREAD = 0x200000 };
enum { CLONE_VM = 0x100, CLONE_VFORK = 0x4000, CLONE_THREAD = 0x10000 };

/* include/uapi/linux/stat.h */
enum { S_IFMT = 0170000, S_IFSOCK = 0140000, S_IFREG = 0100000, S_IFBLK = 0060000, S_IFIFO = 0010000 };

/* arch/x86/include/asm/thread_info.h */
enum { TS_COMPAT = 0x2 };

/* include/linux/mm_types_task.h */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct upid {
	int nr;
};

struct list_head {
	struct list_head *next;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct cfs_rq {
	struct rq *rq;
	unsigned int h_nr_runnable;
};

struct rq {
	unsigned int nr_running;
	int cpu;
	__u64 clock;
	struct cfs_rq cfs;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
	__u64 sum_exec_runtime;
	unsigned char sched_delayed; /* since 6.12: asleep, and on the run queue still */
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

typedef struct {
	long long counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

struct mm_struct {
	atomic_long_t pgtables_bytes;
	unsigned long data_vm;	/* pages of private writable mappings, without stack_vm */
	unsigned long stack_vm; /* pages of mappings that grow: the main stack */
	unsigned long start_code, end_code, start_stack;
	struct percpu_counter rss_stat[4]; /* since 6.2 */
};

/* until 6.1: one set of shared counters, to which each thread hands on its own now and then */
struct mm_rss_stat___v61 {
	atomic_long_t count[4];
};
struct mm_struct___v61 {
	struct mm_rss_stat___v61 rss_stat;
};

struct task_struct___v61 {
	struct task_rss_stat___v61 {
		int count[4];
	} rss_stat;
};

struct bpf_local_storage;

/* arch/x86/include/asm/ptrace.h; ax is -1 in orig_ax after an exception */
struct pt_regs___call {
	unsigned long di;
	unsigned long si;
	unsigned long orig_ax;
};

struct thread_info {
	__u32 status; /* thread synchronous flags */
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	const void *f_op;
	void *private_data;
	struct path f_path;
};

/* include/linux/llist.h: a pointer and nothing else, which tells the verifier what an element of an
 * array of pointers is */
struct llist_head {
	void *first;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int __state;
	unsigned int flags;
	unsigned int on_cpu; /* int to 6.18, u8 in 7.3: libbpf narrows unsigned loads only */
	unsigned int on_rq;  /* likewise an int */
	int exit_state;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	struct mm_struct *active_mm;
	struct files_struct *files;
	unsigned in_iowait : 1;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	unsigned int pagefault_disabled;
	__u64 start_time;
	char comm[16];
	struct bpf_local_storage *bpf_storage;
	struct list_head thread_node;
};

union thread_union {
	unsigned long stack[1];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_map {
	__u32 max_entries;
};

struct bpf_array {
	struct bpf_map map;
	void *pptrs[1];
};

#pragma clang attribute pop

#endif
