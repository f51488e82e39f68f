//! A kernel booted with lockdown=confidentiality, under which BPF may not read its memory.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/program.rs"]
mod program;

use answers::*;
use program::*;
use std::{fs, process::Command};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

#[test]
fn the_lockdown_is_named() {
    assert_own_machine();
    let text = fs::read_to_string(LOCKDOWN).expect("securityfs is mounted, and the kernel has it");
    assert!(text.contains("[confidentiality]"), "{text}");
    let findings = Findings::of(connscope);
    let (status, found, remedy) = findings.check("lockdown");
    assert_eq!(
        (status, found),
        (
            "missing",
            "confidentiality: BPF may not read the kernel's memory"
        )
    );
    assert_eq!(remedy, "boot with lockdown=integrity, or without");
    assert!(!findings.can_compare);
    assert_refuses(
        connscope,
        &["cannot load probe", "lockdown", "lockdown=integrity"],
    );
}

/// The kernel refuses all the same, and only the refusal itself tells.
#[test]
fn the_lockdown_is_named_without_securityfs() {
    assert_own_machine();
    let hidden = |words: &str| {
        let mut command = Command::new("unshare");
        let script = format!("umount /sys/kernel/security && exec {CONNSCOPE} {words}");
        command.args(["-m", "sh", "-c", &script]);
        command
    };
    let findings = Findings::of(hidden);
    assert!(!findings.can_compare);
    assert_refuses(
        hidden,
        &["cannot load probe", "lockdown", "lockdown=integrity"],
    );
}
