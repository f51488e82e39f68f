//! Runs the benchmarks of the workspace as root, one after another.

use crate::cargo;
use crate::host::Root;
use crate::runtimes;
use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::process::ExitCode;

/// The benchmark that is run only with tracers to compare with.
const PEER: &str = "peer";

/// The benchmark that measures the reference servers which have a limit, or all when asked to.
const MODELS: &str = "server_cpu";

/// Runs the benchmark of this name, or all of them; given commands of tracers, the one that
/// compares them with our probes; asked for all models, the one that measures reference servers.
pub(crate) fn run(name: Option<&str>, peers: &[String], all_models: bool) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let known = workspace.targets("bench");
    let (names, arguments) = match peers {
        [] if all_models => (vec![MODELS.to_owned()], all_models_arguments()),
        [] => (choose(&known, name)?, Vec::new()),
        peers => (vec![PEER.to_owned()], peer_arguments(peers)),
    };
    let runner = cargo::runner_config(Root::require("the benchmarks")?)?;
    // Benchmarks start the servers that they measure.
    cargo::build_programs()?;
    runtimes::build()?;
    for name in names {
        let mut args = vec!["bench", "--workspace", "--bench", &name];
        if let Some(runner) = &runner {
            args.extend(["--config", runner]);
        }
        args.extend(arguments.iter().map(String::as_str));
        cargo::run(&args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What Cargo is to hand on to the benchmark.
fn peer_arguments(peers: &[String]) -> Vec<String> {
    let peers = peers.iter().flat_map(|peer| ["--peer", peer]);
    let arguments = std::iter::once("--").chain(peers);
    arguments.map(str::to_owned).collect()
}

fn all_models_arguments() -> Vec<String> {
    ["--", "--all-models"].map(str::to_owned).to_vec()
}

fn choose(known: &[&str], name: Option<&str>) -> Result<Vec<String>> {
    let known = || known.iter().filter(|known| **known != PEER);
    let chosen: Vec<_> = known()
        .filter(|known| name.is_none_or(|name| name == **known))
        .collect();
    if chosen.is_empty() {
        match name {
            Some(name) => bail!(
                "no benchmark is named {name}; there are: {}",
                known().copied().collect::<Vec<_>>().join(", ")
            ),
            None => bail!("the workspace has no benchmark"),
        }
    }
    Ok(chosen.into_iter().map(|name| name.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::{choose, peer_arguments};

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
            choose(&["load", "peer", "switch"], None).unwrap(),
            ["load", "switch"]
        );
        assert_eq!(
            choose(&["load", "switch"], Some("switch")).unwrap(),
            ["switch"]
        );
    }

    #[test]
    fn the_comparison_needs_tracers_to_compare_with() {
        assert_eq!(
            choose(&["peer", "switch"], Some("peer"))
                .unwrap_err()
                .to_string(),
            "no benchmark is named peer; there are: switch"
        );
        assert_eq!(
            peer_arguments(&["runqlat.bt".to_owned(), "x -p {pid}".to_owned()]),
            ["--", "--peer", "runqlat.bt", "--peer", "x -p {pid}"]
        );
    }
}
