//! Each rule on either side of its threshold, with figures known by hand.

use connscope::export::{Document, Format, write};
use connscope::report::findings::{Confidence, Examined, RULES};
use connscope::report::{self, Report};
use connscope::snapshot::{Role, Run};

use super::rules::{CASES, clients};
use super::sample::{attach, compare};
use super::server::{AUTOVACUUM, CLIENT, STARTING, connect, own, server, troubled, watched};
use super::tables::{plain, same_as_file, table_of};

fn of(run: Run) -> Report {
    report::build(&watched(run)).unwrap()
}

#[track_caller]
fn examined<'a>(report: &'a Report, rule: &str) -> &'a Examined {
    let mut rules = report.rules.iter();
    rules.find(|examined| examined.rule == rule).unwrap()
}

#[test]
fn a_server_without_trouble_has_no_findings() {
    let report = of(server());
    assert_eq!(report.findings, []);
    assert_eq!(report.rules.len(), RULES.len());
    for examined in &report.rules {
        assert_eq!(
            examined.measured.is_none(),
            examined.reason.is_some(),
            "{examined:?}"
        );
    }
}

#[test]
fn each_rule_fires_from_its_threshold_on_and_not_below() {
    let ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids, CASES.map(|(id, _)| id));
    for (rule, (id, set)) in RULES.iter().zip(CASES) {
        for (part, fires) in [(0.985, false), (1.015, true)] {
            let mut run = server();
            set(&mut run, rule.threshold * part);
            let report = of(run);
            let seen = examined(&report, id);
            let measured = seen.measured.unwrap_or_else(|| panic!("{seen:?}"));
            let off = (measured / rule.threshold - part).abs();
            assert!(off < 0.006, "{id}: {measured}, {seen:?}");
            assert_eq!(seen.fired, fires, "{seen:?}");
            let found: Vec<_> = report.findings.iter().map(|found| found.rule).collect();
            assert_eq!(found.contains(&id), fires, "{found:?}");
        }
    }
}

#[test]
fn a_sentence_names_its_figure_as_the_table_shows_it() {
    for (rule, (id, set)) in RULES.iter().zip(CASES) {
        let mut run = server();
        set(&mut run, rule.threshold * 1.5);
        let report = of(run);
        let found = report
            .findings
            .iter()
            .find(|found| found.rule == id)
            .unwrap();
        let figure = rule.unit.show(found.measured);
        let figure = figure.trim_end_matches(" /s");
        assert!(
            found.sentence.contains(figure),
            "{figure}: {}",
            found.sentence
        );
    }
    // As above it in the column of the role.
    let mut run = server();
    clients(&mut run, |totals| totals.runnable_ns = totals.running_ns);
    let report = of(run);
    let table = table_of(&report, &plain(100));
    let row = table
        .lines()
        .find(|line| line.contains("of both, waiting"))
        .unwrap();
    assert!(row.contains("50 %"), "{row}");
    assert!(
        report.findings[0].sentence.contains("50 % of the time"),
        "{table}"
    );
}

#[test]
fn too_few_samples_are_no_finding_and_say_so() {
    let mut run = server();
    clients(&mut run, |totals| {
        (totals.arrivals, totals.voluntary, totals.involuntary) = (10, 2, 8);
        totals.runnable_ns = totals.running_ns * 9;
    });
    let report = of(run);
    for (rule, what) in [
        ("run_queue_wait", "waits for a CPU"),
        ("involuntary_switches", "switches"),
    ] {
        let seen = examined(&report, rule);
        let reason = format!("too few {what}: 120, needs 1,000");
        assert_eq!((seen.measured, seen.reason.as_ref()), (None, Some(&reason)));
    }
    let mut run = server();
    connect(&mut run, 19);
    run.own.as_mut().unwrap().roles[0].sampled.truncate(2);
    let report = of(run);
    let reason = examined(&report, "page_tables").reason.clone();
    assert_eq!(
        reason.as_deref(),
        Some("too few processes sampled for own memory: 2, needs 3")
    );
    assert_eq!(report.findings, []);
}

