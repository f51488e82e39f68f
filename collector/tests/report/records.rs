//! Records: what is read is what was written, or an error says why not.

use std::io::Read;

use connscope::export::{Format, Style, write};
use connscope::record::{Content, End, Entry, Error, Gathered, Origin, Reader, Record, Writer};
use connscope::report;
use connscope::snapshot::{Recording, Run, Snapshot};

use super::around::host;
use super::calibration;
use super::claims::shown as claims;
use super::sample::{self, attach, compare};

/// A record of format 1 as it was first written; what cannot read it any more has broken a promise.
const FIRST: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/report/format-1.connscope"
);

pub(crate) fn origin(recording: &Recording) -> Entry {
    Entry::Origin(Box::new(Origin {
        command: recording.command.clone(),
        command_line: vec!["connscope".to_owned(), recording.command.clone()],
        host_name: "db1".to_owned(),
        operating_system: Some("Debian GNU/Linux 12 (bookworm)".to_owned()),
        host: recording.host.clone(),
        methods: recording.methods.clone(),
        unavailable: recording.unavailable.clone(),
    }))
}

pub(crate) fn end(recording: &Recording) -> Entry {
    Entry::End(End {
        methods: recording.methods.clone(),
        unavailable: recording.unavailable.clone(),
        incomplete: recording.incomplete.clone(),
    })
}

/// As `compare` keeps it.
pub(crate) fn of_runs(recording: &Recording) -> Vec<Entry> {
    let runs = recording.runs.iter().cloned();
    let runs = runs.map(|run| Entry::Run(Box::new(run)));
    [origin(recording)]
        .into_iter()
        .chain(runs)
        .chain([end(recording)])
        .collect()
}

/// As `attach` and `record` keep it, with so many more snapshots in between.
fn of_watch(recording: &Recording, between: usize) -> Vec<Entry> {
    let snapshots = |of: fn(&Run) -> &Snapshot| {
        Entry::Snapshots(recording.runs.iter().map(of).cloned().collect())
    };
    let without = |run: &Run| Run {
        before: Snapshot::default(),
        start: Snapshot::default(),
        end: Snapshot::default(),
        ..run.clone()
    };
    let watched = || Entry::Watched(recording.runs.iter().map(without).collect());
    let between = (0..between).map(|_| snapshots(|run| &run.start));
    let mut entries = vec![origin(recording), watched()];
    entries.extend(between);
    entries.extend([
        snapshots(|run| &run.start),
        snapshots(|run| &run.end),
        watched(),
        end(recording),
    ]);
    entries
}

pub(crate) fn written(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new()).unwrap();
    entries.iter().for_each(|entry| writer.put(entry).unwrap());
    writer.finish().unwrap()
}

pub(crate) fn read(file: &[u8]) -> Result<Record, Error> {
    let mut gathered = Gathered::default();
    for entry in Reader::begin(file)? {
        gathered.take(entry?);
    }
    gathered.whole()
}

