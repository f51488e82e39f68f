//! Timelines in Perfetto's format, for ui.perfetto.dev and its trace processor: each task's states in its own tracks of
//! scheduling (CPUs and threads), sleeps as slices by what they are on, creations as arrows to the first run, shootdowns
//! as instants, and how long switches took in tracks of their own.
//!
//! Packets are compressed in parts of a megabyte and written as they come.

mod drawing;
mod messages;

use crate::report::timeline::Mark;
use flate2::{Compression, write::ZlibEncoder};
use messages::{Trace, TracePacket, TrackDescriptor, TrackEvent};
use prost::Message;
use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    sync::Arc,
};

/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// Bytes that are compressed together.
const PART: usize = 1 << 20;

/// A task, as its states are written.
struct Thread {
    tid: i64,
    comm: Arc<str>,
    /// Where it runs, or ran last: without it no reader ends its slice there.
    cpu: u32,
}

/// A trace that is written.
pub struct Writer<W: Write> {
    out: W,
    packets: Vec<u8>,
    threads: HashMap<u32, Thread>,
    processes: HashSet<u32>,
    cpus: HashSet<u32>,
    begun: bool,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub fn begin(out: W) -> Self {
        Self {
            out,
            packets: Vec::new(),
            threads: HashMap::new(),
            processes: HashSet::new(),
            cpus: HashSet::new(),
            begun: false,
        }
    }

    /// Writes what is to be drawn.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn put(&mut self, marks: &[Mark]) -> io::Result<()> {
        for mark in marks {
            self.mark(mark);
            if self.packets.len() >= PART {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// What has gathered, as one packet.
    fn flush(&mut self) -> io::Result<()> {
        if self.packets.is_empty() {
            return Ok(());
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.packets)?;
        self.packets.clear();
        let part = Trace {
            packet: vec![TracePacket {
                compressed_packets: Some(encoder.finish()?),
                ..TracePacket::default()
            }],
        };
        self.out.write_all(&part.encode_to_vec())
    }

    fn packet(&mut self, packet: TracePacket) {
        let flags = (!self.begun).then_some(messages::INCREMENTAL_STATE_CLEARED);
        self.begun = true;
        let trace = Trace {
            packet: vec![TracePacket {
                trusted_packet_sequence_id: Some(SEQUENCE),
                sequence_flags: flags,
                ..packet
            }],
        };
        self.packets.extend(trace.encode_to_vec());
    }

    fn at(&mut self, at_ns: u64, packet: TracePacket) {
        self.packet(TracePacket {
            timestamp: Some(at_ns),
            timestamp_clock_id: Some(messages::MONOTONIC),
            ..packet
        });
    }

    fn event(&mut self, at_ns: u64, event: TrackEvent) {
        self.at(
            at_ns,
            TracePacket {
                track_event: Some(event),
                ..TracePacket::default()
            },
        );
    }

    fn slice(&mut self, from_ns: u64, to_ns: u64, event: TrackEvent) {
        let end = TrackEvent {
            r#type: Some(messages::SLICE_END),
            track_uuid: event.track_uuid,
            ..TrackEvent::default()
        };
        let begin = TrackEvent {
            r#type: Some(messages::SLICE_BEGIN),
            ..event
        };
        self.event(from_ns, begin);
        self.event(to_ns, end);
    }

    fn instant(&mut self, at_ns: u64, event: TrackEvent) {
        let event = TrackEvent {
            r#type: Some(messages::INSTANT),
            ..event
        };
        self.event(at_ns, event);
    }

    fn track(&mut self, track: TrackDescriptor) {
        self.packet(TracePacket {
            track_descriptor: Some(track),
            ..TracePacket::default()
        });
    }
}
