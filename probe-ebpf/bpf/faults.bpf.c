// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * Page faults of watched tasks one by one, while a window is open: class, mode and latency.
 *
 * A fault begins at the tracepoint of the exception, and ends when the kernel has handled it and
 * counts it: as the function that handles it returns, where fexit is allowed, else at the tracepoint
 * of that count where the kernel has one, else at the perf software event, which costs everybody's
 * faults several times as much. A fault may sleep and migrate, so it is kept with the task. Nothing is
 * attached outside windows but the end of major faults, where the first end does not tell them.
 */
#include "faults.h"
#include "current.h"
#include "histogram.h"

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fault);
} faults SEC(".maps");

/* A map of its own, that is read without a lookup: by each fault of everybody while a window is open. */
volatile struct fault_window fault_window SEC(".data.fault_window");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* set at load to the number of groups */
	__type(key, __u32);
	__type(value, struct fault_counts);
} fault_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* set at load to FAULT_CLASSES for each group */
	__type(key, __u32);
	__type(value, struct histogram);
} fault_latency SEC(".maps");

/* Nothing but the proof that ends are seen, and that the counters are found. */
static __always_inline void try_end(struct task_struct *task)
{
	struct vm_event_copy *copy = copy_vm_events(task, fault_window.vm_events_from_queue);

	if (!copy)
		return;
	fault_window.tried_cpu = bpf_get_smp_processor_id();
	fault_window.tried_count = vm_event(copy, PGFAULT);
	__sync_fetch_and_add(&fault_window.tried_ends, 1);
}

static __always_inline void fault_begins(__u64 address, __u64 error, __u32 from_kernel)
{
	struct fault_counts *counts;
	struct task_struct *task;
	struct task_entry *entry;
	struct fault *fault;

	if (fault_window.mode != FAULTS_OPEN || !may_be_watched(fault_window.current_from_queue))
		return;
	task = bpf_get_current_task_btf();
	entry = watched_entry(task);
	if (!entry)
		return;
	counts = bpf_map_lookup_elem(&fault_counts, &entry->group);
	if (!counts)
		return;
	/* The kernel looks whether a page is there and handles nothing; maybe within another fault. */
	if (task->pagefault_disabled)
		return;
	counts->begun++;
	fault = bpf_task_storage_get(&faults, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!fault) {
		counts->no_storage++;
		return;
	}
	fault->address = address;
	fault->error = error;
	fault->from_kernel = from_kernel;
	fault->window = fault_window.number;
	fault->pcount = task->sched_info.pcount;
	fault->resident = resident_pages(task);
	fault->ended = 0;
	fault->counted = read_vm_events(&fault->events, task, fault_window.vm_events_from_queue);
	fault->began = bpf_ktime_get_ns();
}

static __always_inline struct histogram *latency_of(__u32 group, __u32 class)
{
	__u32 key = group * FAULT_CLASSES + class;

	return bpf_map_lookup_elem(&fault_latency, &key);
}

static __always_inline void count_fault(struct fault_counts *counts, __u32 class, __u32 from_kernel,
					__s64 by)
{
	if (class >= FAULT_CLASSES)
		return;
	if (from_kernel)
		counts->kernel[class] += by;
	else
		counts->user[class] += by;
}

/* What the CPU's counters say since the fault began; false if they are not the fault's alone. */
static __always_inline bool events_since_began(struct vm_events *did, struct fault *fault,
					       struct task_struct *task)
{
	const struct vm_events *then = &fault->events;

	if (task->sched_info.pcount != fault->pcount || !fault->counted ||
	    !read_vm_events(did, task, fault_window.vm_events_from_queue))
		return false;
	did->pages_allocated -= then->pages_allocated;
	did->pages_reused -= then->pages_reused;
	did->numa_hints -= then->numa_hints;
	did->huge_split -= then->huge_split;
	did->huge_allocated -= then->huge_allocated;
	return true;
}

static __always_inline __u32 minor_class(struct task_struct *task, struct fault *fault,
					 struct fault_counts *counts)
{
	__u32 mapping = mapping_at(task, fault->address);
	struct vm_events did = {};
	bool told = events_since_began(&did, fault, task);

	if (mapping == MAPPING_UNKNOWN)
		counts->no_mapping++;
	if (told)
		counts->huge_splits += did.huge_split;
	if (!told)
		did.huge_allocated = resident_pages(task) - fault->resident > HUGE_PAGES / 2;
	return fault_class(fault, mapping, told, &did);
}

static __always_inline void fault_ends(struct task_struct *task, struct task_entry *entry,
				       struct fault *fault, struct fault_counts *counts, bool major,
				       __u64 now)
{
	__u64 latency = now - fault->began;
	__u32 class = major ? FAULT_MAJOR : minor_class(task, fault, counts);
	struct histogram *histogram = latency_of(entry->group, class);

	fault->began = 0;
	count_fault(counts, class, fault->from_kernel, 1);
	if (!histogram)
		return;
	fault->ended = 1;
	fault->class = class;
	fault->latency = latency;
	fault->max_before = histogram->max;
	histogram_add(histogram, latency);
}

/* Takes a fault out of its class: it turns out to be a major one. May be another CPU's histogram by
 * now: their sum is right. */
