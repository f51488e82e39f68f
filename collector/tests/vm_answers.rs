//! What users are told, and what still works, where the kernel or its owner holds something back.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "support/program.rs"]
mod program;

use answers::*;
use nobody::{TWO_CAPABILITIES, as_nobody};
use program::*;
use std::{fs, process::Command};

/// Where libbpf looks for kernel types if the kernel shows none, `@` being the release.
const OTHER_TYPES: [&str; 7] = [
    "/boot/vmlinux-@",
    "/lib/modules/@/vmlinux-@",
    "/lib/modules/@/build/vmlinux",
    "/usr/lib/modules/@/kernel/vmlinux",
    "/usr/lib/debug/boot/vmlinux-@",
    "/usr/lib/debug/boot/vmlinux-@.debug",
    "/usr/lib/debug/lib/modules/@/vmlinux",
];

/// Runs connscope where the kernel shows no types: an empty folder lies over them.
fn without_types(words: &str) -> Command {
    target();
    let script = format!("mount -t tmpfs none /sys/kernel/btf && exec {CONNSCOPE} {words}");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    command
}

#[test]
fn a_kernel_without_btf() {
    assert_own_machine();
    let release = rustix::system::uname();
    for path in OTHER_TYPES {
        let path = path.replace('@', &release.release().to_string_lossy());
        assert!(fs::metadata(&path).is_err(), "{path} is there");
    }
    let findings = Findings::of(without_types);
    let (status, found, remedy) = findings.check("kernel types (BTF)");
    assert_eq!(
        (status, found),
        ("missing", "/sys/kernel/btf/vmlinux is not there")
    );
    assert!(remedy.contains("CONFIG_DEBUG_INFO_BTF=y"), "{remedy}");
    assert!(!findings.can_compare);
    findings.assert_no_measure();
    assert_refuses(
        without_types,
        &[
            "cannot load probe",
            "no BTF (/sys/kernel/btf/vmlinux is missing)",
            "needs a kernel with CONFIG_DEBUG_INFO_BTF=y",
        ],
    );
}

#[test]
fn no_capability() {
    assert_own_machine();
    refused_for_want_of("--bounding-set=-all", "CAP_PERFMON and CAP_BPF");
}

#[test]
fn only_cap_bpf() {
    assert_own_machine();
    let one = "--inh-caps=+bpf --ambient-caps=+bpf";
    refused_for_want_of(one, "CAP_PERFMON");
}

#[test]
fn only_cap_perfmon() {
    assert_own_machine();
    let one = "--inh-caps=+perfmon --ambient-caps=+perfmon";
    refused_for_want_of(one, "CAP_BPF");
}

#[track_caller]
fn refused_for_want_of(setpriv: &str, lacks: &str) {
    let (_folder, nobody) = as_nobody(setpriv, "");
    let made = |words: &str| with_words(&nobody, words);
    let findings = Findings::of(made);
    let (status, found, remedy) = findings.check("privileges");
    assert_eq!(
        (status, found),
        ("missing", &format!("without {lacks}")[..])
    );
    assert!(remedy.contains("sudo"), "{remedy}");
    assert_eq!(findings.missing(), ["privileges"]);
    assert!(!findings.can_compare);
    findings.assert_no_measure();
    let words = "operation not permitted; needs root, or CAP_BPF and CAP_PERFMON";
    assert_refuses(made, &["cannot load probe", words]);
}

/// A reference server that answers so many requests in a second.
const RATE: u64 = 100;

#[test]
fn the_two_capabilities_and_no_more() {
    assert_own_machine();
    let (_folder, nobody) = as_nobody(TWO_CAPABILITIES, "");
    let made = |words: &str| with_words(&nobody, words);
    let findings = Findings::of(made);
    assert_eq!(findings.missing(), [""; 0]);
    assert!(findings.can_compare);
    assert_eq!(
        findings.check("privileges").1,
        "may load and attach BPF programs"
    );
    assert_eq!(findings.check("BPF task storage").0, "ok");
    let (status, _, remedy) = findings.check("memory cgroup");
    assert_eq!(status, "unknown");
    assert!(remedy.contains("needs root"), "{remedy}");

    // A thread that waits for each request: as many switches as requests, and the kernel's own count
    // around the watch is no less.
    let server = Served::start("thread-per-connection");
    let load = format!("--connections 1 --rate {RATE} --warm-up 0s --duration 60s");
    let _load = server.under_load(&load);
    wait_for("a request", || (switches(server.pid()) > 20).then_some(()));
    let before = switches(server.pid());
    let words = format!(
        "attach --pid {} --duration 2s --format json --quiet",
        server.pid()
    );
    let ended = Ended::of(made(&words)).exits(0);
    let after = switches(server.pid());
    let report = ended.report();
    let seen = &report["targets"][0]["measures"]["context_switches"]["voluntary"];
    let seen = seen.as_u64().expect("a count");
    assert!(
        seen >= RATE && seen <= after - before,
        "{seen} switches seen, {} by the kernel's count",
        after - before
    );
    let waits = &report["targets"][0]["measures"]["run_queue_wait"]["count"];
    assert!(waits.as_u64() > Some(RATE), "{report:#}");
}

fn with_words(nobody: &Command, words: &str) -> Command {
    let mut command = Command::new(nobody.get_program());
    command
        .args(nobody.get_args())
        .args(words.split_whitespace());
    command
}

/// Voluntary switches of all threads of a process, by the kernel's count.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let of_task = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.map_or(0, |count| count.trim().parse().expect("a number"))
    };
    tasks.flatten().map(of_task).sum()
}
