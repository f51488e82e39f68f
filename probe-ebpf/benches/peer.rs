//! Other tracers beside the default probes, each as a black box on the same ping-pong, in turns:
//! what its programs take at a switch, by the kernel's statistics, and how much longer a switch
//! takes with it, statistics off. `cargo xtask bench --peer COMMAND` runs it.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/ping_pong.rs"]
mod ping_pong;
#[path = "support/programs.rs"]
mod programs;
#[path = "support/tracer.rs"]
mod tracer;

use figures::{Spread, Turns};
use ping_pong::{PingPong, Players};
use probe_ebpf::{
    Baseline,
    cost::{self, Statistics},
};
use programs::Cost;
use std::{collections::BTreeMap, process::ExitCode};
use tracer::{Contender, Tracer};

const ROUNDS: usize = 7;
/// In each timing, statistics off.
const TIMED: u32 = 200_000;
/// In each round with statistics on: 2.8 million in all.
const COUNTED: u32 = 400_000;

fn main() -> ExitCode {
    if let Some(status) = ping_pong::play_if_told() {
        return status;
    }
    let peers = peers();
    if peers.is_empty() {
        eprintln!("no tracer to compare with; cargo xtask bench --peer COMMAND");
        return ExitCode::FAILURE;
    }
    assert!(
        !cost::statistics_on(),
        "kernel.bpf_stats_enabled is 1, which slows every program down; set it to 0"
    );
    let contenders: Vec<_> = std::iter::once(Contender::Probes).chain(peers).collect();
    for players in Players::ALL {
        match measure(players, &contenders) {
            Ok(seen) => print(players, &contenders, &seen),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn peers() -> Vec<Contender> {
    let mut arguments = std::env::args().skip(1);
    let mut peers = Vec::new();
    while let Some(argument) = arguments.next() {
        // Cargo adds an option of its own.
        if argument == "--peer" {
            peers.extend(arguments.next().map(Contender::Peer));
        }
    }
    peers
}

/// What was seen of one contender, a value for each round.
#[derive(Default)]
struct Seen {
    turns: Turns,
    /// Above empty programs, for each switch, all its programs together.
    above_empty_ns: Vec<f64>,
    hooks: BTreeMap<String, Hook>,
}

#[derive(Default)]
struct Hook {
    runs_per_switch: Vec<f64>,
    above_empty_ns: Vec<f64>,
}

fn measure(players: Players, contenders: &[Contender]) -> Result<Vec<Seen>, String> {
    let mut seen: Vec<Seen> = contenders.iter().map(|_| Seen::default()).collect();
    let mut game = PingPong::start(players);
    let mut without = game.time(TIMED);
    for _ in 0..ROUNDS {
        for (contender, seen) in contenders.iter().zip(&mut seen) {
            let refused = |error| format!("{}: {error}", contender.name());
            let tracer = contender.start(game.pid()).map_err(refused)?;
            let with = game.time(TIMED);
            count(&mut game, &tracer, seen).map_err(refused)?;
            drop(tracer);
            let after = game.time(TIMED);
            seen.turns.add(with, [without, after]);
            without = after;
        }
    }
    Ok(seen)
}

/// One round with statistics on; an empty program on the hook of switches is entered beside the
/// tracer's, says how many switches there were, and what the statistics themselves take.
fn count(game: &mut PingPong, tracer: &Tracer, seen: &mut Seen) -> Result<(), String> {
    let hooks = programs::hooks(&tracer.pids());
    let empty = Baseline::load().map_err(|error| error.to_string())?;
    let statistics = Statistics::enable().map_err(|error| error.to_string())?;
    let ids = tracer.programs();
    let before = (programs::costs(&ids), empty_cost(&empty)?);
    game.time(COUNTED);
    let after = (programs::costs(&ids), empty_cost(&empty)?);
    drop(statistics);
    let (switches, empty_ns) = since(&before.1, &after.1);
    if switches < f64::from(COUNTED) {
        return Err(format!("{switches} switches seen of {COUNTED}"));
    }
    let empty_ns = empty_ns / switches;
    let mut sum = 0.0;
    let mut by_hook: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (id, after) in &after.0 {
        let Some(before) = before.0.get(id) else {
            continue;
        };
        let (runs, run_ns) = since(before, after);
        let above = run_ns - runs * empty_ns;
        sum += above;
        let name = hooks.get(id).unwrap_or(&after.name).clone();
        let hook = by_hook.entry(name).or_default();
        *hook = (hook.0 + runs, hook.1 + above);
    }
    seen.above_empty_ns.push(sum / switches);
    for (name, (runs, above)) in by_hook {
        let hook = seen.hooks.entry(name).or_default();
        hook.runs_per_switch.push(runs / switches);
        hook.above_empty_ns.push(above / switches);
    }
    Ok(())
}

fn empty_cost(empty: &Baseline) -> Result<Cost, String> {
    let costs = empty.costs().map_err(|error| error.to_string())?;
    // The kernel keeps 15 characters of a name.
    let of_switch = costs
        .into_iter()
        .find(|cost| cost.name.contains("sched_sw"));
    let cost = of_switch.ok_or("no empty program at sched_switch")?;
    Ok(Cost {
        name: cost.name,
        runs: cost.runs,
        run_ns: cost.run_ns,
    })
}

fn since(before: &Cost, after: &Cost) -> (f64, f64) {
    let runs = after.runs - before.runs;
    let run_ns = after.run_ns - before.run_ns;
    (runs as f64, run_ns as f64)
}

fn print(players: Players, contenders: &[Contender], seen: &[Seen]) {
    println!(
        "\nping-pong of {} on one CPU, {ROUNDS} rounds in turns (in brackets the middle half of them)",
        players.name()
    );
    println!(
        "{:<44} {:>12} {:>24} {:>24}",
        "", "runs", "ns above empty", "slowed down, %"
    );
    println!("{:<44} {:>12} {:>24}", "", "per switch", "per switch");
    for (contender, seen) in contenders.iter().zip(seen) {
        println!(
            "{:<44} {:>12} {:>24} {:>24}",
            shortened(contender.name()),
            "",
            Spread::of(&seen.above_empty_ns).to_string(),
            seen.turns.percent().to_string()
        );
        for (name, hook) in &seen.hooks {
            let runs = Spread::of(&hook.runs_per_switch).median;
            // What others of its programs are for.
            if runs >= 0.001 {
                println!(
                    "  {:<42} {:>12} {:>24}",
                    name,
                    format!("{runs:.3}"),
                    Spread::of(&hook.above_empty_ns).to_string()
                );
            }
        }
    }
}

fn shortened(command: &str) -> String {
    match command.char_indices().nth(43) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_owned(),
    }
}
