//! What goroutines cost, as a program in Go says that measures them: the one that serves the model
//! `goroutines`.

use super::{
    Family, Spec,
    round::{NotHere, Round},
};
use crate::{errors::in_words, figures::Unit};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

pub(super) const FAMILY: Family = Family {
    name: "goroutines",
    figures: &[
        Spec {
            name: "goroutine_create",
            unit: Unit::Seconds,
            axis: "",
            method: "go statements, 1,000 at a time, on one thread: CPU time for each; the goroutines run and end \
                     outside the time",
        },
        Spec {
            name: "goroutine_switch",
            unit: Unit::Seconds,
            axis: "",
            method: "two goroutines that call runtime.Gosched in turn on one thread: CPU time for each call",
        },
        Spec {
            name: "goroutine_stack",
            unit: Unit::Bytes,
            axis: "",
            method: "what runtime.MemStats.StackInuse grows by for each of 10,000 goroutines that wait",
        },
    ],
    takes_ms: [300, 300],
    take,
};

/// What the program says.
#[derive(Debug, Deserialize)]
struct Said {
    create_seconds: Vec<f64>,
    switch_seconds: Vec<f64>,
    stack_bytes: f64,
}

fn take(round: &mut Round<'_>) -> Result<()> {
    let mut command = round.setting.servers()?.command_of("goroutines");
    let Some(command) = &mut command else {
        let why = "the model goroutines was not built; build it by: cargo xtask build";
        return Err(NotHere(why.into()).into());
    };
    let output = command.arg("--measure").output();
    let output = output.map_err(|error| anyhow!("cannot run goroutines: {}", in_words(&error)))?;
    if !output.status.success() {
        bail!(
            "goroutines: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let said: Said =
        serde_json::from_slice(&output.stdout).context("goroutines said what makes no sense")?;
    round.tell("goroutine_create", said.create_seconds);
    round.tell("goroutine_switch", said.switch_seconds);
    round.tell("goroutine_stack", vec![said.stack_bytes]);
    Ok(())
}
