//! The dashboards by the types that Grafana publishes (`@grafana/schema`), of the oldest version that they are for and
//! of a newer one: what they do not know, or know otherwise, is an error. No server runs for it, but what is compared
//! with comes from where such servers come from.

#[path = "support/grafana.rs"]
mod grafana;
#[path = "support/program.rs"]
mod program;

use grafana::{dashboards, folder};
use program::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSIONS: [&str; 2] = ["grafana-11", "grafana-13"];

/// The packages, as the lock file has them, installed once below the target directory.
fn packages() -> PathBuf {
    let source = folder().join("../collector/tests/grafana_types");
    let target = Path::new(CONNSCOPE).ancestors().nth(2);
    let here = target.expect("a target directory").join("grafana-types");
    fs::create_dir_all(&here).expect("a folder");
    let lock = fs::read(source.join("package-lock.json")).expect("a lock file");
    let installed = here.join("node_modules/installed-by");
    if fs::read(&installed).is_ok_and(|it| it == lock) {
        return here;
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), here.join(file)).expect("a copy");
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&here);
    Ended::of(npm).exits(0);
    fs::write(installed, lock).expect("a file");
    here
}

/// A folder in which `@grafana/schema` is of that version, with the dashboards as literals of our type.
fn laid_out(packages: &Path, version: &str, dashboards: &[(String, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let scope = folder.path().join("node_modules/@grafana");
    fs::create_dir_all(&scope).expect("a folder");
    symlink(
        packages.join("node_modules").join(version),
        scope.join("schema"),
    )
    .expect("a link");
    let ours = grafana::folder().join("../collector/tests/grafana_types/dashboard.ts");
    fs::copy(ours, folder.path().join("dashboard.ts")).expect("a copy");
    for (name, json) in dashboards {
        let literal = format!(
            "import type {{ OurDashboard }} from './dashboard';\n\
             export const it: OurDashboard = {json:#};\n"
        );
        fs::write(folder.path().join(format!("{name}.ts")), literal).expect("a file");
    }
    folder
}

fn compile(packages: &Path, folder: &Path) -> Running {
    let mut command = Command::new("node");
    command
        .arg(packages.join("node_modules/typescript/bin/tsc"))
        .args("--noEmit --strict --skipLibCheck --preserveSymlinks --pretty false".split(' '))
        .args("--target es2022 --module esnext --moduleResolution bundler".split(' '));
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let names = files.map(|file| file.file_name());
    command.args(names.filter(|it| it.to_string_lossy().ends_with(".ts")));
    command.current_dir(folder);
    Running::start(command)
}

#[test]
fn dashboards_are_what_grafana_publishes_types_of() {
    let packages = packages();
    let mut all: Vec<_> = dashboards()
        .into_iter()
        .map(|it| (it.name, it.json))
        .collect();
    // That mistakes are seen: of a value, of a name, and one in the options of a panel.
    let mut few = all[0].1.clone();
    few["panels"].as_array_mut().expect("panels").truncate(3);
    let mut wrong = [0, 1, 2].map(|_| few.clone());
    wrong[0]["editable"] = "no".into();
    wrong[1]["panles"] = Value::Null;
    let panels = wrong[2]["panels"].as_array_mut().expect("panels");
    let stat = panels.iter_mut().find(|it| it["type"] == "stat");
    stat.expect("a panel")["options"]["graphMode"] = "curve".into();
    all.extend(
        (0..)
            .zip(wrong)
            .map(|(number, json)| (format!("wrong_{number}"), json)),
    );
    let compiled: Vec<_> = VERSIONS
        .map(|version| {
            let folder = laid_out(&packages, version, &all);
            (version, compile(&packages, folder.path()), folder)
        })
        .into();
    for (version, running, _folder) in compiled {
        let said = running.finish().stdout;
        let errors: Vec<_> = said.lines().filter(|it| !it.starts_with(' ')).collect();
        let found = |name: &str| errors.iter().any(|it| it.starts_with(name));
        for (name, json) in &all {
            let is_wrong = name.starts_with("wrong");
            assert_eq!(found(&format!("{name}.ts(")), is_wrong, "{version}: {said}");
            assert!(json.is_object());
        }
        assert!(
            errors.iter().all(|it| it.starts_with("wrong_")),
            "{version}: {said}"
        );
    }
}