/// One that ended before it told what it is may have been a parallel worker.
#[test]
fn what_was_made_for_nobody_knows_whom_is_no_sure_finding() {
    let mut run = server();
    connect(&mut run, 400);
    let low = &of(run.clone()).findings[0];
    assert_eq!(
        (low.rule, low.confidence),
        ("churn_processes", Confidence::Low)
    );
    let told = "parallel workers of queries: 400 of 400 ended before they told what they are";
    assert!(low.sentence.contains(told), "{}", low.sentence);
    // Most were seen to be clients, and a few to be workers.
    let worker = add_role(&mut run, "parallel_worker");
    run.end.roles[CLIENT].ended_tasks = 300;
    run.end.roles[STARTING].ended_tasks = 90;
    run.end.roles[worker].ended_tasks = 10;
    let sure = &of(run.clone()).findings[0];
    assert_eq!(sure.confidence, Confidence::High);
    // Workers, and nobody came.
    run.end.roles[CLIENT].ended_tasks = 0;
    run.end.roles[STARTING].ended_tasks = 390;
    let report = of(run);
    assert_eq!(report.findings, []);
    let seen = examined(&report, "churn_processes");
    assert_eq!(seen.measured, Some(39.0));
    let reason = seen.reason.as_deref().unwrap();
    assert!(
        reason.ends_with("more were parallel workers than clients"),
        "{reason}"
    );
}

/// Autovacuum comes by once a minute, whoever connects.
#[test]
fn a_worker_of_autovacuum_holds_no_finding_back() {
    let mut run = server();
    connect(&mut run, 400);
    run.end.roles[STARTING].ended_tasks = 399;
    run.end.roles[AUTOVACUUM].ended_tasks = 1;
    let report = of(run);
    let low = &report.findings[0];
    assert_eq!(
        (low.rule, low.confidence),
        ("churn_processes", Confidence::Low)
    );
    let new = report.targets[0].new_connection.as_ref().unwrap();
    assert_eq!(
        (new.of_other_roles, new.helpers, new.unsettled),
        (1, 0, 399)
    );
}

/// Another role, which has no tasks; returns its place.
fn add_role(run: &mut Run, name: &str) -> usize {
    for snapshot in [&mut run.before, &mut run.start, &mut run.end] {
        snapshot.roles.push(Role {
            name: name.to_owned(),
            ..snapshot.roles[AUTOVACUUM].clone()
        });
    }
    run.end.roles.len() - 1
}

#[test]
fn what_is_above_a_threshold_and_does_not_matter_is_held_back() {
    let mut run = server();
    run.own = Some(own(100_000, 900_000));
    clients(&mut run, |totals| {
        (totals.voluntary, totals.involuntary) = (20, 100)
    });
    let report = of(run);
    for (rule, reason) in [
        (
            "page_tables",
            "too small to matter: 900 kB a process, below 1.05 MB",
        ),
        (
            "involuntary_switches",
            "too rare to cost anything: 120 /s, below 200 /s",
        ),
    ] {
        let seen = examined(&report, rule);
        assert!(
            seen.measured.unwrap() > seen.threshold && !seen.fired,
            "{seen:?}"
        );
        assert_eq!(seen.reason.as_deref(), Some(reason));
    }
}

#[test]
fn servers_that_are_compared_have_no_findings() {
    let report = report::build(&compare(1)).unwrap();
    assert_eq!((report.findings.len(), report.rules.len()), (0, 0));
    assert!(!table_of(&report, &plain(100)).contains("Findings"));
    assert!(!report::build(&attach()).unwrap().rules.is_empty());
}

#[test]
fn every_rule_and_its_threshold_is_documented() {
    let document = include_str!("../../../docs/findings.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), RULES.len(), "{rows:?}");
    for rule in RULES {
        let threshold = rule.unit.show(rule.threshold);
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("{}` |", rule.id)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", rule.id));
        assert!(
            row.contains(&format!("| {threshold} |")),
            "{threshold}: {row}"
        );
    }
}

#[test]
fn findings_end_the_table_and_rules_come_when_asked_for() {
    let report = report::build(&troubled()).unwrap();
    for width in [80, 120] {
        same_as_file(
            &format!("server_{width}.txt"),
            &table_of(&report, &plain(width)),
        );
    }
    let mut explained = Vec::new();
    write(
        Document::explained(&report),
        Format::Table,
        &plain(100),
        &mut explained,
    )
    .unwrap();
    let explained = String::from_utf8(explained).unwrap();
    let rules = explained.find("\nRules\n").unwrap();
    same_as_file("server_rules.txt", &explained[rules..]);
}