fn json(recording: &Recording) -> String {
    let mut out = Vec::new();
    let report = report::build(recording).unwrap();
    write(&report, Format::Json, &Style::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn recording(record: Record) -> Recording {
    match record.content {
        Content::Recording(recording) => recording,
        other => panic!("{other:?}"),
    }
}

/// What a live run gathers, without a file.
fn live(entries: Vec<Entry>) -> Recording {
    let mut gathered = Gathered::default();
    entries.into_iter().for_each(|entry| gathered.take(entry));
    recording(gathered.whole().unwrap())
}

#[track_caller]
fn comes_back(entries: Vec<Entry>, whole: &Recording) {
    let again = recording(read(&written(&entries)).unwrap());
    let (again, live) = (json(&again), json(&live(entries)));
    assert_eq!(again, live);
    assert_eq!(again, json(whole));
}

#[test]
fn the_report_of_a_record_is_that_of_the_run_byte_for_byte() {
    let mut compared = compare(3);
    // Figures of which every digit counts.
    let mut numbers = super::around::Numbers(11);
    for run in &mut compared.runs {
        let client = run.client.as_mut().unwrap();
        client.duration_seconds *= 1.0 + numbers.unit() / 1e6;
        client.cpu_seconds = numbers.unit() * 1e-7;
        client.late_send_max_seconds = numbers.unit() / 3.0;
    }
    compared.incomplete = Some("pooler at 10 connections: \"it\" ended\n".to_owned());
    comes_back(of_runs(&compared), &compared);
    comes_back(of_watch(&attach(), 0), &attach());
    comes_back(of_watch(&attach(), 5), &attach());
}

#[test]
fn a_calibration_comes_back_too() {
    let calibration = calibration::recording();
    let origin = origin(&sample::recording("calibrate", Vec::new()));
    let entries = [origin, Entry::Calibration(Box::new(calibration.clone()))];
    let Content::Calibration(again) = read(&written(&entries)).unwrap().content else {
        panic!("a recording");
    };
    let json = |it| {
        let mut out = Vec::new();
        let report = report::calibration::build(it);
        write(&report, Format::Json, &Style::default(), &mut out).unwrap();
        out
    };
    assert_eq!(json(&again), json(&calibration));
}

#[test]
fn the_origin_is_kept() {
    let record = read(&written(&of_runs(&compare(1)))).unwrap();
    assert_eq!(record.origin.command_line, ["connscope", "compare"]);
    assert_eq!(record.origin.host_name, "db1");
    assert_eq!(record.origin.host, host());
}

/// Anyone may look into a record with what they have.
#[test]
fn others_can_read_it() {
    let file = written(&of_watch(&attach(), 0));
    let mut text = String::new();
    zstd::Decoder::new(&file[..])
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    for line in text.lines() {
        let (digest, entry) = line.split_once(' ').unwrap();
        assert_eq!(digest.len(), 64);
        serde_json::from_str::<serde_json::Value>(entry).unwrap();
    }
    assert_eq!(text.lines().count(), 6);
}

/// Claims come back with every sample, and what went wrong with one is a trouble of the record's report too.
#[test]
fn claims_come_back_too() {
    let run = claims::every_verdict();
    let origin = origin(&sample::recording("claims", Vec::new()));
    let record = read(&written(&[origin, Entry::Claims(Box::new(run.clone()))])).unwrap();
    assert_eq!(record.troubles(), ["gone: a server died"]);
    let Content::Claims(again) = record.content else {
        panic!("{:?}", record.content);
    };
    assert_eq!(again, run);
}

/// Wherever it is cut off: what was written before that is there, and it is said that there was more.
#[test]
fn what_is_cut_off_is_read_as_far_as_it_goes() {
    let mut compared = compare(2);
    compared.runs.truncate(3);
    let file = written(&of_runs(&compared));
    let mut most = 0;
    for length in (0..file.len()).rev().step_by(7).chain(0..40) {
        match read(&file[..length]) {
            Ok(record) => {
                let recording = recording(record);
                let why = recording.incomplete.clone();
                if length < file.len() - 64 {
                    assert!(why.unwrap().contains("the record ends early"), "{length}");
                }
                most = most.max(recording.runs.len());
                json(&recording);
            }
            Err(Error::Empty) => assert!(length < file.len() / 2, "{length} of {}", file.len()),
            Err(error) => panic!("{length} of {}: {error}", file.len()),
        }
    }
    assert_eq!(most, 3);
    // All of it but the end of the stream.
    let record = read(&file[..file.len() - 4]).unwrap();
    assert_eq!(recording(record).incomplete, None);
}

/// Of a watch that was cut off, the report goes to the last snapshot that is there.
#[test]
fn a_watch_that_is_cut_off_ends_with_its_last_snapshot() {
    let attach = attach();
    let mut entries = of_watch(&attach, 0);
    entries.truncate(4);
    let mut writer = Writer::begin(Vec::new()).unwrap();
    entries.iter().for_each(|entry| writer.put(entry).unwrap());
    // Who writes is killed: no end of the stream either.
    let file = writer.finish().unwrap();
    let again = recording(read(&file[..file.len() - 7]).unwrap());
    assert_eq!(again.runs[0].end, attach.runs[0].end);
    assert_eq!(again.methods, attach.methods);
    let why = again.incomplete.unwrap();
    assert!(why.contains("ends early, after 4 entries"), "{why}");
}

/// A byte that is another makes it another file, or the same report: never a different one.
#[test]
fn what_was_altered_is_not_reported_on() {
    let mut compared = compare(1);
    compared.runs.truncate(1);
    let file = written(&of_runs(&compared));
    let whole = json(&compared);
    let (mut refused, mut tried) = (0, 0);
    for place in (0..file.len()).step_by(5).chain(0..120) {
        let mut altered = file.clone();
        altered[place] ^= 1 << (place % 8);
        tried += 1;
        match read(&altered) {
            Err(_) => refused += 1,
            Ok(record) => {
                let again = recording(record);
                let early = again.incomplete.is_some();
                assert!(early || json(&again) == whole, "byte {place}");
            }
        }
    }
    assert!(refused * 100 > tried * 95, "{refused} of {tried}");
}

/// The lines of a record, decompressed, put together anew after `edit`.
fn edited(file: &[u8], edit: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let header = 8 + u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    let text = zstd::decode_all(&file[header..]).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    edit(&mut lines);
    let compressed = zstd::encode_all(lines.concat().as_bytes(), 1).unwrap();
    [&file[..header], &compressed].concat()
}

#[test]
fn entries_that_were_altered_left_out_or_moved_are_noticed() {
    let file = written(&of_runs(&compare(1)));
    let damaged = |edit: fn(&mut Vec<String>)| match read(&edited(&file, edit)) {
        Err(Error::Damaged { entry, .. }) => entry,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&edited(&file, |_| ())).unwrap().troubles(), [""; 0]);
    let shorter =
        |lines: &mut Vec<String>| lines[2] = lines[2].replacen("\"cpu_ns\":", "\"cpu_ns\":1", 1);
    assert_eq!(damaged(shorter), 3);
    assert_eq!(damaged(|lines| drop(lines.remove(1))), 2);
    assert_eq!(damaged(|lines| lines.swap(2, 3)), 3);
    let said = read(&edited(&file, shorter)).unwrap_err().to_string();
    assert!(
        said.starts_with("it is damaged: entry 3 is not what was written"),
        "{said}"
    );
}

#[test]
fn what_is_no_record_is_said_to_be_none() {
    let fails = |file: &[u8]| read(file).unwrap_err().to_string();
    for foreign in [
        &b"PK\x03\x04"[..],
        b"x",
        &[0; 100],
        b"\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00",
    ] {
        assert!(
            fails(foreign).starts_with("it is no record of connscope"),
            "{foreign:?}"
        );
    }
    // A frame that others skip, with something else in it.
    let mut skipped = 0x184D_2A50_u32.to_le_bytes().to_vec();
    skipped.extend([3, 0, 0, 0, b'a', b'b', b'c']);
    assert!(fails(&skipped).starts_with("it is no record"));
    assert!(fails(b"{\n  \"schema\": 1").starts_with("it is a report in JSON"));
    assert!(fails(b"").starts_with("nothing was recorded"));
}

#[test]
fn what_a_newer_version_wrote_is_said_to_be_newer() {
    let file = written(&of_runs(&compare(1)));
    let text = String::from_utf8_lossy(&file[8..60]).into_owned();
    assert!(text.starts_with("{\"connscope_record\":1,"), "{text}");
    let mut newer = file.clone();
    let digit = 8 + "{\"connscope_record\":".len();
    newer[digit] = b'7';
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        read(&newer).unwrap_err().to_string(),
        format!(
            "it is a record of format 7, written by connscope {version}, and this version reads up to 1: \
             use that version or a newer one"
        )
    );
}

