//! Which member of the workspace may depend on which.

use super::Violation;
use crate::workspace::{Dependency, Package, Workspace};
use std::fs;
use std::path::Path;

/// Every member, and the members that it may know: the observed must not know the observer, the
/// kernel half knows no database, and we only run programs.
const ALLOWED: &[(&str, &[&str])] = &[
    ("connscope", &["probe-ebpf"]),
    ("connscope-targets", &[]),
    ("probe-ebpf", &[]),
    ("xtask", &[]),
];

/// Dependencies among members that are not allowed, of every kind.
pub(crate) fn violations(workspace: &Workspace, root: &Path) -> Vec<Violation> {
    let members: Vec<_> = workspace
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut violations = Vec::new();
    for package in &workspace.packages {
        let manifest = fs::read_to_string(&package.manifest).unwrap_or_default();
        for (name, rule) in broken_rules(package, &members) {
            violations.push(Violation {
                file: package
                    .manifest
                    .strip_prefix(root)
                    .unwrap_or(&package.manifest)
                    .into(),
                line: line_of(&manifest, name),
                rule,
            });
        }
    }
    violations
}

/// For each broken rule, what to look for in the manifest and what is wrong.
fn broken_rules<'a>(package: &'a Package, members: &[&str]) -> Vec<(&'a str, String)> {
    let name = package.name.as_str();
    let Some((_, allowed)) = ALLOWED.iter().find(|(member, _)| *member == name) else {
        return vec![(
            name,
            format!("no rule says whom {name} may know: add it to ALLOWED in xtask"),
        )];
    };
    let forbidden = |dependency: &&Dependency| {
        let other = dependency.name.as_str();
        other != name && members.contains(&other) && !allowed.contains(&other)
    };
    let edges = package.dependencies.iter().filter(forbidden);
    edges
        .map(|edge| (edge.name.as_str(), explain(name, edge, allowed)))
        .collect()
}

fn explain(package: &str, edge: &Dependency, allowed: &[&str]) -> String {
    let may = match allowed {
        [] => "no other member".to_owned(),
        allowed => format!("only {}", allowed.join(", ")),
    };
    format!(
        "{package} may know {may}; it depends on {} ({})",
        edge.name, edge.kind
    )
}

/// The first line that names the dependency; 1 if there is none.
fn line_of(manifest: &str, name: &str) -> usize {
    let found = manifest.lines().position(|line| {
        let key = line.trim_start().trim_start_matches('"');
        let rest = key.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
            || line.contains(&format!("\"{name}\""))
    });
    found.map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn member(name: &str, dependencies: &[(&str, Value)]) -> Value {
        let list: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| json!({"name": name, "kind": kind, "path": "/w"}))
            .collect();
        json!({"name": name, "manifest_path": format!("/w/{name}/Cargo.toml"),
               "dependencies": list, "targets": []})
    }

    fn rules(members: &[Value]) -> Vec<String> {
        let metadata = json!({"packages": members, "target_directory": "/w/target"});
        let workspace = Workspace::parse(&metadata).unwrap();
        let violations = violations(&workspace, Path::new("/w"));
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_allowed_edges_pass() {
        let connscope = member(
            "connscope",
            &[("probe-ebpf", Value::Null), ("libc", Value::Null)],
        );
        let others = ["connscope-targets", "probe-ebpf", "xtask"].map(|name| member(name, &[]));
        assert!(rules(&[&[connscope][..], &others].concat()).is_empty());
    }

    #[test]
    fn a_forbidden_edge_of_any_kind_is_caught() {
        for (kind, word) in [
            (Value::Null, "normal"),
            (json!("dev"), "dev"),
            (json!("build"), "build"),
        ] {
            let targets = member("connscope-targets", &[("probe-ebpf", kind)]);
            let expected = format!(
                "connscope-targets/Cargo.toml:1: connscope-targets may know no other member; \
                 it depends on probe-ebpf ({word})"
            );
            assert_eq!(rules(&[targets, member("probe-ebpf", &[])]), [expected]);
        }
    }

    #[test]
    fn connscope_may_know_the_probes_but_not_the_targets() {
        let connscope = member("connscope", &[("connscope-targets", json!("dev"))]);
        let found = rules(&[connscope, member("connscope-targets", &[])]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("connscope may know only probe-ebpf"),
            "{found:?}"
        );
    }

    #[test]
    fn a_member_without_a_rule_is_caught() {
        assert!(rules(&[member("stray", &[])])[0].contains("no rule says whom stray may know"));
    }

    #[test]
    fn the_line_of_a_dependency_is_found() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nprobe-ebpf-x = \"1\"\nprobe-ebpf.workspace = true\n";
        assert_eq!(line_of(manifest, "probe-ebpf"), 5);
        assert_eq!(line_of("x = { package = \"probe-ebpf\" }", "probe-ebpf"), 1);
        assert_eq!(line_of("", "probe-ebpf"), 1);
    }
}
