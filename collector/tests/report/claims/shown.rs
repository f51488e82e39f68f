//! How verdicts are shown: tables, the table of isolation levels, JSON.

use std::collections::BTreeSet;

use connscope::export::{Format, Style, write};
use connscope::figures::{Claim, ClaimsRun, Figure, Missing, Test, Unit};
use connscope::report::claims::{Claims, Level, build};
use serde_json::Value;

use super::super::documentation::{documented, fields, parts};
use super::super::tables::same_as_file;
use super::{around, claim, figure, flushes, missing, point, rounds, run, test};

/// Two levels of one database.
fn isolation() -> [Figure; 5] {
    let levels = ["read committed", "serializable"];
    let of = |name: &str, unit, values: [f64; 2]| {
        let points = levels
            .iter()
            .zip(values)
            .map(|(level, value)| point(&format!("PostgreSQL, {level}"), None, around(value)));
        figure(name, unit, Some("database, level"), points.collect())
    };
    let anomalies = [
        ("read committed: dirty read", [0.0, 0.0]),
        ("read committed: lost update", [1.0, 0.0]),
        ("serializable: dirty read", [0.0, 0.0]),
        ("serializable: lost update", [0.0, 0.0]),
    ];
    let anomalies = anomalies.iter().map(|(at, [first, second])| {
        point(
            &format!("PostgreSQL, {at}"),
            None,
            rounds(&[&[*first], &[*second]]),
        )
    });
    let axis = Some("database, level: anomaly");
    [
        figure(
            "isolation_anomalies",
            Unit::Share,
            axis,
            anomalies.collect(),
        ),
        of("transaction_rate", Unit::PerSecond, [4_100.0, 1_900.0]),
        of("transaction_retries", Unit::Number, [0.001, 0.31]),
        of("transaction_lock_wait", Unit::Seconds, [310e-6, 190e-6]),
        of("transaction_switches", Unit::Number, [7.9, 12.4]),
    ]
}

#[test]
fn levels_of_isolation_are_a_table() {
    let report = build(&run(Vec::new(), isolation().into()));
    let [database] = &report.isolation[..] else {
        panic!("{:?}", report.isolation);
    };
    let [committed, serializable] = &database.levels[..] else {
        panic!("{database:?}");
    };
    let seen = |level: &Level| {
        let all = level.anomalies.iter();
        all.map(|it| (it.anomaly.clone(), it.seen))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("dirty read".to_owned(), 0.0),
        ("lost update".to_owned(), 0.5),
    ];
    assert_eq!(seen(committed), expected);
    assert_eq!(seen(serializable)[1].1, 0.0);
    assert_eq!(committed.transactions_per_second, Some(4_100.0));
    assert_eq!(serializable.switches_per_transaction, Some(12.4));
}

/// One run with all that a report can hold.
pub(crate) fn every_verdict() -> ClaimsRun {
    let mut figures = flushes(&[(2.0, 0.01), (6.0, 0.02), (7.0, 1.0), (8.0, 1.0)]);
    let single = |name, unit, value| figure(name, unit, None, vec![point("", None, around(value))]);
    figures.push(single("fork", Unit::Seconds, 1.4e-3));
    figures.push(single("memory", Unit::Bytes, 1.7e9));
    figures.push(single("wait", Unit::Seconds, 10e-6));
    let mut cfs = point("", None, rounds(&[&[0.0], &[0.0], &[0.0]]));
    cfs.note = Some("EEVDF".into());
    figures.push(figure("cfs", Unit::YesNo, None, vec![cfs]));
    figures.extend(isolation());
    let claims = vec![
        claim("fork", vec![test("fork", Some(1e-3), Some(4e-3))]),
        claim(
            "memory",
            vec![Test {
                claimed: Some(100e9),
                label: Some("processes".into()),
                ..test("memory", Some(50e9), Some(200e9))
            }, test("fork", None, Some(2e-3))],
        ),
        claim("flushes", vec![test("flushes", Some(0.95), None)]),
        claim("wait", vec![test("wait", None, Some(10e-6))]),
        claim("scheduler", vec![test("cfs", Some(1.0), None)]),
        Claim {
            group: "Elsewhere".into(),
            note: Some("a remark that is long enough to be broken into several lines on any screen that people use".into()),
            ..claim("time", vec![test("time", Some(1.0), None)])
        },
        claim("gone", vec![test("gone", Some(1.0), None)]),
    ];
    let mut run = run(claims, figures);
    run.missing = vec![
        missing(None, false),
        Missing {
            measure: "gone".into(),
            reason: "a server died".into(),
            ..missing(None, true)
        },
    ];
    run
}

fn written(format: Format, width: Option<u16>) -> String {
    let style = Style {
        color: false,
        width,
    };
    let report: Claims = build(&every_verdict());
    let mut out = Vec::new();
    write(&report, format, &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tables() {
    for (width, name) in [(80, "claims_narrow.txt"), (120, "claims.txt")] {
        let table = written(Format::Table, Some(width));
        let longest = table.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(width.into()), "{table}");
        same_as_file(name, &table);
    }
}

#[test]
fn every_field_is_documented_and_none_besides() {
    let text = written(Format::Json, None);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report["schema"], &report["command"]),
        (&1.into(), &"claims".into())
    );
    assert_eq!(report["claims"][2]["verdict"], "depends");
    assert_eq!(report["claims"][2]["tests"][0]["results"][3]["median"], 1.0);
    let mut names = BTreeSet::new();
    fields(&report, &mut names);
    // Verdicts and the letters of sources are keys too; one verdict is called as a field.
    let keys = |key: &str| report[key].as_object().unwrap().keys().cloned().collect();
    let keys: [BTreeSet<String>; 3] = [keys("host"), keys("verdicts"), keys("sources")];
    let mut names = keys.iter().fold(names, |names, keys| &names - keys);
    assert!(report["unavailable"][0]["failed"].is_boolean());
    names.insert("failed".to_owned());
    assert_eq!(names, documented(parts()[3]));
}
