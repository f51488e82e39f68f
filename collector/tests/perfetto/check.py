"""Reads a trace by the schema that Perfetto publishes: what that does not know is an error. Then makes rows of task states
as Perfetto's trace processor does (generic_kernel_parser.cc, thread_state_tracker.cc), which itself is in no package
registry, and prints their sums as JSON."""

import collections
import json
import sys
import zlib

from google.protobuf import unknown_fields
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto


def packets(data):
    for packet in perfetto.Trace.FromString(data).packet:
        if packet.HasField("compressed_packets"):
            yield from packets(zlib.decompress(packet.compressed_packets))
        else:
            yield packet


def check(message):
    """No field, and no value of an enumeration, that the schema does not know."""
    unknown = unknown_fields.UnknownFieldSet(message)
    assert len(unknown) == 0, f"{message.DESCRIPTOR.full_name}: fields {[it.field_number for it in unknown]}"
    for field, value in message.ListFields():
        if field.message_type:
            for one in value if field.is_repeated else [value]:
                check(one)


class Scheduling:
    """Slices of CPUs and states of threads."""

    def __init__(self):
        self.cpus = {}
        self.states = {}
        self.on_cpu = collections.Counter()
        self.in_state = collections.defaultdict(collections.Counter)
        self.errors = []
        self.overlaps = 0

    def event(self, at, event):
        tid, state = event.tid, event.state
        before, since = self.states.get(tid, (None, None))
        running = event.TASK_STATE_RUNNING
        if before == event.TASK_STATE_DEAD and state != event.TASK_STATE_DESTROYED or before == state == running:
            self.errors.append(f"{tid} at {at}: {state} after {before}")
            return
        if before is not None:
            if since == at:
                self.errors.append(f"{tid} at {at}: twice")
            self.in_state[tid][before] += at - since
        self.states[tid] = (state, at)
        on_cpu, begun = self.cpus.get(event.cpu, (None, None))
        if state == running:
            if on_cpu is not None:
                self.overlaps += 1
                self.on_cpu[on_cpu] += at - begun
            self.cpus[event.cpu] = (tid, at)
        elif on_cpu == tid:
            self.on_cpu[tid] += at - begun
            del self.cpus[event.cpu]
        if state == event.TASK_STATE_DESTROYED:
            del self.states[tid]

    def end(self, at):
        """What is under way. The last snapshot came to some tasks a moment after its first."""
        for tid, (state, since) in self.states.items():
            self.in_state[tid][state] += max(0, at - since)
        for tid, begun in self.cpus.values():
            self.on_cpu[tid] += max(0, at - begun)


def main():
    with open(sys.argv[1], "rb") as file:
        all_packets = list(packets(file.read()))
    tracks, flows, ends, timed = set(), collections.Counter(), collections.Counter(), []
    window = {}
    for packet in all_packets:
        check(packet)
        if packet.HasField("track_descriptor"):
            tracks.add(packet.track_descriptor.uuid)
        elif packet.HasField("track_event"):
            event = packet.track_event
            assert event.track_uuid in tracks, f"an event on no track: {event}"
            flows.update(event.flow_ids)
            ends.update(event.terminating_flow_ids)
            if event.name.startswith("timeline "):
                window[event.name] = packet.timestamp
        elif packet.HasField("generic_kernel_task_state_event"):
            timed.append((packet.timestamp, packet.generic_kernel_task_state_event))
        else:
            assert packet.HasField("clock_snapshot"), packet
    assert all(count == 1 for count in (*flows.values(), *ends.values())), "an arrow is used twice"
    assert set(ends) <= set(flows), "an arrow comes from nowhere"
    scheduling = Scheduling()
    for at, event in sorted(timed, key=lambda it: it[0]):
        scheduling.event(at, event)
    scheduling.end(window["timeline ends"])
    print(json.dumps({
        "packets": len(all_packets),
        "errors": scheduling.errors,
        "overlaps": scheduling.overlaps,
        "in_state": scheduling.in_state,
        "on_cpu": scheduling.on_cpu,
        "arrows": len(ends),
    }))


main()
