//! Programs that we start and that may not outlive us.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes what the command starts die with the thread that starts it, and keeps Ctrl-C at our
/// terminal from it, since that is for us to act on.
pub fn bind(command: &mut Command) -> &mut Command {
    command.process_group(0);
    // SAFETY: between fork and exec, only a system call that allocates nothing.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) }
}
