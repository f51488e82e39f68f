//! `connscope report A B ...`: which files go together, and what is said of those that do not.

use super::super::claims::shown::every_verdict;
use super::super::records::{end, of_runs, origin, written};
use super::super::sample::{self, attach, compare};
use super::super::{calibration, pages};
use super::{compared, named, record_of, slower};
use connscope::record::Entry;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder with a record of each kind, of two hosts where that makes sense.
fn files() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let place = move |name: &str| path.join(name);
    let claims = named(&sample::recording("claims", Vec::new()), "db1");
    let watch = attach();
    let mut of_watch = vec![origin(&watch)];
    of_watch.extend(
        watch
            .runs
            .iter()
            .map(|run| Entry::Run(Box::new(run.clone()))),
    );
    of_watch.push(end(&watch));
    for (name, bytes) in [
        ("cal1", record_of(&calibration::recording(), "db1")),
        ("cal2", record_of(&slower(), "db2")),
        ("cmp1", written(&of_runs(&compare(1)))),
        ("cmp2", written(&of_runs(&compared(2.0)))),
        (
            "claims",
            written(&[claims, Entry::Claims(Box::new(every_verdict()))]),
        ),
        ("watch", written(&of_watch)),
    ] {
        std::fs::write(place(name), bytes).unwrap();
    }
    (folder, place)
}

fn reported(files: &[PathBuf], options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connscope"));
    command
        .arg("report")
        .args(files)
        .args(options)
        .output()
        .unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn records_of_one_kind_are_laid_side_by_side() {
    let (_folder, place) = files();
    for (files, of) in [
        (["cal1", "cal2"], "calibrate"),
        (["cmp1", "cmp2"], "compare"),
    ] {
        let output = reported(&files.map(&place), &["--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&report["command"], &report["of"]),
            (&"report".into(), &of.into())
        );
        assert_eq!(report["hosts"].as_array().unwrap().len(), 2);
    }
}

/// What is laid side by side, but for the order, which names hosts.
fn figures(laid: &Value) -> Value {
    let mut laid = laid.clone();
    let blocks = laid.as_array_mut().unwrap().iter_mut();
    let figures = blocks.filter_map(|block| block.get_mut("figures")?.as_array_mut());
    for figure in figures.flatten() {
        figure["ranking"].take();
    }
    laid
}

/// Reports that were written in JSON say what their records do, but for where they come from.
#[test]
fn reports_in_json_are_laid_side_by_side_as_their_records_are() {
    let (folder, place) = files();
    let json = |name: &str| {
        let out = folder.path().join(format!("{name}.json"));
        let options = ["--format", "json", "--out", out.to_str().unwrap()];
        let output = reported(&[place(name)], &options);
        assert!(output.status.success(), "{output:?}");
        out
    };
    let laid = |files: &[PathBuf]| -> Value {
        let output = reported(files, &["--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    for (names, of) in [
        (["cal1", "cal2"], "operations"),
        (["cmp1", "cmp2"], "blocks"),
    ] {
        let of_records = laid(&names.map(&place));
        let of_reports = laid(&names.map(json));
        assert_eq!(figures(&of_reports[of]), figures(&of_records[of]));
        let labels = of_reports["hosts"].as_array().unwrap().iter();
        let labels: Vec<_> = labels.map(|host| host["label"].as_str().unwrap()).collect();
        assert_eq!(labels, names);
        // One of each.
        let mixed = laid(&[place(names[0]), json(names[1])]);
        assert_eq!(figures(&mixed[of]), figures(&of_records[of]));
        let page = folder.path().join("page.html");
        let options = ["--html", page.to_str().unwrap()];
        let output = reported(&names.map(json), &options);
        assert!(output.status.success(), "{output:?}");
        pages::stands_alone(&std::fs::read_to_string(page).unwrap());
    }
    let refuses = |files: &[PathBuf], status: i32, why: &str| {
        let output = reported(files, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    };
    let watch = json("watch");
    refuses(
        &[watch.clone(), watch],
        1,
        "it is a report of attach in JSON; those of compare and",
    );
    let other = folder.path().join("other.json");
    std::fs::write(&other, "{}").unwrap();
    refuses(
        &[place("cal1"), other.clone()],
        1,
        "it is no report of connscope",
    );
    std::fs::write(&other, r#"{"schema": 2, "command": "calibrate"}"#).unwrap();
    refuses(&[place("cal1"), other.clone()], 1, "use a newer one");
    std::fs::write(&other, r#"{"schema": 1, "command": "calibrate"}"#).unwrap();
    refuses(
        &[place("cal1"), other],
        1,
        "it is not understood: missing field",
    );
    let page = folder.path().join("page.html");
    let options = ["--html", page.to_str().unwrap()];
    let said = refused(&reported(&[json("cal1"), place("cmp1")], &options));
    assert!(said.contains("for a page name its record"), "{said}");
}

#[test]
fn what_cannot_be_laid_side_by_side_is_refused_with_the_remedy() {
    let (_folder, place) = files();
    let said = refused(&reported(&["cal1", "cmp1"].map(&place), &[]));
    assert!(
        said.starts_with("connscope: cannot lay a calibration ("),
        "{said}"
    );
    assert!(
        said.contains("a comparison (") && said.trim_end().ends_with("--html PAGE"),
        "{said}"
    );
    let said = refused(&reported(&["watch", "watch"].map(&place), &[]));
    assert!(said.contains("connscope diff A B"), "{said}");
    let said = refused(&reported(&["claims", "claims"].map(&place), &[]));
    assert!(said.contains("connscope report FILE"), "{said}");
    let said = refused(&reported(&["cal1", "cal2"].map(&place), &["--explain"]));
    assert!(said.contains("--explain is of one record"), "{said}");
}

/// Who reports a claim that failed says so, as the live run did; the others on the page are whole.
#[test]
fn a_page_holds_a_chapter_of_each_kind() {
    let (folder, place) = files();
    let page = folder.path().join("page.html");
    let options = ["--html", page.to_str().unwrap()];
    let output = reported(&["cmp1", "cal1", "cal2", "claims"].map(&place), &options);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("claims: gone: a server died"), "{said}");
    let page = std::fs::read_to_string(page).unwrap();
    pages::stands_alone(&page);
    let chapters = page.split("<h2 class=\"chapter\" id=\"").skip(1);
    let chapters: Vec<&str> = chapters
        .map(|it| it.split_once('>').unwrap().1.split_once('<').unwrap().0)
        .collect();
    assert_eq!(chapters, ["compare", "calibrate", "claims"]);
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .map(|it| it.split_once('"').unwrap().0)
        .collect();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "{ids:?}"
    );
    let links = page.split("href=\"#").skip(1);
    for link in links.map(|it| it.split_once('"').unwrap().0) {
        assert!(ids.contains(&link), "{link}");
    }
    for words in [
        "The TLB curve",
        "Where the time goes",
        "what is said of fork <code>fork</code>",
        "does not hold, 59 times less",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}