static __always_inline void becomes_major(struct task_entry *entry, struct fault *fault,
					  struct fault_counts *counts)
{
	struct histogram *from = latency_of(entry->group, fault->class);
	struct histogram *to = latency_of(entry->group, FAULT_MAJOR);
	__u32 bucket = histogram_bucket(fault->latency);

	fault->ended = 0;
	if (!from || !to || bucket >= HISTOGRAM_BUCKETS)
		return;
	from->sum -= fault->latency;
	from->counts[bucket]--;
	if (from->max == fault->latency)
		from->max = fault->max_before;
	histogram_add(to, fault->latency);
	count_fault(counts, fault->class, fault->from_kernel, -1);
	count_fault(counts, FAULT_MAJOR, fault->from_kernel, 1);
}

static __always_inline void handled(bool major)
{
	__u32 mode = fault_window.mode;
	struct fault_counts *counts;
	struct task_struct *task;
	struct task_entry *entry;
	struct fault *fault;
	__u64 now;

	if (mode == FAULTS_CLOSED ||
	    (mode == FAULTS_OPEN && !may_be_watched(fault_window.current_from_queue)))
		return;
	task = bpf_get_current_task_btf();
	if (mode == FAULTS_TRIED)
		return try_end(task);
	entry = watched_entry(task);
	if (!entry)
		return;
	now = bpf_ktime_get_ns();
	counts = bpf_map_lookup_elem(&fault_counts, &entry->group);
	if (!counts)
		return;
	fault = bpf_task_storage_get(&faults, task, NULL, 0);
	if (!fault || fault->window != fault_window.number)
		counts->not_begun++;
	else if (fault->began)
		fault_ends(task, entry, fault, counts, major, now);
	else if (major && fault->ended)
		becomes_major(entry, fault, counts);
	else
		counts->not_begun++;
}

/*
 * void page_fault_user(unsigned long address, struct pt_regs *regs, unsigned long error_code)
 *
 * Seen on 6.1, 6.18, 7.3. Called as the handler of the exception is entered.
 */
SEC("tp_btf/page_fault_user")
int BPF_PROG(on_page_fault_user, unsigned long address, void *regs, unsigned long error_code)
{
	fault_begins(address, error_code, 0);
	return 0;
}

/* void page_fault_kernel(...): the same, for an access from kernel mode. */
SEC("tp_btf/page_fault_kernel")
int BPF_PROG(on_page_fault_kernel, unsigned long address, void *regs, unsigned long error_code)
{
	fault_begins(address, error_code, 1);
	return 0;
}

/* The fault under way has failed: what ends next is another. */
static __always_inline void gave_up(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fault *fault;

	if (!find_entry(task))
		return;
	fault = bpf_task_storage_get(&faults, task, NULL, 0);
	if (fault)
		fault->began = 0;
}

/* Whether the kernel counts a fault that ended so as one (mm_account_fault() in mm/memory.c). */
static __always_inline bool is_counted(__u64 result)
{
	/* VM_FAULT_ERROR, which is a macro */
	__u64 errors = bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_OOM) |
		       bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_SIGBUS) |
		       bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_SIGSEGV) |
		       bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_HWPOISON) |
		       bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_HWPOISON_LARGE) |
		       bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_FALLBACK);

	return !(result & (errors | bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_RETRY)));
}

/*
 * vm_fault_t handle_mm_fault(struct vm_area_struct *vma, unsigned long address, unsigned int flags,
 *                            struct pt_regs *regs)
 *
 * Seen on 6.1, 7.3. Returns once a fault is counted, or has failed, or is to be tried again: then it is
 * called again. Also for those of get_user_pages().
 */
SEC("fexit/handle_mm_fault")
int BPF_PROG(on_handled, void *vma, unsigned long address, unsigned int flags, void *regs, __u64 result)
{
	__u64 tried_before = bpf_core_enum_value(enum fault_flag, FAULT_FLAG_TRIED);

	if (!is_counted((__u32)result)) {
		if (!(result & bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_RETRY)))
			gave_up();
		return 0;
	}
	handled((result & bpf_core_enum_value(enum vm_fault_reason, VM_FAULT_MAJOR)) ||
		(flags & tried_before));
	return 0;
}

/*
 * void count_memcg_events(struct mem_cgroup *memcg, int item, unsigned long val)
 *
 * Seen on 6.18, 7.3. Called, with PGFAULT, by mm_account_fault() for each fault that was handled to
 * its end, before the counters of the task go up; also for those of get_user_pages().
 */
SEC("tp_btf/count_memcg_events")
int BPF_PROG(on_memcg_event, void *memcg, int item)
{
	if (item != (int)bpf_core_enum_value(enum vm_event_item, PGFAULT))
		return 0;
	handled(false);
	return 0;
}

/*
 * The perf software events page-faults-min and page-faults-maj, on each CPU, fired at the end of
 * mm_account_fault(), not for get_user_pages(). Seen on 6.1, 6.18, 7.3.
 */
SEC("perf_event")
int on_minor_fault(void *ctx)
{
	handled(false);
	return 0;
}

SEC("perf_event")
int on_major_fault(void *ctx)
{
	handled(true);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
