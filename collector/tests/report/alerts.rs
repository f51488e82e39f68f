//! Rules for Prometheus, what is written of them, and the files that go with the dashboards.

use std::fs;

use connscope::serve::config::Config;
use serde::Deserialize;

use super::grafana::folder;
use super::queries::assert_rule_asks_for_what_there_is;

const DOCUMENT: &str = include_str!("../../../docs/alerts.md");

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
    labels: Option<Severity>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Severity {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    runbook: String,
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    alert_rule_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let text = fs::read_to_string(folder().join(file)).expect("a file");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rules() -> Vec<Rule> {
    let rules: Rules = read("rules/connscope.yml");
    rules.groups.into_iter().flat_map(|it| it.rules).collect()
}

#[test]
fn rules_ask_for_what_there_is() {
    let rules = rules();
    let recorded: Vec<_> = rules.iter().filter_map(|it| it.record.as_deref()).collect();
    assert!(recorded.len() >= 5);
    for rule in &rules {
        let place = rule.record.as_ref().or(rule.alert.as_ref());
        let place = place.expect("a name");
        assert_rule_asks_for_what_there_is(&rule.expr, &recorded, place);
    }
    // What is recorded is used: a rule or a case of them has it.
    let text = fs::read_to_string(folder().join("rules/connscope.yml")).expect("a file");
    for name in recorded.iter().filter(|it| text.matches(*it).count() < 2) {
        assert!(DOCUMENT.contains(*name), "{name} is nowhere");
    }
}

#[test]
fn alerts_say_what_to_do() {
    for rule in rules() {
        let Some(alert) = rule.alert else { continue };
        let (labels, annotations) = (rule.labels.expect("labels"), rule.annotations);
        let annotations = annotations.expect("annotations");
        assert!(["warning", "critical"].contains(&labels.severity.as_str()));
        assert!(rule.lasting.is_some(), "{alert} fires at once");
        assert!(annotations.summary.contains("$labels.instance"), "{alert}");
        let runbook = format!("docs/alerts.md#{}", alert.to_lowercase());
        assert_eq!(annotations.runbook, runbook);
        let section = DOCUMENT
            .split("\n## ")
            .find(|it| it.starts_with(&format!("{alert}\n")));
        let section = section.unwrap_or_else(|| panic!("docs/alerts.md has no {alert}"));
        for part in ["Fires when", "What it means", "What to do"] {
            assert!(section.contains(part), "docs/alerts.md, {alert}: {part}");
        }
    }
}

/// That they do is for promtool to say.
#[test]
fn of_each_alert_there_is_a_case_in_which_it_fires_beside_one_in_which_not() {
    let cases: Cases = read("rules/connscope.test.yml");
    let expected = || cases.tests.iter().flat_map(|it| &it.alert_rule_test);
    let alerts: Vec<_> = rules().into_iter().filter_map(|it| it.alert).collect();
    for alert in &alerts {
        let mut of_alert = expected().filter(|it| it.alertname == *alert);
        assert!(of_alert.any(|it| !it.exp_alerts.is_empty()), "{alert}");
    }
    assert!(expected().all(|it| alerts.contains(&it.alertname)));
}

#[test]
fn grafana_finds_the_dashboards_where_compose_puts_them() {
    let compose: serde_json::Value = read("compose.yml");
    let providers: serde_json::Value = read("provisioning/dashboards/connscope.yml");
    let sources: serde_json::Value = read("provisioning/datasources/connscope.yml");
    let path = &providers["providers"][0]["options"]["path"];
    let path = path.as_str().expect("a path");
    let mounts = compose["services"]["grafana"]["volumes"].as_array();
    let mounts: Vec<_> = mounts
        .expect("mounts")
        .iter()
        .filter_map(|it| it.as_str())
        .collect();
    assert!(
        mounts.contains(&format!("./grafana:{path}:ro").as_str()),
        "{mounts:?}"
    );
    let prometheus = compose["services"]["prometheus"]["volumes"].as_array();
    for mount in mounts.into_iter().chain(
        prometheus
            .expect("mounts")
            .iter()
            .filter_map(|it| it.as_str()),
    ) {
        let from = mount.split(':').next().unwrap_or_default();
        let is_ours = from.starts_with("./");
        assert!(!is_ours || folder().join(from).exists(), "{mount}");
    }
    let source = &sources["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    let command = compose["services"]["prometheus"]["command"].to_string();
    let address = source["url"]
        .as_str()
        .and_then(|it| it.strip_prefix("http://"));
    assert!(command.contains(&format!(
        "--web.listen-address={}",
        address.expect("an address")
    )));
    let scrapes: serde_json::Value = read("prometheus.yml");
    assert_eq!(
        source["jsonData"]["timeInterval"],
        scrapes["global"]["scrape_interval"]
    );
}

#[test]
fn the_example_for_models_is_sound() {
    let config = Config::load(Some(&folder().join("models.example.toml"))).expect("it is sound");
    let names: Vec<_> = config.targets.iter().map(|it| it.name.as_str()).collect();
    assert!(
        names.len() >= 4 && names.contains(&"event-loop"),
        "{names:?}"
    );
}
