//! The dashboards as Grafana has them, and their queries as it sends them.
#![allow(dead_code, unreachable_pub)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder with all that is for Prometheus and Grafana.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// One dashboard and the file that it is in.
pub struct Dashboard {
    /// Of the file, without `.json`.
    pub name: String,
    pub text: String,
    pub json: Value,
}

/// A query of a panel.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which one it is, for people.
    pub place: String,
    /// What sort of panel it is for: `timeseries`, `heatmap`, ...
    pub panel: String,
    /// As it is in the file.
    pub expression: String,
    /// The panel has no other one.
    pub is_alone: bool,
    /// Asked of one moment, else of all the time shown.
    pub is_instant: bool,
}

/// What a variable stands for in a query.
pub type Values = BTreeMap<String, String>;

/// All of them, by name.
pub fn dashboards() -> Vec<Dashboard> {
    let files = fs::read_dir(folder().join("grafana")).expect("a folder of dashboards");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("text");
        let json = serde_json::from_str(&text);
        let json = json.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.file_stem().expect("a name").display().to_string();
        Dashboard { name, text, json }
    };
    files.into_iter().map(read).collect()
}

impl Dashboard {
    /// All panels but the rows, those in rows that are closed too.
    pub fn panels(&self) -> Vec<&Value> {
        let all = list(&self.json["panels"]).iter();
        let all = all.flat_map(|panel| [panel].into_iter().chain(list(&panel["panels"])));
        all.filter(|panel| panel["type"] != "row").collect()
    }

    /// Those of the panels.
    pub fn queries(&self) -> Vec<Query> {
        let of_panel = |panel: &Value| {
            let title = word(panel, "title").to_owned();
            let kind = word(panel, "type").to_owned();
            let targets = list(&panel["targets"]);
            let query = |target: &Value| Query {
                place: format!("{} / {title} / {}", self.name, word(target, "refId")),
                panel: kind.clone(),
                expression: word(target, "expr").to_owned(),
                is_alone: targets.len() == 1,
                is_instant: target["instant"] == true,
            };
            targets.iter().map(query).collect::<Vec<_>>()
        };
        self.panels().into_iter().flat_map(of_panel).collect()
    }

    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    pub fn annotations(&self) -> impl Iterator<Item = &Value> {
        let all = list(&self.json["annotations"]["list"]).iter();
        all.filter(|it| it["builtIn"] != 1)
    }
}

/// The members of a list; none if it is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A member that is text.
#[track_caller]
pub fn word<'a>(of: &'a Value, name: &str) -> &'a str {
    let found = of[name].as_str();
    found.unwrap_or_else(|| panic!("no {name} in {of:#}"))
}

/// What a variable is chosen from: the values of a label of the series of a selector, `label_values(SELECTOR,LABEL)`;
/// else, without a label, what a query finds, `query_result(QUERY)`.
#[track_caller]
pub fn asked(query: &str) -> (&str, Option<&str>) {
    let inner = |name: &str| query.strip_prefix(name)?.strip_suffix(')');
    if let Some(query) = inner("query_result(") {
        return (query, None);
    }
    let inner = inner("label_values(").and_then(|it| it.rsplit_once(','));
    let (selector, label) = inner.unwrap_or_else(|| panic!("Grafana has no {query}"));
    (selector, Some(label))
}

/// A query with its variables filled in, `$name` or `${name}`. What is none of them stays.
pub fn fill(expression: &str, values: &Values) -> String {
    let mut filled = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let inner = after.strip_prefix('{').unwrap_or(after);
        let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let length = inner.find(|it| !is_part(it)).unwrap_or(inner.len());
        match values.get(&inner[..length]) {
            Some(value) => {
                filled.push_str(value);
                rest = &inner[length..];
                rest = rest.strip_prefix('}').unwrap_or(rest);
            }
            None => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled + rest
}

/// One value of a variable of which several may be chosen, as Grafana has it in a query: its value may mean
/// something to regular expressions and to strings.
pub fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for letter in value.chars() {
        if r"\^$*+?.()|[]{}/".contains(letter) {
            escaped.push_str(r"\\");
        }
        escaped.push(letter);
    }
    escaped
}
