/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What tells a page fault's class: the mapping it fell into, and what the kernel's own event counters
 * of the CPU (those of /proc/vmstat) say it did meanwhile. Reading them costs the faults of watched
 * tasks alone; a tracepoint on page allocation would cost everybody's.
 */
#ifndef CONNSCOPE_FAULTS_H
#define CONNSCOPE_FAULTS_H

#include "watch.h"

/* arch/x86/include/asm/trap_pf.h: unchanged since 2008 */
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2 };

/* include/linux/mm.h, x86-64: unchanged since 2.6 */
enum { VM_SHARED = 0x8, VM_HUGETLB = 0x400000 };

/* include/linux/vm_event_item.h: by name, their numbers depend on the kernel's configuration */
enum vm_event_item {
	PGALLOC_DMA,
	PGALLOC_DMA32,
	PGALLOC_NORMAL,
	PGALLOC_MOVABLE,
	PGALLOC_DEVICE,
	PGFAULT,
	PGREUSE,
	NUMA_HINT_FAULTS,
	THP_FAULT_ALLOC,
	THP_SPLIT_PMD,
	NR_VM_EVENT_ITEMS,
};

/* include/linux/mm_types.h: by name too */
enum vm_fault_reason {
	VM_FAULT_OOM,
	VM_FAULT_SIGBUS,
	VM_FAULT_MAJOR,
	VM_FAULT_HWPOISON,
	VM_FAULT_HWPOISON_LARGE,
	VM_FAULT_SIGSEGV,
	VM_FAULT_RETRY,
	VM_FAULT_FALLBACK,
};
enum fault_flag { FAULT_FLAG_TRIED };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct vm_operations_struct;
struct file;

struct vm_area_struct {
	unsigned long vm_flags;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
};

/* since 7.0 beside vm_flags, which may go */
struct vm_area_struct___flags {
	struct {
		unsigned long __vma_flags[1];
	} flags;
};

#pragma clang attribute pop

/* Counters of the CPU a fault is handled on. */
struct vm_events {
	__u64 pages_allocated;
	__u64 pages_reused;
	__u64 numa_hints;
	__u64 huge_allocated; /* known even if the others are not */
	__u64 huge_split;
};

enum { VM_EVENTS_MAX = 256 };

struct vm_event_copy {
	__u64 event[VM_EVENTS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vm_event_copy);
} vm_event_copies SEC(".maps");

/* The count of an event, 0 where the kernel does not know it. */
#define vm_event(copy, item)                                                                       \
	(bpf_core_enum_value_exists(enum vm_event_item, item) ?                                    \
		 (copy)->event[bpf_core_enum_value(enum vm_event_item, item) & (VM_EVENTS_MAX - 1)] : \
		 0)

/*
 * The kernel's counters of this CPU. Their per-CPU variable has no symbol where the kernel was built
 * without KALLSYMS_ALL. But BTF says where it lies in the per-CPU section, and where the run queues
 * do, one of which the current task leads to: user space gives the distance between the two.
 */
static __always_inline struct vm_event_copy *copy_vm_events(struct task_struct *task, __s64 distance)
{
	__u32 zero = 0, size = bpf_core_enum_value(enum vm_event_item, NR_VM_EVENT_ITEMS) * 8;
	struct vm_event_copy *copy = bpf_map_lookup_elem(&vm_event_copies, &zero);
	__u64 queue = (__u64)BPF_CORE_READ(task, se.cfs_rq, rq);

	if (!copy || size > sizeof(*copy))
		return NULL;
	if (bpf_probe_read_kernel(copy, size, (void *)(queue + distance)))
		return NULL;
	return copy;
}

static __always_inline bool read_vm_events(struct vm_events *events, struct task_struct *task,
					   __s64 distance)
{
	struct vm_event_copy *copy = copy_vm_events(task, distance);

	if (!copy)
		return false;
	events->pages_allocated = vm_event(copy, PGALLOC_NORMAL) + vm_event(copy, PGALLOC_DMA32) +
				  vm_event(copy, PGALLOC_MOVABLE) + vm_event(copy, PGALLOC_DMA) +
				  vm_event(copy, PGALLOC_DEVICE);
	events->pages_reused = vm_event(copy, PGREUSE);
	events->numa_hints = vm_event(copy, NUMA_HINT_FAULTS);
	events->huge_split = vm_event(copy, THP_SPLIT_PMD);
	events->huge_allocated = vm_event(copy, THP_FAULT_ALLOC);
	return true;
}

