//! How much longer a switch takes with the default probes loaded, whatever they are: a ping-pong
//! through pipes on one CPU, with and without them in turns, statistics off.

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
use probe_ebpf::cost;
use std::process::ExitCode;
use tracer::Contender;

const ROUNDS: usize = 31;
/// In each timing: some tens of milliseconds on an idle host.
const SWITCHES: u32 = 20_000;

/// Percent. Entering one empty program is 7 of it, which nothing at a switch can do without; a
/// tracer of run-queue wait alone, the nearest to compare with, is at 42.
const THREADS_LIMIT: f64 = 12.0;
/// Percent. Between processes, the flush of the TLB is one more hook that is entered.
const PROCESSES_LIMIT: f64 = 15.0;

fn main() -> ExitCode {
    if let Some(status) = ping_pong::play_if_told() {
        return status;
    }
    assert!(
        !cost::statistics_on(),
        "kernel.bpf_stats_enabled is 1, which slows every program down; set it to 0"
    );
    println!(
        "ping-pong on one CPU slowed down, %: median (middle half) of {ROUNDS} rounds, each against the same \
         ping-pong without, just before and just after"
    );
    let within = Players::ALL.map(measure);
    match within.iter().all(|within| *within) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn measure(players: Players) -> bool {
    let limit = match players {
        Players::Threads => THREADS_LIMIT,
        Players::Processes => PROCESSES_LIMIT,
    };
    let contenders = [Contender::Empty, Contender::Probes];
    let mut turns = contenders.each_ref().map(|_| Turns::default());
    let mut game = PingPong::start(players);
    let mut before = game.time(SWITCHES);
    let mut without = vec![before];
    for _ in 0..ROUNDS {
        for (contender, turns) in contenders.iter().zip(&mut turns) {
            let loaded = contender.start(game.pid()).expect("probes load");
            let with = game.time(SWITCHES);
            drop(loaded);
            let after = game.time(SWITCHES);
            turns.add(with, [before, after]);
            without.push(after);
            before = after;
        }
    }
    let Spread { lower, upper, .. } = Spread::of(&without);
    println!(
        "  {}, a switch without takes {lower:.0} to {upper:.0} ns",
        players.name()
    );
    let [empty, probes] = turns;
    println!("    {:<16} {}", contenders[0].name(), empty.percent());
    let slower = probes.percent();
    let within = slower.median <= limit;
    let verdict = if within { "within" } else { "ABOVE" };
    println!(
        "    {:<16} {slower}  {verdict} the limit of {limit}",
        contenders[1].name()
    );
    within
}
