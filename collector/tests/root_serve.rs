//! `connscope serve` on servers that run: its figures are the kernel's, whatever becomes of the servers and of the
//! configuration.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/leftovers.rs"]
mod leftovers;
#[path = "support/program.rs"]
mod program;

use exporter::*;
use leftovers::Before;
use libc::{SIGINT, SIGKILL, SIGTERM};
use program::*;
use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

/// Voluntary switches and CPU time in clock ticks of a process of one thread, as the kernel counts them.
fn counted(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("a count").trim().parse().expect("a number")
}

fn target_of(name: &str, pid: u32) -> String {
    format!("[[target]]\nname = \"{name}\"\npid = {pid}\n")
}

#[track_caller]
fn promtool(metrics: &[u8]) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    stdin.write_all(metrics).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.is_empty() && output.stdout.is_empty(),
        "{said}"
    );
}

#[test]
fn switches_are_those_that_the_kernel_counts() {
    let before = Before::now();
    let server = Served::start("event-loop");
    let exporter = Exporter::start(&target_of("ours", server.pid()));
    let of_target = ["target=\"ours\"", "kind=\"voluntary\""];
    let voluntary = |metrics: &Metrics| metrics.sum("connscope_context_switches_total", &of_target);
    let (first, counted_first) = (exporter.scrape_later(), counted(server.pid()));
    let load = server.under_load("--connections 20 --rate 2000 --duration 2s");
    let load = load.finish();
    assert!(load.status.success(), "{load:?}");
    let (last, counted_last) = (exporter.scrape_later(), counted(server.pid()));
    let grown = voluntary(&last) - voluntary(&first);
    assert_eq!(grown, (counted_last - counted_first) as f64);
    assert!(grown > 100.0, "{grown}");
    // A sample of each histogram for each switch, but for those that no tracepoint showed.
    let of_target = ["target=\"ours\""];
    let slices = last.sum("connscope_on_cpu_slice_seconds_count", &of_target);
    let switches = last.sum("connscope_context_switches_total", &of_target);
    let unseen = last.sum("connscope_context_switches_unseen_total", &of_target);
    assert!(
        (switches - slices).abs() <= unseen + 2.0,
        "{switches} {slices} {unseen}"
    );
    assert_eq!(last.sum("connscope_target_up", &of_target), 1.0);
    promtool(&exporter.get("/metrics").body);
    let ended = exporter.running.end_by(SIGTERM).exits(0);
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
    drop(server);
    before.assert_nothing_left();
}