/*
 * Anonymous pages of the task's address space. Single pages reach the shared counter in batches (of 64 until 6.1, then
 * of 32 or twice the number of CPUs), those of a huge page at once: that a huge page was made shows even if the task
 * lost its CPU while it was cleared, which takes long. With more than 127 CPUs a batch may be as large as half a huge
 * page: then this may be mistaken, as it may where other threads of the task fault meanwhile.
 */
static __always_inline __s64 resident_pages(struct task_struct *task)
{
	struct mm_struct___v61 *old;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	old = (void *)mm;
	if (bpf_core_field_exists(old->rss_stat.count))
		return BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter);
	/* The size of an element is the kernel's, not that of our shortened type. */
	mm = (void *)mm + MM_ANONPAGES * bpf_core_type_size(struct percpu_counter);
	return BPF_CORE_READ(mm, rss_stat[0].count);
}

enum { HUGE_PAGES = 512 };

enum mapping {
	MAPPING_UNKNOWN, /* it could not be looked up: the address space is locked, or about to be unlocked */
	MAPPING_ANONYMOUS,
	MAPPING_FILE,
	MAPPING_SHARED,
	MAPPING_HUGETLB,
	MAPPING_SPECIAL, /* vDSO and device memory */
};

static __always_inline unsigned long vma_flags(struct vm_area_struct *vma)
{
	struct vm_area_struct___flags *newer = (void *)vma;

	if (bpf_core_field_exists(vma->vm_flags))
		return BPF_CORE_READ(vma, vm_flags);
	return BPF_CORE_READ(newer, flags.__vma_flags[0]);
}

static long tell_mapping(struct task_struct *task, struct vm_area_struct *vma, __u32 *mapping)
{
	unsigned long flags = vma_flags(vma);

	if (flags & VM_HUGETLB)
		*mapping = MAPPING_HUGETLB;
	else if (flags & VM_SHARED)
		*mapping = MAPPING_SHARED;
	else if (!BPF_CORE_READ(vma, vm_ops))
		*mapping = MAPPING_ANONYMOUS;
	else if (BPF_CORE_READ(vma, vm_file))
		*mapping = MAPPING_FILE;
	else
		*mapping = MAPPING_SPECIAL;
	return 0;
}

static __always_inline __u32 mapping_at(struct task_struct *task, __u64 address)
{
	__u32 mapping = MAPPING_UNKNOWN;

	bpf_find_vma(task, address, tell_mapping, &mapping, 0);
	return mapping;
}

/* A page fault under way, or the last one. */
struct fault {
	__u64 began; /* 0: none is under way */
	__u64 address;
	__u64 pcount; /* arrivals of the task on a CPU: more of them, and the counters are not its own */
	__s64 resident; /* anonymous pages of the address space, as far as they are in its shared counter */
	struct vm_events events;
	__u32 window; /* in which it began */
	__u32 error;
	__u16 from_kernel;
	__u16 counted; /* `events` could be read */
	/* The last one that ended, for as long as none has begun since. */
	__u32 ended;
	__u32 class;
	__u64 latency;
	__u64 max_before;
};

/* The class of a minor fault in private anonymous memory. */
static __always_inline __u32 anonymous_class(const struct fault *fault, bool told,
					     const struct vm_events *did)
{
	bool writes = fault->error & FAULT_WRITE;

	if (told && did->numa_hints)
		return FAULT_OTHER;
	if (!(fault->error & FAULT_PRESENT)) {
		if (did->huge_allocated)
			return FAULT_ZERO_FILL_HUGE;
		return writes ? FAULT_ZERO_FILL : FAULT_ZERO_PAGE;
	}
	if (!writes || !told)
		return FAULT_OTHER;
	if (did->pages_reused)
		return FAULT_COW_REUSE;
	return did->pages_allocated ? FAULT_COW_COPY : FAULT_OTHER;
}

/* The class of a minor fault; `told`: `did` is known, and the fault's alone. */
static __always_inline __u32 fault_class(const struct fault *fault, __u32 mapping, bool told,
					 const struct vm_events *did)
{
	switch (mapping) {
	case MAPPING_ANONYMOUS:
		return anonymous_class(fault, told, did);
	case MAPPING_FILE:
		return fault->error & FAULT_WRITE ? FAULT_FILE_WRITE : FAULT_FILE;
	case MAPPING_SHARED:
		return FAULT_SHARED;
	case MAPPING_HUGETLB:
		return FAULT_HUGETLB;
	default:
		return FAULT_OTHER;
	}
}

#endif
