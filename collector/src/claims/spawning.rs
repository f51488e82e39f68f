//! How programs start others: by a fork, which copies the page tables, or in their own address space
//! until the other is executed.

use super::{
    Family, Spec,
    round::Round,
    servers::{CLONE_THREAD, CLONE_VM, creations},
};
use crate::{
    attach::bound::bind, figures::Unit, interrupt::Interrupt, lines::Lines, roles, sample::Sampler,
};
use anyhow::{Context, Result, anyhow, bail};
use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(super) const FAMILY: Family = Family {
    name: "spawning",
    figures: &[Spec {
        name: "spawn_forks",
        unit: Unit::Share,
        axis: "program that starts others",
        method: "creations by clone flags while the program starts /bin/true ten times: those with an \
                 address space of their own (no CLONE_VM), of all; an exec follows each",
    }],
    takes_ms: [900, 900],
    take,
};

/// How often each starts another program.
const TIMES: u32 = 10;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What each runs: it says that it is there, and goes on when it has read a line; `TIMES` stands for how often.
const PROGRAMS: [(&str, &[&str]); 4] = [
    (
        "sh",
        &[
            "sh",
            "-c",
            "echo; read go; i=0; while [ $i -lt TIMES ]; do /bin/true; i=$((i+1)); done",
        ],
    ),
    (
        "bash",
        &[
            "bash",
            "-c",
            "echo; read go; for ((i=0; i<TIMES; i++)); do /bin/true; done",
        ],
    ),
    (
        "Python, subprocess",
        &[
            "python3",
            "-uc",
            "import subprocess\nprint()\ninput()\nfor i in range(TIMES): subprocess.run(['/bin/true'])",
        ],
    ),
    (
        "Perl, system",
        &[
            "perl",
            "-e",
            "$| = 1; print \"\\n\"; <STDIN>; system('/bin/true') for 1..TIMES",
        ],
    ),
];
/// We ourselves, whose library calls posix_spawn(3).
const OURS: &str = "posix_spawn(3)";

fn take(round: &mut Round<'_>) -> Result<()> {
    round.setting.needs_probes()?;
    let share = with_posix_spawn().context(OURS)?;
    round.tell_at("spawn_forks", OURS, None, vec![share]);
    for (name, words) in PROGRAMS {
        match of_program(round, words)? {
            Some(share) => round.tell_at("spawn_forks", name, None, vec![share]),
            None => round.lacks(
                "spawn_forks",
                Some(name),
                format!("there is no {} in PATH", words[0]),
            ),
        }
    }
    Ok(())
}

/// The share of forks among the processes that `work` creates.
fn share(sampler: &mut Sampler, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = creations(sampler)?;
    work()?;
    let after = creations(sampler)?;
    let processes = |made: &[(u64, u64)], fork_only: bool| -> u64 {
        let counts =
            |flags: u64| flags & CLONE_THREAD == 0 && (!fork_only || flags & CLONE_VM == 0);
        made.iter()
            .filter(|(flags, _)| counts(*flags))
            .map(|(_, count)| count)
            .sum()
    };
    let [all, forks] =
        [false, true].map(|fork_only| processes(&after, fork_only) - processes(&before, fork_only));
    if all != u64::from(TIMES) {
        bail!("{all} creations were seen where {TIMES} programs were started");
    }
    Ok(forks as f64 / all as f64)
}

fn with_posix_spawn() -> Result<f64> {
    let mut sampler = watch(std::process::id())?;
    share(&mut sampler, || {
        for _ in 0..TIMES {
            let mut command = Command::new("/bin/true");
            let status = command.stdin(Stdio::null()).status();
            status.context("cannot run /bin/true")?;
        }
        Ok(())
    })
}

/// None if there is no such program.
fn of_program(round: &Round<'_>, words: &[&str]) -> Result<Option<f64>> {
    let times = TIMES.to_string();
    let words: Vec<String> = words.iter().map(|it| it.replace("TIMES", &times)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match bind(&mut command).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot run {}", words[0])),
    };
    let shared = of_child(round, &mut child);
    let _ = child.kill();
    let _ = child.wait();
    shared.map(Some).with_context(|| words[0].clone())
}

fn of_child(round: &Round<'_>, child: &mut Child) -> Result<f64> {
    let stdout = child.stdout.take().context("it has no stdout")?;
    let ready = Lines::of(stdout)?.next(PATIENCE, round.setting.interrupt, || None);
    ready.map_err(|silence| anyhow!("it does not start: {silence}"))?;
    let mut sampler = watch(child.id())?;
    share(&mut sampler, || {
        let mut stdin = child.stdin.take().context("it has no stdin")?;
        stdin.write_all(b"go\n").context("it reads nothing")?;
        wait(child, round.setting.interrupt)
    })
}

fn watch(pid: u32) -> Result<Sampler> {
    let mut sampler = Sampler::load(&[&roles::OF_ANY], &probe_ebpf::Options::BOOKS)?;
    sampler.add(0, pid)?;
    Ok(sampler)
}

fn wait(child: &mut Child, interrupt: &Interrupt) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && interrupt.signal().is_none() {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("it did not end within {PATIENCE:?}")
}
