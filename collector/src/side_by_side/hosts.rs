//! The hosts, each with a name of its own, and in what their runs differ.

use super::Sheet;
use crate::record::Origin;
use crate::snapshot::Host;
use crate::units;
use serde::Serialize;
use std::path::Path;

/// One of those that stand side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What its column is called: the host's name, with when it was measured where that is not enough, and with the
    /// file where that is not enough either.
    pub label: String,
    /// The same where there is little room: the host's name, with the number of its column where others have it too.
    #[serde(skip)]
    pub short: String,
    /// The file that its record is in.
    pub file: String,
    /// The host's name.
    pub host_name: String,
    /// The distribution.
    pub operating_system: Option<String>,
    /// The command that made it, with its arguments.
    pub command_line: String,
    /// Why it ended before its time, if it did.
    pub incomplete: Option<String>,
    /// The machine.
    pub host: Host,
}

impl Side {
    /// Whether it is a record of the same machine.
    pub(super) fn is_machine_of(&self, other: &Self) -> bool {
        let machine = |side: &Self| Host {
            started_unix_seconds: 0,
            // What the kernel keeps for itself differs by some kB from one boot to another.
            memory_bytes: side.host.memory_bytes >> 27,
            connscope_version: String::new(),
            ..side.host.clone()
        };
        self.host_name == other.host_name && machine(self) == machine(other)
    }

    /// What the machine is called: by its name, unless another one has that too.
    pub(super) fn machine_among(&self, sides: &[Self]) -> String {
        let same_name = |other: &&Self| other.host_name == self.host_name;
        match sides
            .iter()
            .filter(same_name)
            .all(|it| it.is_machine_of(self))
        {
            true => self.host_name.clone(),
            false => self.label.clone(),
        }
    }
}

/// Something in how it was measured that is not the same for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs.
    pub what: String,
    /// What it is with each host, in their order.
    pub values: Vec<String>,
}

/// What there is room for at the end of a line.
const SHORT: usize = 20;

/// One for each, in the order they were given.
pub(super) fn sides<T>(sheets: &[Sheet<T>], incomplete: fn(&T) -> Option<&String>) -> Vec<Side> {
    let origins: Vec<(&str, &Origin)> = sheets
        .iter()
        .map(|it| (it.file.as_str(), &it.origin))
        .collect();
    let labels = labels(&origins);
    let short = |number: usize| {
        let name = &origins[number].1.host_name;
        let is_shared = origins
            .iter()
            .filter(|(_, it)| it.host_name == *name)
            .count()
            > 1;
        let name: String = name.chars().take(SHORT).collect();
        match is_shared {
            true => format!("{name} ({})", number + 1),
            false => name,
        }
    };
    let side = |(number, (sheet, label)): (usize, (&Sheet<T>, String))| Side {
        label,
        short: short(number),
        file: sheet.file.clone(),
        host_name: sheet.origin.host_name.clone(),
        operating_system: sheet.origin.operating_system.clone(),
        command_line: sheet.origin.command_line.join(" "),
        incomplete: incomplete(&sheet.report).cloned(),
        host: sheet.origin.host.clone(),
    };
    sheets.iter().zip(labels).enumerate().map(side).collect()
}

/// The difference in something, if there is one.
pub(super) fn difference<T>(
    what: &str,
    sheets: &[Sheet<T>],
    of: impl Fn(&Sheet<T>) -> String,
) -> Option<Difference> {
    let values: Vec<String> = sheets.iter().map(of).collect();
    let differ = values.iter().any(|value| *value != values[0]);
    differ.then(|| Difference {
        what: what.to_owned(),
        values,
    })
}

/// The first of these ways to call them by which no two are called the same.
fn labels(origins: &[(&str, &Origin)]) -> Vec<String> {
    let begun = |origin: &Origin| units::date(origin.host.started_unix_seconds);
    let names = origins.iter().map(|(_, it)| it.host_name.clone()).collect();
    let with_time = |(name, (_, it)): (String, &(&str, &Origin))| format!("{name}, {}", begun(it));
    let with_file = |(name, (file, _)): (String, &(&str, &Origin))| {
        let file = Path::new(file).file_name().unwrap_or(file.as_ref());
        format!("{name}, {}", file.to_string_lossy())
    };
    let names = told_apart(names, origins, with_time);
    let names = told_apart(names, origins, with_file);
    // Files of one name, or one file given twice.
    let numbered = |(place, name): (usize, &String)| match names[..place].contains(name) {
        true => format!("{name} ({})", place + 1),
        false => name.clone(),
    };
    names.iter().enumerate().map(numbered).collect()
}

/// Says more of those that are called the same.
fn told_apart<'a>(
    names: Vec<String>,
    origins: &[(&'a str, &'a Origin)],
    more: impl Fn((String, &(&'a str, &'a Origin))) -> String,
) -> Vec<String> {
    let is_same = |name: &String| names.iter().filter(|it| *it == name).count() > 1;
    let called = |(name, origin): (&String, &(&'a str, &'a Origin))| match is_same(name) {
        true => more((name.clone(), origin)),
        false => name.clone(),
    };
    names.iter().zip(origins).map(called).collect()
}
