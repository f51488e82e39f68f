//! Runs the benchmarks of the workspace as root, one after another.

use crate::cargo;
use crate::host::Root;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::process::ExitCode;

/// Runs the benchmark of this name, or all of them.
pub(crate) fn run(name: Option<&str>) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let names = choose(&workspace.targets("bench"), name)?;
    let runner = cargo::runner_config(Root::require("the benchmarks")?)?;
    // Benchmarks start the servers that they measure.
    cargo::build_programs()?;
    for name in names {
        let mut args = vec!["bench", "--workspace", "--bench", &name];
        if let Some(runner) = &runner {
            args.extend(["--config", runner]);
        }
        cargo::run(&args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn choose(known: &[&str], name: Option<&str>) -> Result<Vec<String>> {
    let chosen: Vec<_> = known
        .iter()
        .filter(|known| name.is_none_or(|name| name == **known))
        .collect();
    if chosen.is_empty() {
        match name {
            Some(name) => bail!(
                "no benchmark is named {name}; there are: {}",
                known.join(", ")
            ),
            None => bail!("the workspace has no benchmark"),
        }
    }
    Ok(chosen.into_iter().map(|name| name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = choose(&["load", "switch"], Some("swich")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no benchmark is named swich; there are: load, switch"
        );
        assert!(choose(&[], None).is_err());
    }

    #[test]
    fn all_or_the_named_one_is_chosen() {
        assert_eq!(
            choose(&["load", "switch"], None).unwrap(),
            ["load", "switch"]
        );
        assert_eq!(
            choose(&["load", "switch"], Some("switch")).unwrap(),
            ["switch"]
        );
    }
}
