//! `connscope doctor`: what this host allows, and what to do about the rest.

mod table;

use super::{compare::of_memory, output::print};
use crate::{
    attach::{cgroup::Hierarchy, launched::TargetBinary},
    cli::Doctor,
    counters,
    export::{Format, Style},
    own,
    report::method::without_probe,
    snapshot::Method,
};
use anyhow::Result;
use probe_ebpf::{
    cost,
    counters::Refused,
    platform,
    probes::{self, ASKED_FOR, PROBES, Probe},
};
use serde::Serialize;
use std::process::ExitCode;
use table::table;

/// The oldest kernel that the probes were seen on.
const OLDEST_KERNEL: (u16, u16) = (6, 1);

/// What was found, and whether the main job can run with it.
#[derive(Debug, Serialize)]
struct Findings {
    schema: u32,
    can_compare: bool,
    checks: Vec<Check>,
    measures: Vec<Measure>,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    status: Status,
    /// The main job cannot run unless this is well.
    essential: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Missing,
    /// Not to be found out with these privileges.
    Unknown,
}

/// A measure, and how it is taken here.
#[derive(Debug, Serialize)]
struct Measure {
    measure: String,
    method: String,
    /// The probe or the check that it hangs on.
    probe: String,
    status: Status,
}

/// Looks at everything the main job needs.
///
/// # Errors
/// If the findings cannot be written.
pub fn run(args: &Doctor) -> Result<ExitCode> {
    let findings = look();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&findings)? + "\n",
        Format::Table | Format::Html => table(&findings, Style::of_stdout().width),
    };
    print(text.as_bytes())?;
    Ok(if findings.can_compare {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn look() -> Findings {
    let missing = platform::missing_capabilities();
    let allowed = missing.is_empty();
    let mut checks = vec![
        kernel(),
        btf(),
        privileges(&missing),
        lockdown(),
        jit(),
        task_storage(),
    ];
    let mut measures = Vec::new();
    for probe in PROBES.iter().chain(ASKED_FOR) {
        let (check, taken) = self::probe(probe, allowed);
        let of_probe = |measure: &probes::Measure| Measure {
            measure: measure.name.into(),
            method: measure.method.into(),
            probe: probe.name.into(),
            status: check.status,
        };
        measures.extend(taken.iter().map(of_probe));
        checks.push(check);
    }
    let (memory, own) = (memory_cgroup(), own_memory());
    let mut essential = checks.iter().filter(|check| check.essential);
    let not_ok = essential.find(|check| check.status != Status::Ok);
    let not_ok = not_ok.map(|check| check.status);
    let of_check = |check: &Check, method: Method| Measure {
        measure: method.measure,
        method: method.method,
        probe: check.name.clone(),
        // Nothing is measured where the watch cannot run.
        status: not_ok.unwrap_or(check.status),
    };
    let named = |measure: &str| Method {
        measure: measure.into(),
        method: without_probe(measure).unwrap_or_default().into(),
    };
    for (measure, opened) in counters::check() {
        let check = perf_counters(measure, opened);
        measures.push(of_check(&check, named(measure)));
        checks.push(check);
    }
    let hierarchy = Hierarchy::look().ok();
    let marginal = of_memory(hierarchy.as_ref()).unwrap_or_else(|| Method {
        measure: "marginal_bytes_per_connection".into(),
        method: "the counter of its own memory cgroup".into(),
    });
    let (statistics, servers) = (program_statistics(), reference_servers());
    measures.extend([of_check(&memory, marginal), of_check(&own, own::method())]);
    let of_compare = ["client", "user_space_switches"];
    measures.extend(of_compare.map(|measure| of_check(&servers, named(measure))));
    measures.push(of_check(&statistics, named("observer")));
    checks.extend([memory, own, statistics, open_files(), servers]);
    let can_compare = checks
        .iter()
        .all(|check| !check.essential || check.status == Status::Ok);
    Findings {
        schema: crate::report::SCHEMA,
        can_compare,
        checks,
        measures,
    }
}

impl Check {
    fn new(name: impl Into<String>, essential: bool) -> Self {
        Self {
            name: name.into(),
            status: Status::Ok,
            essential,
            found: String::new(),
            remedy: None,
        }
    }

    fn ok(self, found: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            ..self
        }
    }

    fn missing(self, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: Status::Missing,
            found: found.into(),
            remedy: Some(remedy.into()),
            ..self
        }
    }

    fn unknown(self, remedy: impl Into<String>) -> Self {
        Self {
            status: Status::Unknown,
            found: "not checked".into(),
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

fn kernel() -> Check {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u16>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let check = Check::new("kernel", false);
    let (major, minor) = OLDEST_KERNEL;
    match version >= OLDEST_KERNEL {
        true => check.ok(release),
        false => check.missing(
            release,
            format!("the probes were never seen on a kernel before {major}.{minor}"),
        ),
    }
}

fn btf() -> Check {
    let check = Check::new("kernel types (BTF)", true);
    match platform::has_btf() {
        true => check.ok(platform::BTF_PATH),
        false => check.missing(
            format!("{} is not there", platform::BTF_PATH),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian's and Ubuntu's are)",
        ),
    }
}

fn privileges(missing: &[&str]) -> Check {
    let check = Check::new("privileges", true);
    match missing {
        [] => check.ok("may load and attach BPF programs"),
        missing => check.missing(
            format!("without {}", missing.join(" and ")),
            "run with sudo, or give the program CAP_BPF and CAP_PERFMON",
        ),
    }
}

fn lockdown() -> Check {
    let check = Check::new("lockdown", true);
    match platform::lockdown().as_deref() {
        Some("confidentiality") => check.missing(
            "confidentiality: BPF may not read the kernel's memory",
            "boot with lockdown=integrity, or without",
        ),
        Some(level) => check.ok(level),
        None => check.ok("none (not built in, or securityfs is not mounted)"),
    }
}

fn jit() -> Check {
    let check = Check::new("BPF compiler (JIT)", false);
    match platform::jit_enabled() {
        Some(false) => check.missing(
            "off: probes cost several times more",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        _ => check.ok("on"),
    }
}

fn task_storage() -> Check {
    let check = Check::new("BPF task storage", true);
    match platform::has_task_storage() {
        Ok(true) => check.ok("supported"),
        Ok(false) => check.missing("not supported", "use Linux 5.11 or newer"),
        Err(_) => check.unknown("needs the privileges above"),
    }
}

/// Whether a probe can run, and what it measures: by the methods found to work, or as it would.
fn probe(probe: &'static Probe, allowed: bool) -> (Check, Vec<probes::Measure>) {
    let check = Check::new(
        format!("probe {} on {}", probe.name, probe.hooks.join(", ")),
        probe.essential,
    );
    if !allowed {
        let unknown = check.unknown("needs the privileges above");
        return (unknown, probe.measures.to_vec());
    }
    match probe.check() {
        Ok(measures) => (check.ok("loads and attaches"), measures),
        Err(error) => {
            let refused = check.missing("refused", error.to_string());
            (refused, probe.measures.to_vec())
        }
    }
}

/// Of the kernel, and of the CPU.
fn perf_counters(measure: &str, opened: Result<(), Refused>) -> Check {
    let check = Check::new(format!("perf's {}", measure.replace('_', " ")), false);
    match opened {
        Ok(()) => check.ok("may be opened"),
        Err(error @ Refused::NoPmu) => check.missing(
            error.to_string(),
            "on a virtual machine the hypervisor must give it one; all other measures do without",
        ),
        Err(error) => check.missing("refused", error.to_string()),
    }
}

fn memory_cgroup() -> Check {
    let check = Check::new("memory cgroup", false);
    match Hierarchy::look() {
        Ok(hierarchy) => check.ok(hierarchy.version.name()),
        Err(error) if !rustix::process::geteuid().is_root() => check.unknown(format!(
            "needs root ({error}); without it there is no marginal memory per connection"
        )),
        Err(error) => check.missing(
            "none to be used",
            format!("{error}; without it there is no marginal memory per connection"),
        ),
    }
}

fn own_memory() -> Check {
    let check = Check::new("memory of other processes", false);
    match own::check() {
        Ok(()) => check.ok("may be walked"),
        Err(reason) => check.missing(
            "not to be walked",
            format!("{reason}; without it there is no own memory of processes"),
        ),
    }
}

fn program_statistics() -> Check {
    let check = Check::new("statistics of BPF programs", false);
    match cost::refused() {
        None => check.ok("may be switched on"),
        Some(reason) => check.missing(
            "refused",
            format!(
                "{reason}; needs CAP_SYS_ADMIN, without it there is no cost of our own programs"
            ),
        ),
    }
}

fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = limit.map_or_else(
        || "no limit".into(),
        |limit| format!("{limit} (hard limit, RLIMIT_NOFILE)"),
    );
    Check::new("open files", false).ok(limit)
}

fn reference_servers() -> Check {
    let check = Check::new("reference servers", true);
    match TargetBinary::find(None).and_then(|binary| binary.models()) {
        Ok(models) => check.ok(models.join(", ")),
        Err(error) => check.missing("connscope-target is not there", error.to_string()),
    }
}
