//! Tables as people see them, sign by sign. After a change that is meant, run the tests with
//! `UPDATE_TABLES=1` and look at what changed.

use std::path::PathBuf;

use clap::ValueEnum as _;
use connscope::export::{Format, Style, write};
use connscope::report::{self, Report};
use connscope::snapshot::{Recording, Unavailable};

use super::sample::{attach, compare};

fn table(recording: &Recording, style: Style) -> String {
    table_of(&report::build(recording).unwrap(), &style)
}

pub(crate) fn table_of(report: &Report, style: &Style) -> String {
    let mut out = Vec::new();
    write(report, Format::Table, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The words of a table, with a space between any two.
pub(crate) fn words(recording: &Recording) -> String {
    let table = table(recording, Style::default());
    table.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn plain(width: u16) -> Style {
    Style {
        color: false,
        width: Some(width),
    }
}

#[track_caller]
pub(crate) fn same_as_file(name: &str, table: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/report")
        .join(name);
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = table
        .lines()
        .zip(expected.lines())
        .find(|(told, expected)| told != expected);
    assert!(
        table == expected,
        "{name}: first difference (now, before): {differs:#?}\n{table}"
    );
}

/// What may go wrong, gone wrong.
fn troubled() -> Recording {
    let mut recording = compare(1);
    recording.incomplete = Some("interrupted by SIGINT".to_owned());
    recording.runs.truncate(4);
    let run = &mut recording.runs[1];
    run.incomplete = Some("the server ended with signal 9".to_owned());
    run.end.losses[1].count = 12;
    run.end.roles[1].tasks[0].totals.unseen = 3;
    let client = run.client.as_mut().unwrap();
    client.late_sends = 1_234;
    client.late_send_max_seconds = 0.0123;
    client.latency_in_doubt = true;
    client.errors.reset = 7;
    client.unanswered = 2;
    client.latency.as_mut().unwrap().is_bound = true;
    for run in &mut recording.runs {
        run.memory_points.clear();
    }
    let unavailable = [
        (
            "marginal_bytes_per_connection",
            "no cgroup could be made: read-only file system",
        ),
        ("run_queue_depth", "rq has no field h_nr_runnable here"),
        ("hardware_counters", "no PMU on this machine"),
        ("shootdowns", "by the hypervisor, which no event shows"),
    ];
    recording.unavailable = unavailable
        .map(|(measure, reason)| Unavailable {
            measure: measure.to_owned(),
            reason: reason.to_owned(),
        })
        .to_vec();
    recording
}

#[test]
fn models_side_by_side() {
    same_as_file("compare.txt", &table(&compare(1), plain(100)));
}

#[test]
fn repeats_side_by_side() {
    same_as_file("repeats.txt", &table(&compare(3), plain(100)));
}

#[test]
fn models_on_a_narrow_screen() {
    same_as_file("narrow.txt", &table(&compare(3), plain(80)));
}

#[test]
fn what_went_wrong_is_said() {
    same_as_file("troubled.txt", &table(&troubled(), plain(100)));
}

#[test]
fn a_generator_that_was_the_bottleneck_says_how_busy_it_was() {
    let mut recording = compare(1);
    let client = recording.runs[0].client.as_mut().unwrap();
    client.generator_was_bottleneck = true;
    client.latency_in_doubt = true;
    client.cpu_seconds = 4.9;
    let table = table(&recording, Style::default());
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected =
        "the load generator used 98 % of a CPU: it was the bottleneck; latency is in doubt";
    assert!(words.contains(expected), "{table}");
}

#[test]
fn a_process_and_its_busiest_tasks() {
    same_as_file("attach.txt", &table(&attach(), plain(100)));
}

#[test]
fn no_line_is_wider_than_the_screen() {
    for width in [60, 80, 100, 140] {
        let server = super::server::troubled();
        for recording in [compare(1), compare(3), troubled(), attach(), server] {
            for line in table(&recording, plain(width)).lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_emphasis() {
    let coloured = table(
        &compare(1),
        Style {
            color: true,
            width: Some(100),
        },
    );
    let mut text = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        text.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    text.push_str(rest);
    let trimmed: Vec<_> = text.lines().map(str::trim_end).collect();
    let plain = table(&compare(1), plain(100));
    assert_ne!(coloured, plain);
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

#[test]
fn formats_are_named_as_on_the_command_line() {
    for format in Format::value_variants() {
        let name = format.to_string();
        assert_eq!(Format::from_str(&name, false), Ok(*format));
    }
    assert_eq!(
        [Format::Table.to_string(), Format::Json.to_string()],
        ["table", "json"]
    );
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let report = report::build(&attach()).unwrap();
    for format in Format::value_variants() {
        let error = write(&report, *format, &Style::default(), &mut Full).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{format}");
    }
}
