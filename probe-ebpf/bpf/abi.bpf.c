// SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only
/* No program: its BTF carries the layouts of abi.h and abi_*.h to the skeleton that src/abi.rs is made of. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "abi_stacks.h"
#include "abi_timeline.h"

struct {
	struct task_record task_record;
	struct group_stats group_stats;
	struct group_rule group_rule;
	struct assignment assignment;
	struct task_key task_key;
	struct settlement settlement;
	struct control control;
	struct kernel_type_ids kernel_type_ids;
	struct creation_key creation_key;
	struct losses losses;
	struct task_identity task_identity;
	struct process_sockets process_sockets;
	struct socket_waiter socket_waiter;
	struct fault_window fault_window;
	struct fault_counts fault_counts;
	enum fault_class fault_class;
	enum fault_mode fault_mode;
	struct group_calls group_calls;
	struct call_losses call_losses;
	struct call call;
	struct own_call own_call;
	struct switch_record switch_record;
	struct stamp_counts stamp_counts;
	struct stack_frames stack_frames;
	struct stack_key stack_key;
	struct stack_count stack_count;
	struct stack_control stack_control;
	struct stack_losses stack_losses;
	struct timeline_switch timeline_switch;
	struct timeline_creation timeline_creation;
	struct timeline_shootdown timeline_shootdown;
	struct timeline_counts timeline_counts;
	enum histogram_shape histogram_shape;
	enum ended ended;
	enum loss loss;
	enum task_state task_state;
	enum reason reason;
	enum flush_reason flush_reason;
	enum space space;
	enum group_number group_number;
	enum call_kind call_kind;
	enum switch_kind switch_kind;
	enum switch_flag switch_flag;
	enum stack_shape stack_shape;
	enum stack_id stack_id;
	enum stack_of stack_of;
	enum timeline_kind timeline_kind;
	enum timeline_left timeline_left;
} abi;
