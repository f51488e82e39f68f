// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/*
 * The iterators over all tasks: one puts processes on the watch list, one reads the watched tasks with
 * the state each is in at that moment, which no switch has reported yet. Two programs, since the
 * verifier would follow each way through the one together with each way through the other.
 */
#include "assign.h"
#include "memory.h"

enum { READ_TRIES = 8 };

/* The address space of the task visited last; threads of a process are visited together. */
static __u64 last_mm;
/* The process put on the watch list last; likewise. */
static __u32 last_process;
/* The task being read, by the one pass at a time that there is. Not on the stack, where the verifier
 * would tell apart what each way through the program has written. */
static struct task_record record;

/* One reading of a task's books, for bpf_loop: one pass for the verifier. */
struct reading {
	struct task_struct *task;
	struct task_entry *entry;
	__u64 now;
	__u64 whole;
};

/* If the task makes its last switch meanwhile, its slot may be another's at once: the next try looks
 * where its entry is then. */
static long read_once(__u32 try, struct reading *reading)
{
	struct task_struct *task = reading->task;
	struct task_entry *entry = try ? entry_of(task) : reading->entry;
	volatile struct task_entry *stamps = entry;
	__u64 claim, end;

	if (!entry)
		return 1;
	claim = stamps->claim;
	end = stamps->end;
	barrier();
	entry_totals(&record.totals, task, entry);
	if (claim == CLAIM_ENDED) /* before its totals were read: these are the last */
		record.state = STATE_BLOCKED;
	else
		record.state = add_in_progress(&record.totals, task, entry, reading->now);
	barrier();
	/* A slot that has changed hands does not come back to the same task. */
	reading->whole = stamps->claim == claim && (claim == CLAIM_ENDED || stamps->begin == end) &&
			 (!stamps->in_slot || stamps->owner == (__u64)task);
	return reading->whole;
}

/* Reads totals and the state in progress as of one moment between two switches. */
static __always_inline void read_totals(struct task_struct *task, struct task_entry *entry, __u64 now)
{
	struct reading reading = { .task = task, .entry = entry, .now = now };

	bpf_loop(READ_TRIES, read_once, &reading, 0);
	if (!reading.whole)
		count_loss(LOSS_TORN);
}

/* True if this snapshot is to report the task; see watch.h on claims. */
static __always_inline bool claim_task(struct task_entry *entry, __u64 epoch)
{
	__u64 claim = entry->claim;

	/* Nobody but the end of the task changes a claim while a snapshot is under way. */
	if (claim == CLAIM_ENDED || __sync_val_compare_and_swap(&entry->claim, claim, epoch) != claim)
		return entry->visited == epoch; /* visited again, since its record did not fit the buffer */
	entry->visited = epoch;
	return true;
}

/* THREAD_SIZE. Kernels built without the union in BTF have the default of their architecture. */
static __always_inline __u64 kernel_stack_bytes(void)
{
	if (bpf_core_type_exists(union thread_union))
		return bpf_core_type_size(union thread_union);
	return 16384; /* x86-64 and arm64 */
}

#define TOUCH(lvalue) (void)*(volatile typeof(lvalue) *)&(lvalue)

/* The task whose `thread_node` that is. */
static __always_inline struct task_struct *task_at(struct list_head *node)
{
	return bpf_rdonly_cast((void *)node - bpf_core_field_offset(struct task_struct, thread_node),
			       type_ids.task_struct);
}

/*
 * Begins to bring what will be read of the threads that come next into the cache. Each task is a dozen cache
 * lines that nobody else has read lately; one after another they would be waited for longer than all else takes.
 */
static __always_inline void touch_next(struct task_struct *task)
{
	struct task_struct *seen = untrusted(task), *next, *after_next;

	if (!bpf_core_enum_value_exists(enum bpf_attach_type, BPF_TCX_INGRESS))
		return;
	next = task_at(seen->thread_node.next);
	if ((__u64)next->group_leader != (__u64)seen->group_leader) /* none, but the head of the list */
		return;
	after_next = task_at(next->thread_node.next);
	TOUCH(next->thread_pid->level);
	TOUCH(after_next->flags);
	TOUCH(after_next->bpf_storage);
	TOUCH(after_next->mm);
	TOUCH(after_next->thread_pid);
	TOUCH(after_next->thread_node.next);
	TOUCH(after_next->start_time);
	TOUCH(after_next->comm[0]);
	TOUCH(after_next->nvcsw);
	TOUCH(after_next->se.sum_exec_runtime);
	TOUCH(after_next->sched_info.last_arrival);
}

static __always_inline void read_task(struct seq_file *seq, struct task_struct *task,
				      struct control *control, __u64 now)
{
	struct task_entry *entry = find_entry(task);
	struct task_struct *seen;
	struct mm_struct *mm;

	if (!entry)
		return;
	touch_next(task);
	if (!claim_task(entry, control->epoch))
		return;
	seen = untrusted(task);
	__builtin_memset(&record, 0, sizeof(record));
	record.pid = pid_of(seen->group_leader);
	record.tid = pid_of(seen);
	record.group = entry->group;
	record.started = task->start_time;
	record.at = control->base_time + (now - control->base_clock);
	record.kernel_stack_bytes = kernel_stack_bytes();
	for (__u32 at = 0; at < sizeof(record.comm); at++)
		record.comm[at] = task->comm[at];
	read_totals(task, entry, now);
	/* Afterwards: totals of a task said to be unsettled hold nothing that its next group is charged with. */
	if (entry->unsettled)
		record.unsettled = (__u64)task;
	mm = seen->mm;
	if (mm) {
		record.mm = (__u64)mm;
		if (record.mm != last_mm)
			read_memory(&record, mm);
		read_pending(&record, task);
		last_mm = record.mm;
	}
	bpf_seq_write(seq, &record, sizeof(record));
}

/*
 * int bpf_iter_task(struct bpf_iter_meta *meta, struct task_struct *task)
 *
 * Seen on 6.1, 6.12, 6.18, 7.3. Called for each task of the reader's PID namespace, and once without a
 * task at the end.
 */
SEC("iter/task")
int on_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct control *control = control_block();

	if (!task || !control)
		return 0;
	if (ctx->meta->seq_num == 0) {
		note_reader();
		last_mm = 0;
	}
	read_task(ctx->meta->seq, task, control, clock_now(control, ctx->meta->seq_num));
	return 0;
}

/* int bpf_iter_task(...): the same. Writes the pid of each process that has a task added. */
SEC("iter/task")
int on_assign(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct control *control = control_block();
	__u32 pid;

	if (!task || !control)
		return 0;
	if (ctx->meta->seq_num == 0) {
		note_reader();
		learn_registers(control, bpf_get_current_task_btf());
		last_process = 0;
	}
	if (!assign_task(task, control, clock_now(control, ctx->meta->seq_num)))
		return 0;
	pid = pid_of(untrusted(task)->group_leader);
	if (pid != last_process && bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid)) == 0)
		last_process = pid;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
