//! Reads what Perfetto is given, by the numbers of its schema and not by the writer's code: states of threads as its
//! trace processor makes rows of them, slices, instants, arrows.
#![allow(dead_code, unreachable_pub)]

use flate2::read::ZlibDecoder;
use std::{collections::BTreeMap, io::Read};

/// A field of a message: a number, or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message (protobuf.dev/programming-guides/encoding).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a whole number");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_at(8);
                bytes = rest;
                Field::Number(u64::from_le_bytes(number.try_into().expect("eight")))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(inner)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// The fields of a message that come once.
struct Message<'a>(Vec<(u64, Field<'a>)>);

impl<'a> Message<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self(fields(bytes))
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field<'a>> {
        let has = move |field: &&(u64, Field<'a>)| field.0 == number;
        self.0.iter().filter(has).map(|(_, field)| field)
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.numbers(number).into_iter().next()
    }

    fn numbers(&self, number: u64) -> Vec<u64> {
        let value = |field: &Field<'_>| match field {
            Field::Number(value) => *value,
            Field::Bytes(_) => panic!("field {number} is no number"),
        };
        self.all(number).map(value).collect()
    }

    fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        self.all(number).next().map(|field| match field {
            Field::Bytes(bytes) => *bytes,
            Field::Number(_) => panic!("field {number} is a number"),
        })
    }

    fn message(&self, number: u64) -> Option<Message<'a>> {
        self.bytes(number).map(Message::of)
    }

    fn text(&self, number: u64) -> String {
        let bytes = self.bytes(number).unwrap_or_default();
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

/// A state of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub at_ns: u64,
    pub cpu: u64,
    /// `TaskStateEnum`.
    pub state: u64,
}

pub const RUNNABLE: u64 = 2;
pub const RUNNING: u64 = 3;
pub const ASLEEP: u64 = 4;
pub const UNINTERRUPTIBLE: u64 = 5;
pub const NOT_RECORDED: u64 = 6;
pub const DEAD: u64 = 7;
pub const DESTROYED: u64 = 8;

/// A slice; of an instant both ends are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub track: u64,
    pub name: String,
    pub from_ns: u64,
    pub to_ns: u64,
    pub flows: Vec<u64>,
    pub ending_flows: Vec<u64>,
    /// Numbers that are noted with it.
    pub notes: BTreeMap<String, u64>,
}

/// What is in a trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// By thread id.
    pub states: BTreeMap<u64, Vec<State>>,
    pub slices: Vec<Slice>,
    /// Process and thread id of the tracks of threads.
    pub threads: BTreeMap<u64, (u64, u64)>,
    /// Names of processes by their ids.
    pub processes: BTreeMap<u64, String>,
    /// Names of other tracks.
    pub tracks: BTreeMap<u64, String>,
    open: BTreeMap<u64, Vec<Slice>>,
}

/// Reads a trace. Fails on what Perfetto would count as an error.
pub fn read(file: &[u8]) -> Trace {
    let mut trace = Trace::default();
    trace.packets(file);
    assert!(
        trace.open.values().all(Vec::is_empty),
        "slices without an end: {:?}",
        trace.open
    );
    for states in trace.states.values_mut() {
        states.sort_by_key(|state| state.at_ns);
        for pair in states.windows(2) {
            let runs = |state: &State| state.state == RUNNING;
            assert!(
                pair[0].at_ns < pair[1].at_ns,
                "two states at once: {pair:?}"
            );
            assert!(!(runs(&pair[0]) && runs(&pair[1])), "runs twice: {pair:?}");
        }
    }
    trace
}

impl Trace {
    fn packets(&mut self, bytes: &[u8]) {
        for (number, packet) in fields(bytes) {
            let (1, Field::Bytes(packet)) = (number, packet) else {
                panic!("field {number} in a trace");
            };
            let packet = Message::of(packet);
            match packet.bytes(50) {
                Some(compressed) => {
                    let mut inner = Vec::new();
                    let read = ZlibDecoder::new(compressed).read_to_end(&mut inner);
                    read.expect("deflated packets");
                    self.packets(&inner);
                }
                None => self.packet(&packet),
            }
        }
    }

