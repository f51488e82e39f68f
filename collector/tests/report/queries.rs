//! Of queries of dashboards and rules: no metric, label or value of one that the exporter does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connscope::export::metrics::family::Kind;
use connscope::export::metrics::ledger::of_target;
use connscope::export::metrics::{host, roles, targets};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector, parse};

use super::grafana::{Values, asked, dashboards, fill, list, word};
use super::in_kernel::entered;
use super::prometheus::all;

/// What stands for the value of a variable.
const CHOSEN: &str = "CHOSEN";
const MINUTE: Duration = Duration::from_secs(60);
/// What stand for Grafana's macros, such as no query has them.
const RATE_INTERVAL: (&str, Duration) = ("7m", MINUTE.saturating_mul(7));
const RANGE: (&str, Duration) = ("8h", MINUTE.saturating_mul(8 * 60));
/// Prometheus' own, of each scrape.
const OF_SCRAPES: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];
/// What may be asked of a counter.
const OF_COUNTERS: [&str; 2] = ["rate", "increase"];

/// A selector, and the function that it is an argument of.
struct Selected {
    name: String,
    matchers: Vec<Matcher>,
    range: Option<Duration>,
    function: Option<&'static str>,
}

/// All selectors of a query.
#[track_caller]
fn selected(query: &str) -> Vec<Selected> {
    let parsed = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut found = Vec::new();
    collect(&parsed, None, &mut found);
    found
}

fn collect(expression: &Expr, function: Option<&'static str>, found: &mut Vec<Selected>) {
    let mut select = |selector: &VectorSelector, range| {
        found.push(Selected {
            name: selector.name.clone().expect("a name"),
            matchers: selector.matchers.matchers.clone(),
            range,
            function,
        });
    };
    match expression {
        Expr::VectorSelector(selector) => select(selector, None),
        Expr::MatrixSelector(matrix) => select(&matrix.vs, Some(matrix.range)),
        Expr::Call(call) => {
            let arguments = call.args.args.iter();
            arguments.for_each(|it| collect(it, Some(call.func.name), found));
        }
        Expr::Aggregate(it) => collect(&it.expr, None, found),
        Expr::Unary(it) => collect(&it.expr, None, found),
        Expr::Paren(it) => collect(&it.expr, function, found),
        Expr::Subquery(it) => collect(&it.expr, None, found),
        Expr::Binary(it) => {
            collect(&it.lhs, None, found);
            collect(&it.rhs, None, found);
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => panic!("{expression}"),
    }
}

/// What the exporter shows: of each metric whether it only goes up, and the values of its labels.
struct Known(BTreeMap<String, (bool, BTreeMap<String, BTreeSet<String>>)>);

impl Known {
    fn now() -> Self {
        let mut metrics = BTreeMap::new();
        let shown = all();
        let entered = targets::series(&of_target("c"), &entered().end, &[]);
        for series in shown.series().iter().chain(&entered) {
            let (name, kind) = (series.family.full_name(), series.family.kind);
            let suffixes: &[&str] = match kind {
                Kind::Histogram(..) => &["_bucket", "_count", "_sum"],
                Kind::Gauge | Kind::Counter => &[""],
            };
            for suffix in suffixes {
                let entry = metrics.entry(format!("{name}{suffix}"));
                let (_, labels): &mut (bool, BTreeMap<_, BTreeSet<_>>) =
                    entry.or_insert((kind != Kind::Gauge, BTreeMap::new()));
                for (label, value) in &series.labels {
                    let values = labels.entry((*label).to_owned()).or_default();
                    values.insert(value.clone().into_owned());
                }
            }
        }
        let families = roles::FAMILIES.iter().chain(targets::FAMILIES);
        for family in families.chain(host::FAMILIES) {
            let name = family.full_name();
            let is_there = metrics.keys().any(|it| it.starts_with(&name));
            assert!(is_there, "{name} is not in what is taken for all");
        }
        Self(metrics)
    }

    fn has_probe(&self, name: &str) -> bool {
        let mut metrics = self.0.values();
        metrics.any(|(_, labels)| labels.get("probe").is_some_and(|it| it.contains(name)))
    }

    /// Fails unless there is such a metric with such labels, and values where they come from fixed lists.
    #[track_caller]
    fn assert_has(&self, selected: &Selected, place: &str) {
        if OF_SCRAPES.contains(&selected.name.as_str()) {
            return;
        }
        let name = &selected.name;
        let found = self.0.get(name);
        let (is_counter, labels) = found.unwrap_or_else(|| panic!("{place}: no metric {name}"));
        if *is_counter {
            let function = selected.function.unwrap_or("nothing");
            let is_taken = OF_COUNTERS.contains(&function);
            assert!(is_taken, "{place}: {function} of the counter {name}");
        } else {
            let function = selected.function.unwrap_or_default();
            let is_rate = OF_COUNTERS.contains(&function);
            assert!(!is_rate, "{place}: {function} of the gauge {name}");
        }
        for matcher in &selected.matchers {
            if ["job", "instance"].contains(&matcher.name.as_str()) {
                continue;
            }
            let values = labels.get(&matcher.name);
            let values =
                values.unwrap_or_else(|| panic!("{place}: {name} has no label {}", matcher.name));
            for value in matcher.value.split('|').filter(|it| *it != CHOSEN) {
                let is_open = ["target", "role"].contains(&matcher.name.as_str());
                let is_kind = name == "connscope_target_info";
                // What a probe may lose is not of one list; that there is such a probe is told elsewhere too.
                let is_probe = matcher.name == "probe" && self.has_probe(value);
                assert!(
                    is_open || is_kind || is_probe || values.contains(value),
                    "{place}: {}=\"{value}\" of {name}, which has {values:?}",
                    matcher.name
                );
            }
        }
    }
}

/// Fails unless it is of the hosts that were chosen.
#[track_caller]
fn assert_of_the_chosen(selected: &Selected, place: &str, labels: &[&str]) {
    for label in labels {
        let found = selected.matchers.iter().find(|it| it.name == *label);
        let matches = found.is_some_and(|it| it.value == CHOSEN && matches!(it.op, MatchOp::Re(_)));
        assert!(matches, "{place}: {} without {label}=~", selected.name);
    }
}

fn stand_ins(names: impl Iterator<Item = String>) -> Values {
    let macros = [
        ("__rate_interval", RATE_INTERVAL.0),
        ("__range", RANGE.0),
        ("__interval", "7s"),
    ];
    let macros = macros.map(|(name, value)| (name.to_owned(), value.to_owned()));
    names
        .map(|name| (name, CHOSEN.to_owned()))
        .chain(macros)
        .collect()
}

#[test]
fn panels_ask_for_what_there_is() {
    let known = Known::now();
    for dashboard in dashboards() {
        let names = dashboard.variables().iter();
        let values = stand_ins(names.map(|it| word(it, "name").to_owned()));
        for query in dashboard.queries() {
            let place = &query.place;
            let filled = fill(&query.expression, &values);
            assert!(!filled.contains('$'), "{place}: {filled}");
            for selected in selected(&filled) {
                known.assert_has(&selected, place);
                assert_of_the_chosen(&selected, place, &["job", "instance"]);
                // Of one moment it is asked for all the time that is shown, else for that at each moment.
                let (name, range) = match query.is_instant {
                    true => RANGE,
                    false => RATE_INTERVAL,
                };
                let is_right = selected.range.is_none_or(|it| it == range);
                assert!(is_right, "{place}: not over {name}: {filled}");
            }
        }
    }
}

#[test]
fn legends_name_labels_that_are_left() {
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            for target in list(&panel["targets"]) {
                let expression = word(target, "expr");
                let labels = word(target, "legendFormat").split("{{").skip(1);
                for label in labels.filter_map(|it| it.split("}}").next()) {
                    let kept = expression.split("by (").skip(1);
                    let mut kept = kept.filter_map(|it| it.split(')').next());
                    let is_kept = kept.any(|it| it.split(", ").any(|it| it == label));
                    assert!(is_kept, "{}: {{{{{label}}}}}", word(panel, "title"));
                }
            }
        }
    }
}

