//! From what is to be drawn to packets.

use super::{
    Thread, Writer,
    messages::{
        self, Clock, ClockSnapshot, DebugAnnotation, GenericKernelTaskStateEvent,
        ProcessDescriptor, ThreadDescriptor, TracePacket, TrackDescriptor, TrackEvent,
    },
};
use crate::report::timeline::{Mark, State, Summary, TaskName};
use crate::snapshot::timeline::Begun;
use std::io::Write;

/// Numbers of tracks, by what they are of: a thread's lane, a process, a CPU.
const THREADS: u64 = 1 << 32;
const PROCESSES: u64 = 2 << 32;
const SWITCHES: u64 = 3 << 32;
const ABOUT: u64 = 4 << 32;
/// And of arrows, with the lane of the task that was created.
const FLOWS: u64 = 5 << 32;
/// Above all thread ids: for one that is not known, with its lane.
const UNKNOWN_TID: i64 = 1 << 22;

impl<W: Write> Writer<W> {
    pub(super) fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Begins(begun) => self.begins(begun),
            Mark::Task(task) => self.task(task),
            Mark::State { lane, at_ns, state } => self.state(*lane, *at_ns, *state),
            Mark::Slept {
                lane,
                from_ns,
                to_ns,
                reason,
            } => self.slice(*from_ns, *to_ns, of_thread(*lane, "blocked", reason)),
            Mark::FirstRun {
                lane,
                from_ns,
                to_ns,
            } => {
                let event = TrackEvent {
                    terminating_flow_ids: vec![FLOWS | u64::from(*lane)],
                    ..of_thread(*lane, "created", "first run")
                };
                self.slice(*from_ns, *to_ns, event);
            }
            Mark::NotRecorded {
                lane,
                from_ns,
                to_ns,
                switches,
            } => {
                let event = TrackEvent {
                    debug_annotations: vec![number("switches not recorded", *switches)],
                    ..of_thread(*lane, "lost", "not recorded")
                };
                self.slice(*from_ns, *to_ns, event);
            }
            Mark::Created {
                lane,
                child,
                at_ns,
                how,
            } => {
                let event = TrackEvent {
                    flow_ids: vec![FLOWS | u64::from(*child)],
                    ..of_thread(*lane, "created", how)
                };
                self.instant(*at_ns, event);
            }
            Mark::Shootdown {
                lane,
                at_ns,
                sent,
                pages,
            } => self.shootdown(*lane, *at_ns, *sent, *pages),
            Mark::Gap {
                cpu,
                at_ns,
                ns,
                own_ns,
            } => self.gap(*cpu, *at_ns, *ns, *own_ns),
            Mark::Ends(summary) => self.ends(summary),
        }
    }

    fn begins(&mut self, begun: &Begun) {
        let clock = |clock_id, timestamp| Clock {
            clock_id: Some(clock_id),
            timestamp: Some(timestamp),
        };
        let clocks = vec![
            clock(messages::MONOTONIC, begun.at_ns),
            clock(messages::BOOTTIME, begun.boottime_ns),
            clock(messages::REALTIME, begun.realtime_ns),
        ];
        self.packet(TracePacket {
            clock_snapshot: Some(ClockSnapshot {
                clocks,
                primary_trace_clock: Some(messages::MONOTONIC as i32),
            }),
            ..TracePacket::default()
        });
        self.track(TrackDescriptor {
            uuid: Some(ABOUT),
            name: Some("connscope".to_owned()),
            ..TrackDescriptor::default()
        });
        self.track(TrackDescriptor {
            uuid: Some(SWITCHES),
            name: Some("Context switches of watched tasks".to_owned()),
            ..TrackDescriptor::default()
        });
    }

    fn task(&mut self, task: &TaskName) {
        let tid = match task.tid {
            0 => UNKNOWN_TID + i64::from(task.lane),
            tid => i64::from(tid),
        };
        let thread = Thread {
            tid,
            comm: task.comm.clone(),
            cpu: 0,
        };
        self.threads.insert(task.lane, thread);
        if self.processes.insert(task.pid) {
            let name = format!("{} ({}, {})", task.comm, task.target, task.role);
            self.track(TrackDescriptor {
                uuid: Some(PROCESSES | u64::from(task.pid)),
                process: Some(ProcessDescriptor {
                    pid: Some(task.pid as i32),
                    process_name: Some(name),
                }),
                ..TrackDescriptor::default()
            });
        }
        self.track(TrackDescriptor {
            uuid: Some(THREADS | u64::from(task.lane)),
            parent_uuid: Some(PROCESSES | u64::from(task.pid)),
            thread: Some(ThreadDescriptor {
                pid: Some(task.pid as i32),
                tid: Some(tid),
                thread_name: Some(task.comm.to_string()),
            }),
            ..TrackDescriptor::default()
        });
    }

    fn state(&mut self, lane: u32, at_ns: u64, state: State) {
        let Some(thread) = self.threads.get_mut(&lane) else {
            return;
        };
        if let State::Running(cpu) = state {
            thread.cpu = cpu;
        }
        let mut event = GenericKernelTaskStateEvent {
            cpu: Some(thread.cpu as i32),
            comm: Some(thread.comm.to_string()),
            tid: Some(thread.tid),
            state: Some(number_of(state)),
        };
        self.task_state(at_ns, event.clone());
        // Its thread id may be another's from now on.
        if state == State::Ended {
            event.state = Some(messages::DESTROYED);
            self.task_state(at_ns + 1, event);
            self.threads.remove(&lane);
        }
    }

    fn task_state(&mut self, at_ns: u64, event: GenericKernelTaskStateEvent) {
        self.at(
            at_ns,
            TracePacket {
                generic_kernel_task_state_event: Some(event),
                ..TracePacket::default()
            },
        );
    }

    fn shootdown(&mut self, lane: u32, at_ns: u64, sent: bool, pages: Option<u64>) {
        let name = match sent {
            true => "TLB shootdown sent",
            false => "TLB shootdown received",
        };
        let pages = match pages {
            Some(pages) => number("pages", pages),
            None => text("pages", "all"),
        };
        let event = TrackEvent {
            debug_annotations: vec![pages],
            ..of_thread(lane, "tlb", name)
        };
        self.instant(at_ns, event);
    }

    fn gap(&mut self, cpu: u32, at_ns: u64, ns: u32, own_ns: u32) {
        let uuid = SWITCHES | u64::from(cpu + 1);
        if self.cpus.insert(cpu) {
            self.track(TrackDescriptor {
                uuid: Some(uuid),
                parent_uuid: Some(SWITCHES),
                name: Some(format!("CPU {cpu}")),
                ..TrackDescriptor::default()
            });
        }
        let took_ns = u64::from(ns.saturating_sub(own_ns).max(1));
        let event = TrackEvent {
            debug_annotations: vec![
                number("as recorded, ns", ns.into()),
                number("the instrument's share, ns", own_ns.into()),
            ],
            ..of_track(uuid, "switch", "switch")
        };
        self.slice(at_ns, at_ns + took_ns, event);
    }

    fn ends(&mut self, summary: &Summary) {
        let begin = of_track(ABOUT, "window", "timeline begins");
        self.instant(summary.from_ns, begin);
        let mut notes = vec![
            number("switches", summary.switches),
            number("events not recorded", summary.lost),
            number("switches missing", summary.missing),
        ];
        notes.extend(summary.early.as_ref().map(|why| text("ended early", why)));
        let end = TrackEvent {
            debug_annotations: notes,
            ..of_track(ABOUT, "window", "timeline ends")
        };
        self.instant(summary.to_ns, end);
    }
}

fn number_of(state: State) -> i32 {
    match state {
        State::Running(_) => messages::RUNNING,
        State::Runnable => messages::RUNNABLE,
        State::Asleep => messages::INTERRUPTIBLE_SLEEP,
        State::Uninterruptible => messages::UNINTERRUPTIBLE_SLEEP,
        // No other state of ours is shown so.
        State::NotRecorded => messages::STOPPED,
        State::Ended => messages::DEAD,
    }
}

fn of_track(uuid: u64, category: &str, name: &str) -> TrackEvent {
    TrackEvent {
        track_uuid: Some(uuid),
        categories: vec![category.to_owned()],
        name: Some(name.to_owned()),
        ..TrackEvent::default()
    }
}

fn of_thread(lane: u32, category: &str, name: &str) -> TrackEvent {
    of_track(THREADS | u64::from(lane), category, name)
}

fn number(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation {
        name: Some(name.to_owned()),
        uint_value: Some(value),
        ..DebugAnnotation::default()
    }
}

fn text(name: &str, value: &str) -> DebugAnnotation {
    DebugAnnotation {
        name: Some(name.to_owned()),
        string_value: Some(value.to_owned()),
        ..DebugAnnotation::default()
    }
}