    fn packet(&mut self, packet: &Message<'_>) {
        assert_eq!(packet.number(10), Some(1), "all are of one sequence");
        let at_ns = packet.number(8);
        if let Some(state) = packet.message(117) {
            let tid = state.number(3).expect("a thread id");
            assert!(!state.text(2).is_empty(), "a name");
            self.states.entry(tid).or_default().push(State {
                at_ns: at_ns.expect("a time"),
                cpu: state.number(1).expect("a CPU"),
                state: state.number(4).expect("a state"),
            });
        }
        if let Some(track) = packet.message(60) {
            self.track(&track);
        }
        if let Some(event) = packet.message(11) {
            self.event(at_ns.expect("a time"), &event);
        }
    }

    fn track(&mut self, track: &Message<'_>) {
        let uuid = track.number(1).expect("a number");
        if let Some(thread) = track.message(4) {
            let ids = (thread.number(1), thread.number(2));
            let (Some(pid), Some(tid)) = ids else {
                panic!("a thread without ids");
            };
            self.threads.insert(uuid, (pid, tid));
        } else if let Some(process) = track.message(3) {
            let pid = process.number(1).expect("a process id");
            self.processes.insert(pid, process.text(6));
        } else {
            self.tracks.insert(uuid, track.text(2));
        }
    }

    fn event(&mut self, at_ns: u64, event: &Message<'_>) {
        let track = event.number(11).expect("a track");
        assert!(
            self.threads.contains_key(&track) || self.tracks.contains_key(&track),
            "track {track} is told of before what is on it"
        );
        let notes = event.all(4).map(|note| {
            let Field::Bytes(note) = note else {
                panic!("no note");
            };
            let note = Message::of(note);
            (note.text(10), note.number(3).unwrap_or(u64::MAX))
        });
        let slice = Slice {
            track,
            name: event.text(23),
            from_ns: at_ns,
            to_ns: at_ns,
            flows: event.numbers(47),
            ending_flows: event.numbers(48),
            notes: notes.collect(),
        };
        let open = self.open.entry(track).or_default();
        match event.number(9) {
            Some(1) => open.push(slice),
            Some(2) => {
                let begun = open.pop().expect("a slice that began");
                assert!(begun.from_ns <= at_ns, "ends before it begins: {begun:?}");
                let to_ns = at_ns;
                self.slices.push(Slice { to_ns, ..begun });
            }
            Some(3) => self.slices.push(slice),
            other => panic!("an event of type {other:?}"),
        }
    }

    /// Nanoseconds of a thread by state, until then.
    pub fn time_in_state(&self, tid: u64, end_ns: u64) -> BTreeMap<u64, u64> {
        let mut sums = BTreeMap::new();
        let states = &self.states[&tid];
        for (place, state) in states.iter().enumerate() {
            let next = states.get(place + 1).map_or(end_ns, |next| next.at_ns);
            *sums.entry(state.state).or_default() += next.saturating_sub(state.at_ns);
        }
        sums
    }

    /// Nanoseconds of a thread's slices of that name.
    pub fn time_of(&self, tid: u64, name: &str) -> u64 {
        let of_thread =
            |slice: &&Slice| self.tid_of(slice.track) == Some(tid) && slice.name == name;
        let slices = self.slices.iter().filter(of_thread);
        slices.map(|slice| slice.to_ns - slice.from_ns).sum()
    }

    pub fn tid_of(&self, track: u64) -> Option<u64> {
        self.threads.get(&track).map(|(_, tid)| *tid)
    }

    /// All slices of that name.
    pub fn named(&self, name: &str) -> Vec<&Slice> {
        let of_name = |slice: &&Slice| slice.name == name;
        self.slices.iter().filter(of_name).collect()
    }

    /// When the window opened and closed.
    pub fn window(&self) -> (u64, u64) {
        let at = |name: &str| self.named(name)[0].from_ns;
        (at("timeline begins"), at("timeline ends"))
    }

    /// Of each CPU what ran there, by its beginning: start, end, thread. Two at once are an error.
    pub fn on_cpus(&self, end_ns: u64) -> BTreeMap<u64, Vec<(u64, u64, u64)>> {
        let mut cpus: BTreeMap<u64, Vec<(u64, u64, u64)>> = BTreeMap::new();
        for (tid, states) in &self.states {
            for (place, state) in states.iter().enumerate() {
                let next = states.get(place + 1).map_or(end_ns, |next| next.at_ns);
                if state.state == RUNNING {
                    let runs = cpus.entry(state.cpu).or_default();
                    runs.push((state.at_ns, next, *tid));
                }
            }
        }
        cpus.values_mut().for_each(|runs| runs.sort_unstable());
        cpus
    }
}
