//! How programs start others: by a fork, which copies the page tables, or in their own address space
//! until the other is executed.

use super::{
    Family, Spec,
    round::Round,
    servers::{CLONE_THREAD, CLONE_VM, creations},
};
use crate::{attach::bound::bind, figures::Unit, interrupt::Interrupt, roles, sample::Sampler};
use anyhow::{Context, Result, bail};
use std::{
    io::Write,
    process::{Command, Stdio},
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
    takes_ms: [1_500, 1_500],
    take,
};

/// How often each starts another program.
const TIMES: u32 = 10;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What each runs, once it has read a line; `TIMES` stands for how often.
const PROGRAMS: [(&str, &[&str]); 4] = [
    (
        "sh",
        &[
            "sh",
            "-c",
            "read go; i=0; while [ $i -lt TIMES ]; do /bin/true; i=$((i+1)); done",
        ],
    ),
    (
        "bash",
        &[
            "bash",
            "-c",
            "read go; for ((i=0; i<TIMES; i++)); do /bin/true; done",
        ],
    ),
    (
        "Python, subprocess",
        &[
            "python3",
            "-c",
            "import subprocess\ninput()\nfor i in range(TIMES): subprocess.run(['/bin/true'])",
        ],
    ),
    (
        "Perl, system",
        &["perl", "-e", "<STDIN>; system('/bin/true') for 1..TIMES"],
    ),
];
/// We ourselves, whose library calls posix_spawn(3).
const OURS: &str = "posix_spawn(3)";

fn take(round: &mut Round<'_>) -> Result<()> {
    let share = with_posix_spawn(round).context(OURS)?;
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

/// The share of forks among the processes that were created.
fn share(counted: &[(u64, u64)]) -> Result<f64> {
    let processes = || {
        counted
            .iter()
            .filter(|(flags, _)| flags & CLONE_THREAD == 0)
    };
    let all: u64 = processes().map(|(_, count)| count).sum();
    let forks = processes().filter(|(flags, _)| flags & CLONE_VM == 0);
    let forks: u64 = forks.map(|(_, count)| count).sum();
    if all != u64::from(TIMES) {
        bail!("{all} creations were seen where {TIMES} programs were started");
    }
    Ok(forks as f64 / all as f64)
}

fn with_posix_spawn(round: &Round<'_>) -> Result<f64> {
    let mut sampler = watch(round, std::process::id())?;
    let before = creations(&mut sampler)?;
    for _ in 0..TIMES {
        let mut command = Command::new("/bin/true");
        let status = command.stdin(Stdio::null()).status();
        status.context("cannot run /bin/true")?;
    }
    let mut after = creations(&mut sampler)?;
    for (flags, count) in before {
        let known = after.iter_mut().find(|it| it.0 == flags);
        known.context("the count of creations went back")?.1 -= count;
    }
    share(&after)
}

/// None if there is no such program.
fn of_program(round: &Round<'_>, words: &[&str]) -> Result<Option<f64>> {
    let times = TIMES.to_string();
    let words: Vec<String> = words.iter().map(|it| it.replace("TIMES", &times)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match bind(&mut command).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot run {}", words[0])),
    };
    let counted = (|| {
        let mut sampler = watch(round, child.id())?;
        let mut stdin = child.stdin.take().context("it has no stdin")?;
        stdin.write_all(b"go\n").context("it reads nothing")?;
        wait(&mut child, round.setting.interrupt)?;
        creations(&mut sampler)
    })();
    let _ = child.kill();
    let _ = child.wait();
    let counted = counted.with_context(|| format!("cannot watch {}", words[0]))?;
    share(&counted).with_context(|| words[0].clone()).map(Some)
}

fn watch(round: &Round<'_>, pid: u32) -> Result<Sampler> {
    round.setting.needs_probes()?;
    let mut sampler = Sampler::load(&[&roles::OF_ANY], &probe_ebpf::Options::NO_WINDOWS)?;
    sampler.add(0, pid)?;
    Ok(sampler)
}

fn wait(child: &mut std::process::Child, interrupt: &Interrupt) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && interrupt.signal().is_none() {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("it did not end within {PATIENCE:?}")
}
