//! One run of QEMU, from power-on to power-off.

use super::kernel::Kernel;
use super::plan::Boot;
use anyhow::{Context, Result};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// An unloaded machine with a CPU for each kernel needs half of it.
const TIME_LIMIT_S: u32 = 1800;

/// An emulated CPU whose time-stamp counter the kernel trusts, as it does on real machines: the
/// kernel knows this model's to be constant.
const CPU: &str = "max,vendor=GenuineIntel,family=6,model=58,stepping=9";

/// QEMU 7.2 gets the flags of cmpxchg16b wrong. Kernels to 6.17 take memory without a lock by it,
/// and 6.12 then takes what is in use, as early as its boot. Later ones need it to make task
/// storage, and bear with the flags.
const NO_CMPXCHG16B: (&str, (u32, u32)) = (",cx16=off", (6, 18));

/// What each kernel is told.
const KERNEL_ARGUMENTS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    // The machine ends when its kernel stumbles.
    "panic=-1",
    "oops=panic",
    "tsc=reliable",
    // On a tmpfs, the default, pages of programs would be counted as shared memory.
    "rootfstype=ramfs",
    // An emulated CPU guesses nothing, so there is nothing to guard: address spaces of the kernel's own, which
    // the emulator pays for at each system call, and returns that it cannot follow.
    "mitigations=off",
    // Each program that is attached or detached waits for all CPUs; they are asked, not waited for.
    "rcupdate.rcu_expedited=1",
    // At boot, some ticks have to come in a time that a busy host may not give to the machine.
    "no_timer_check",
];

/// Both CPUs take turns in one thread. With a thread for each, one may run code that the other patches, and QEMU 7.2
/// lets it see what no real CPU would: it stops, or never gets on.
const SETTINGS: &[&str] = &[
    "-accel",
    "tcg,thread=single",
    "-smp",
    "2",
    "-m",
    "2G",
    "-nodefaults",
    "-no-reboot",
    "-display",
    "none",
    "-serial",
    "stdio",
];

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself: power-off or panic, the console tells.
    ByItself,
    /// It had to be killed.
    TimeLimit,
    /// QEMU failed.
    Emulator,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByItself => write!(f, "the machine stopped"),
            Self::TimeLimit => write!(f, "the machine was killed after {TIME_LIMIT_S} s"),
            Self::Emulator => write!(f, "the emulator failed"),
        }
    }
}

fn kernel_arguments(boot: Boot) -> String {
    let (plan, more) = (boot.name(), boot.kernel_arguments());
    format!("{} PLAN={plan} {more}", KERNEL_ARGUMENTS.join(" "))
}

fn cpu(kernel: &Kernel) -> String {
    let (feature, until) = NO_CMPXCHG16B;
    let feature = if kernel.is_before(until) { feature } else { "" };
    format!("{CPU}{feature}")
}

/// Boots the kernel, which runs its plan, and hands on each line of its console, which is kept in a file too.
pub(super) fn run(
    kernel: &Kernel,
    boot: Boot,
    image: &Path,
    console: &Path,
    mut each: impl FnMut(&str),
) -> Result<End> {
    // timeout: the machine must not outlive its time even if this program is killed. In the
    // foreground, it gets the terminal's Ctrl-C too.
    let mut machine = Command::new("timeout")
        .args(["--foreground", "--kill-after=5", &TIME_LIMIT_S.to_string()])
        .arg("qemu-system-x86_64")
        .args(SETTINGS)
        .args(["-cpu", &cpu(kernel)])
        .args(["-append", &kernel_arguments(boot)])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run timeout")?;
    let mut log = File::create(console)?;
    let mut output = BufReader::new(machine.stdout.take().context("QEMU has no output")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        log.write_all(&line)?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = machine.wait().context("cannot wait for QEMU")?;
    Ok(match status.code() {
        Some(0) => End::ByItself,
        Some(124) => End::TimeLimit,
        _ => End::Emulator,
    })
}
