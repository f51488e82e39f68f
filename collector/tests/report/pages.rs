//! The page for a browser: whole, by itself, and of what the report holds.

use connscope::export::{Document, Format, Style, write};
use connscope::record::Entry;
use connscope::report;
use connscope::snapshot::Recording;

use super::calibration;
use super::claims::shown::every_verdict;
use super::records::{of_runs, read, written};
use super::sample::{MODELS, attach, compare, recording, run};

fn page<'a>(document: impl Into<Document<'a>>) -> String {
    let mut out = Vec::new();
    write(document, Format::Html, &Style::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn of(recording: &Recording) -> String {
    page(&report::build(recording).unwrap())
}

/// Fails unless every element that is opened is closed, in order; returns the names of all of them.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 3] = ["meta", "!doctype", "br"];
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for tag in page.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("a tag ends");
        let name: String = inside
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '!')
            .collect();
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{inside}>");
            continue;
        }
        seen.push(name.clone());
        if !VOID.contains(&name.as_str()) && !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    seen
}

/// Nothing is fetched and nothing is run.
#[track_caller]
pub(crate) fn stands_alone(page: &str) {
    let seen = elements(page);
    for element in [
        "script", "link", "img", "iframe", "object", "embed", "base", "form",
    ] {
        assert!(!seen.iter().any(|name| name == element), "<{element}>");
    }
    for word in [
        "http:",
        "https:",
        "src=",
        "@import",
        "url(",
        "javascript:",
        " on",
    ] {
        let inside = page
            .split('<')
            .skip(1)
            .filter_map(|tag| Some(tag.split_once('>')?.0));
        let found = inside
            .into_iter()
            .find(|tag| tag.contains(word) && !tag.contains("aria-label"));
        assert_eq!(found, None, "{word}");
    }
    let style = page
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"));
    assert!(!style.expect("a style").0.contains("url("));
}

fn sections(page: &str) -> Vec<&str> {
    let titles = page.split("<h2 id=\"").skip(1);
    titles
        .filter_map(|title| Some(title.split_once('>')?.1.split_once('<')?.0))
        .collect()
}

#[test]
fn models_stand_side_by_side() {
    let page = of(&compare(3));
    stands_alone(&page);
    let expected = [
        "At a glance",
        "With more connections",
        "Distributions",
        "Where the time goes",
        "What a switch takes",
        "All figures",
        "Methods and losses",
    ];
    assert_eq!(sections(&page), expected);
    for model in &MODELS {
        assert!(page.matches(model.name).count() > 10, "{}", model.name);
    }
    // Each row of the table is there.
    let mut table = Vec::new();
    let report = report::build(&compare(3)).unwrap();
    write(&report, Format::Table, &Style::default(), &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    let labels = table
        .lines()
        .filter(|line| line.starts_with("  "))
        .filter_map(|line| line.trim().split("  ").next());
    let mut checked = 0;
    for label in labels.take(60) {
        let label = label.replace('&', "&amp;");
        checked += usize::from(page.contains(&format!(">{label}</")));
    }
    assert!(checked >= 50, "{checked} of 60 labels");
}

/// The largest of the bars is as wide as there is room, and the others in proportion.
#[test]
fn bars_are_in_proportion() {
    let recording = compare(1);
    let report = report::build(&recording).unwrap();
    let page = page(&report);
    let card = page
        .split("<figcaption>Memory <span>of one more")
        .nth(1)
        .unwrap();
    let card = card.split("</figure>").next().unwrap();
    let widths: Vec<f64> = card
        .split("width:")
        .skip(1)
        .map(|rest| rest.split('%').next().unwrap().parse().unwrap())
        .collect();
    let slopes = report
        .targets
        .iter()
        .filter(|it| it.connections == Some(1000));
    let slopes = slopes.map(|it| {
        it.measures
            .kernel
            .memory
            .marginal_bytes_per_connection
            .clone()
    });
    let mut slopes: Vec<f64> = slopes.map(|it| it.unwrap().value.unwrap()).collect();
    slopes.sort_by(f64::total_cmp);
    assert_eq!(widths.len(), 3);
    for (width, slope) in widths.iter().zip(&slopes) {
        assert!(
            (width - slope / slopes[2] * 100.0).abs() < 0.06,
            "{widths:?} {slopes:?}"
        );
    }
}

#[test]
fn running_servers_begin_with_their_findings() {
    let page = of(&attach());
    stands_alone(&page);
    let sections = sections(&page);
    assert!(
        !sections.contains(&"At a glance") && sections.contains(&"Distributions"),
        "{sections:?}"
    );
    assert!(page.contains("postgresql@15-main.service"));
}

#[test]
fn operations_have_their_curves() {
    let page = page(&report::calibration::build(&calibration::recording()));
    stands_alone(&page);
    assert_eq!(sections(&page), ["Curves", "All figures", "Methods"]);
    assert!(page.contains("The TLB curve"));
}

/// What a claim depends on is drawn, with the bound that it is judged by, and said.
#[test]
fn claims_have_their_curves() {
    let page = page(&report::claims::build(&every_verdict()));
    stands_alone(&page);
    let expected = ["Verdicts", "Curves", "Isolation", "Methods and sources"];
    assert_eq!(sections(&page), expected);
    let curves = page.split("<h2 id=\"curves\">").nth(1).expect("curves");
    let curves = curves.split("</section>").next().expect("an end");
    // Of seven claims one has figures at several places: four, and the two ends of its one bound.
    assert_eq!(curves.matches("<figure>").count(), 1);
    assert_eq!(curves.matches("<circle").count(), 4 + 2);
    assert!(curves.contains(">said: ≥ 95 %</text>"), "{curves}");
    for place in ["2", "6", "7", "8"] {
        assert!(curves.contains(&format!(">{place}</text>")), "{place}");
    }
    assert!(page.contains(
        "address spaces: holds at 7, 8, not at 2, 6. flushes by address spaces: 2: 1.0 % ["
    ));
}

/// Who names a database `<script>` gets its name shown.
#[test]
fn names_are_no_markup() {
    let mut attach = attach();
    attach.runs[0].name = "<script>alert(1)</script>\"&".to_owned();
    let page = of(&attach);
    stands_alone(&page);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;"));
}

/// Twelve models at four numbers of connections, three repeats.
#[test]
fn a_full_compare_stays_below_2_mb() {
    const NAMES: [&str; 12] = [
        "process-per-connection",
        "process-pool",
        "thread-per-connection",
        "thread-pool",
        "event-loop",
        "event-loop-workers",
        "thread-per-core",
        "async-tasks",
        "green-threads",
        "pooler",
        "goroutines",
        "virtual-threads",
    ];
    let mut runs = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        for connections in [1, 10, 100, 1000] {
            runs.extend((1..=3).map(|repeat| {
                let mut run = run(&MODELS[number % 3], connections, repeat);
                run.name = (*name).to_owned();
                run
            }));
        }
    }
    let page = of(&recording("compare", runs));
    stands_alone(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.len() > 50_000, "{} bytes", page.len());
}

#[test]
fn the_page_of_a_record_says_where_it_comes_from() {
    let recording = compare(1);
    let record = read(&written(&of_runs(&recording))).unwrap();
    let report = report::build(&recording).unwrap();
    let page = page(Document::from(&report).from_origin(&record.origin));
    stands_alone(&page);
    for words in [
        "connscope compare",
        "db1",
        "Debian GNU/Linux 12 (bookworm)",
        "<code>connscope compare</code>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(matches!(of_runs(&recording)[0], Entry::Origin(_)));
}