/// Fields that are not known are passed over, kinds of entries are not.
#[test]
fn what_is_not_understood_is_said() {
    struct Any(Vec<u8>);
    impl Any {
        fn put(&mut self, entry: &str) {
            let digest = ring::digest::digest(
                &ring::digest::SHA256,
                &[&self.0[..], entry.as_bytes()].concat(),
            );
            self.0 = digest.as_ref().to_vec();
        }
    }
    let file = written(&of_runs(&compare(1)));
    let header = 8 + u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    let mut chain = Any(
        ring::digest::digest(&ring::digest::SHA256, &file[8..header])
            .as_ref()
            .to_vec(),
    );
    let mut line = |entry: &str| {
        chain.put(entry);
        let digest: String = chain.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest} {entry}\n")
    };
    let with_field = "{\"end\":{\"methods\":[],\"unavailable\":[],\"incomplete\":null,\"mood\":3}}";
    let (known, unknown) = (line(with_field), line("{\"song\":{}}"));
    let replaced = edited(&file, |lines| *lines = vec![known, unknown]);
    let said = read(&replaced).unwrap_err().to_string();
    assert!(said.starts_with("entry 2, written by connscope"), "{said}");
    assert!(said.contains("unknown variant `song`"), "{said}");
}

#[test]
fn the_first_records_are_still_read() {
    let record = read(&std::fs::read(FIRST).unwrap()).unwrap();
    assert_eq!(record.troubles(), [""; 0]);
    let recording = recording(record);
    assert_eq!(recording.runs.len(), 4);
    let report = report::build(&recording).unwrap();
    let targets: Vec<_> = report.targets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(targets, ["process-per-connection", "event-loop"]);
    let switches = report.targets[0].measures.kernel.context_switches.as_ref();
    assert_eq!(switches.unwrap().voluntary, FIRST_SWITCHES);
}

const FIRST_SWITCHES: u64 = 197_409;

/// Makes the file for the test above, once for each format: `cargo test -- --ignored make_the_first`.
#[test]
#[ignore = "makes a file of the source"]
fn make_the_first() {
    let mut compared = compare(2);
    compared
        .runs
        .retain(|run| run.connections == Some(1) && run.name != "thread-per-connection");
    std::fs::write(FIRST, written(&of_runs(&compared))).unwrap();
}
