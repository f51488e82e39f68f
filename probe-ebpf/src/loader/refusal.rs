//! Why an object was refused, in our words.

use crate::{Error, platform, probes::Probe};
use libbpf_rs::{ErrorKind, PrintLevel};
use std::{
    cell::RefCell,
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
};

/// Says in our words why libbpf or the kernel refused an object.
pub(super) fn refusal(probe: &'static Probe, error: &libbpf_rs::Error, log: &str) -> Error {
    let probe = probe.name;
    if !platform::has_btf() {
        return Error::NoBtf { probe };
    }
    if is_locked_down(log) {
        return Error::LockedDown { probe };
    }
    if log.contains("BEGIN PROG LOAD LOG") {
        return match write_log(probe, log) {
            Ok(path) => Error::Verifier { probe, log: path },
            Err(_) => Error::Load {
                probe,
                reason: format!("the kernel's verifier refused it:\n{log}"),
            },
        };
    }
    if error.kind() == ErrorKind::PermissionDenied {
        return Error::NotPermitted { probe };
    }
    let said = log
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("libbpf: ");
    let reason = match said {
        "" => error.to_string(),
        said => format!("{error} ({said})"),
    };
    Error::Load { probe, reason }
}

/// Whether lockdown is why the kernel refused an object. Where securityfs is not mounted only the
/// verifier tells: to read the kernel's memory is then no helper that it knows, or allows.
fn is_locked_down(log: &str) -> bool {
    const HELPER: [&str; 2] = [
        "unknown func bpf_probe_read",
        "cannot use helper bpf_probe_read",
    ];
    match platform::lockdown() {
        Some(level) => level == "confidentiality",
        None => HELPER.iter().any(|words| log.contains(words)),
    }
}

/// Keeps the verifier's log in a new file of the temporary directory.
fn write_log(probe: &str, log: &str) -> io::Result<PathBuf> {
    let name = format!("connscope-verifier-{probe}-{}.log", std::process::id());
    let path = std::env::temp_dir().join(name);
    // Never through a link that somebody else put there.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?
        .write_all(log.as_bytes())?;
    Ok(path)
}

thread_local! {
    /// What libbpf has said in this thread since a load began.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What libbpf says while one object is loaded, in the thread that loads it.
pub(super) struct CapturedLog;

impl CapturedLog {
    pub(super) fn begin() -> Self {
        LOG.with_borrow_mut(String::clear);
        libbpf_rs::set_print(Some((PrintLevel::Warn, |_, message| {
            LOG.with_borrow_mut(|log| log.push_str(&message));
        })));
        Self
    }

    pub(super) fn text(&self) -> String {
        LOG.with_borrow(String::clone)
    }
}
