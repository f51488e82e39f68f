//! The rules of Grafana's dashboard linter, as far as they apply, and those of our own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::grafana::{Dashboard, dashboards, list, word};

/// By `/d/UID` others link to them: it never changes.
const UIDS: [&str; 4] = [
    "connscope-database",
    "connscope-kernel",
    "connscope-models",
    "connscope-observer",
];
/// Units that Grafana knows, of those that it has.
const UNITS: [&str; 6] = ["bytes", "cps", "none", "percentunit", "s", "short"];

#[track_caller]
fn each(check: impl Fn(&Dashboard)) {
    dashboards().iter().for_each(check);
}

/// So that a change by hand and one that was exported differ in what was changed alone.
#[test]
fn files_are_laid_out_as_one_prints_them() {
    each(|dashboard| {
        let printed = serde_json::to_string_pretty(&dashboard.json).expect("JSON") + "\n";
        let lines = dashboard.text.lines().zip(printed.lines()).enumerate();
        for (number, (line, printed)) in lines {
            let place = format!("{}.json:{}", dashboard.name, number + 1);
            assert_eq!(line, printed, "{place}: keys in order, indented by two");
        }
        assert_eq!(dashboard.text.len(), printed.len(), "{}", dashboard.name);
    });
}

#[test]
fn dashboards_are_found_by_each_other() {
    let uids: Vec<_> = dashboards()
        .iter()
        .map(|it| word(&it.json, "uid").to_owned())
        .collect();
    assert_eq!(uids, UIDS);
    each(|dashboard| {
        let json = &dashboard.json;
        assert_eq!(word(json, "uid"), format!("connscope-{}", dashboard.name));
        assert!(word(json, "title").starts_with("connscope / "));
        assert!(word(json, "description").ends_with('.'));
        assert_eq!(json["editable"], false, "of Grafana's linter");
        assert!(json["schemaVersion"].as_u64() >= Some(39), "Grafana 11");
        assert_eq!(json["tags"][0], "connscope");
        let link = &json["links"][0];
        assert_eq!(link["tags"], json["tags"]);
        assert_eq!(
            (&link["includeVars"], &link["keepTime"]),
            (&Value::Bool(true), &Value::Bool(true))
        );
        let linked = dashboard.text.split("/d/").skip(1);
        for uid in linked.map(|rest| rest.split('?').next()) {
            assert!(UIDS.contains(&uid.unwrap_or_default()), "{uid:?}");
        }
    });
}

#[test]
fn variables_choose_the_source_and_the_hosts_first() {
    each(|dashboard| {
        let variables = dashboard.variables();
        let names: Vec<_> = variables.iter().map(|it| word(it, "name")).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"]);
        assert_eq!(variables[0]["type"], "datasource");
        assert_eq!(variables[0]["query"], "prometheus");
        for variable in &variables[1..] {
            let name = word(variable, "name");
            assert_eq!(variable["type"], "query", "{name}");
            assert_eq!(variable["datasource"]["uid"], "${datasource}", "{name}");
            assert_eq!(variable["refresh"], 2, "{name}: anew with the time shown");
            assert_eq!(variable["multi"], variable["includeAll"], "{name}");
            if variable["multi"] == true {
                assert_eq!(variable["allValue"], ".+", "{name}");
            }
            assert!(word(variable, "description").ends_with('.'), "{name}");
        }
        for variable in &variables[1..3] {
            assert_eq!(variable["multi"], true);
        }
        for name in &names {
            let uses = [format!("${name}"), format!("${{{name}}}")];
            let used = uses.iter().any(|it| dashboard.text.contains(it));
            assert!(used, "{}: {name} is not used", dashboard.name);
        }
    });
}

#[test]
fn panels_say_what_they_show_and_what_good_and_bad_look_like() {
    each(|dashboard| {
        let mut titles = BTreeSet::new();
        for panel in dashboard.panels() {
            let title = word(panel, "title");
            let place = format!("{}: {title}", dashboard.name);
            assert!(!title.is_empty() && titles.insert(title), "{place}: twice");
            let description = word(panel, "description");
            let told = ["Good: ", "Bad: "].map(|it| description.contains(it));
            assert_eq!(told, [true, true], "{place}");
            assert!(description.ends_with('.'), "{place}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(UNITS.contains(&word(defaults, "unit")), "{place}");
            assert!(
                word(defaults, "noValue").contains("not measured"),
                "{place}"
            );
            let targets = list(&panel["targets"]);
            assert!(!targets.is_empty(), "{place}");
            for it in targets.iter().chain([panel]) {
                assert_eq!(it["datasource"]["uid"], "${datasource}", "{place}");
                assert_eq!(it["datasource"]["type"], "prometheus", "{place}");
            }
            let references = targets.iter().map(|it| word(it, "refId"));
            let references: BTreeSet<_> = references.collect();
            assert_eq!(references.len(), targets.len(), "{place}");
        }
    });
}

#[test]
fn panels_have_a_place_each() {
    each(|dashboard| {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        let panels = list(&dashboard.json["panels"]).iter();
        let panels = panels.flat_map(|panel| [panel].into_iter().chain(list(&panel["panels"])));
        for panel in panels {
            let id = panel["id"].as_u64().expect("an id");
            assert!(ids.insert(id), "{}: {id} is there twice", dashboard.name);
            let place = &panel["gridPos"];
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| place[side].as_u64().expect("a side"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{}: {id}", dashboard.name);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{}: {id} at {cell:?}", dashboard.name);
            }
        }
    });
}

#[test]
fn what_is_repeated_says_of_what() {
    each(|dashboard| {
        for panel in dashboard.panels() {
            let Some(variable) = panel["repeat"].as_str() else {
                continue;
            };
            let names: Vec<_> = dashboard
                .variables()
                .iter()
                .map(|it| word(it, "name"))
                .collect();
            assert!(names.contains(&variable), "{variable}");
            let title = word(panel, "title");
            assert!(title.contains(&format!("${variable}")), "{title}");
        }
    });
}