#[test]
fn counters_never_go_back_over_restarts_and_reloads() {
    let first = Served::start("event-loop");
    let port = first.address.port();
    let by_port = format!("[[target]]\nname = \"ours\"\nport = {port}\n");
    let mut exporter = Exporter::start(&by_port);
    let mut seen = Metrics::default();
    let requests = |server: &Served| {
        let load = server.under_load("--connections 5 --rate 500 --duration 500ms");
        assert!(load.finish().status.success());
    };
    requests(&first);
    let metrics = exporter.scrape_later();
    metrics.assert_none_went_back(&mut seen);
    let switches =
        |metrics: &Metrics| metrics.sum("connscope_context_switches_total", &["target=\"ours\""]);
    let before = switches(&metrics);
    assert!(before > 50.0, "{before}");
    // It ends: its series do, too.
    kill(first.pid(), SIGKILL);
    drop(first);
    let gone = wait_for("its end", || {
        let metrics = exporter.scrape_later();
        metrics.assert_none_went_back(&mut seen);
        (!metrics.has("connscope_tasks", "target=\"ours\"")).then_some(metrics)
    });
    assert_eq!(gone.sum("connscope_target_up", &["target=\"ours\""]), 0.0);
    assert_eq!(gone.series_of("ours"), 1);
    // And comes back, at the same port.
    let mut command = Command::new(target());
    let listen = format!("127.0.0.1:{port}");
    command.args(["serve", "--model", "event-loop", "--listen", &listen]);
    let again = Served {
        running: Running::start(command),
        address: listen.parse().expect("an address"),
    };
    let back = wait_for("its return", || {
        let metrics = exporter.scrape_later();
        metrics
            .has("connscope_tasks", "target=\"ours\"")
            .then_some(metrics)
    });
    back.assert_none_went_back(&mut seen);
    requests(&again);
    let metrics = exporter.scrape_later();
    metrics.assert_none_went_back(&mut seen);
    assert!(switches(&metrics) > before + 50.0);
    // Another target: another watch, in which the counters of the first go on.
    let before = switches(&metrics);
    let other = Served::start("event-loop");
    let both = format!("{by_port}{}", target_of("other", other.pid()));
    assert_eq!(exporter.reload(&both), READ_ANEW);
    let metrics = exporter.scrape_later();
    metrics.assert_none_went_back(&mut seen);
    requests(&again);
    let metrics = exporter.scrape_later();
    metrics.assert_none_went_back(&mut seen);
    assert!(switches(&metrics) > before + 50.0);
    assert_eq!(metrics.sum("connscope_target_up", &[]), 2.0);
    // A broken file changes nothing.
    let said = exporter.reload("\n[[target]]\nprot = 1\n");
    let file = exporter.file();
    let why = format!(
        "connscope: {}:5: prot: unknown field `prot`",
        file.display()
    );
    assert!(said.starts_with(&why), "{said}");
    let metrics = exporter.scrape_later();
    metrics.assert_none_went_back(&mut seen);
    assert_eq!(
        metrics.sum("connscope_config_last_reload_successful", &[]),
        0.0
    );
    assert_eq!(metrics.sum("connscope_target_up", &[]), 2.0);
    let said = exporter.running.said();
    assert_eq!(said.matches("ours has ended").count(), 1, "{said}");
    assert!(said.matches("ours is not there").count() <= 1, "{said}");
    exporter.running.end_by(SIGINT).exits(0);
}

#[test]
fn a_target_that_is_missing_at_first_is_found_when_it_comes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let mut exporter = Exporter::start(&format!("[[target]]\nport = {port}\n"));
    let name = format!("port {port}");
    exporter.scrape_later();
    assert_eq!(exporter.scrape_later().series_of(&name), 1);
    let listen = format!("127.0.0.1:{port}");
    let mut command = Command::new(target());
    command.args([
        "serve",
        "--model",
        "thread-per-connection",
        "--listen",
        &listen,
    ]);
    let _server = Running::start(command);
    wait_for("the server", || {
        (exporter.scrape().series_of(&name) > 100).then_some(())
    });
    let said = exporter.running.said();
    let missing =
        format!("connscope: target {name} is not there: port {port}: nobody listens there\n");
    assert_eq!(said.matches(&missing).count(), 1, "{said}");
}

#[test]
fn what_cannot_be_served_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let refuses = |text: &str, why: &str| {
        let file = folder.path().join("serve.toml");
        fs::write(&file, text).expect("a file");
        let ended = Ended::of(connscope(&format!("serve --config {}", file.display()))).exits(1);
        assert_eq!(ended.stdout, "");
        let line = ended.line();
        let why = why.replace("FILE", &file.display().to_string());
        assert!(line.starts_with(&format!("connscope: {why}")), "{line}");
        let check = format!("serve --check-config --config {}", file.display());
        check
    };
    let checked = |check: &str, status| Ended::of(connscope(check)).exits(status);
    checked(&refuses("\nlisen = 1\n", "FILE:2: lisen: unknown field"), 1);
    checked(&refuses("interval = \"0\"\n", "FILE:1: interval: "), 1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken
        .local_addr()
        .map(|it| (taken, it))
        .expect("its address");
    let text = format!("listen = \"{}\"\n", taken.1);
    let why = format!(
        "cannot listen on {}: address already in use; end what listens there, or set listen to another port",
        taken.1
    );
    let check = refuses(&text, &why);
    let sound = checked(&check, 0);
    assert!(
        sound
            .stdout
            .starts_with("the configuration is sound: every 10s, on 127.0.0.1:")
    );
    refuses(
        "web_config_file = \"web.yml\"\n",
        "FILE:1: web_config_file: cannot read ",
    );
    let missing = Ended::of(connscope("serve --config /nowhere/serve.toml")).exits(1);
    missing.says("connscope: cannot read /nowhere/serve.toml: no such file or directory");
}