#[test]
fn variables_and_annotations_ask_for_what_there_is() {
    let known = Known::now();
    for dashboard in dashboards() {
        let mut before = Vec::new();
        for variable in &dashboard.variables()[1..] {
            let place = format!("{}: {}", dashboard.name, word(variable, "name"));
            let query = word(&variable["query"], "query");
            let (selector, label) = asked(query);
            // By those before it alone: others are not known yet.
            let filled = fill(selector, &stand_ins(before.iter().cloned()));
            assert!(!filled.contains('$'), "{place}: {filled}");
            let hosts = &["job", "instance"][..before.len().min(2)];
            for mut selected in selected(&filled) {
                assert_of_the_chosen(&selected, &place, hosts);
                let matcher = |label| Matcher::new(MatchOp::Equal, label, CHOSEN);
                selected.matchers.extend(label.map(matcher));
                known.assert_has(&selected, &place);
            }
            before.push(word(variable, "name").to_owned());
        }
        for annotation in dashboard.annotations() {
            let filled = fill(word(annotation, "expr"), &stand_ins(before.iter().cloned()));
            for selected in selected(&filled) {
                known.assert_has(&selected, &dashboard.name);
                assert_of_the_chosen(&selected, &dashboard.name, &["job", "instance"]);
            }
        }
    }
}

/// Of rules that use what other rules record, the latter are known too.
#[track_caller]
pub(crate) fn assert_rule_asks_for_what_there_is(query: &str, recorded: &[&str], place: &str) {
    let known = Known::now();
    for selected in selected(query) {
        if !recorded.contains(&selected.name.as_str()) {
            known.assert_has(&selected, place);
        }
    }
}
