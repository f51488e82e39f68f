//! Whom `attach` finds and takes: real Redis servers, by all that names them. Where others run on the host
//! already, what finds the only one cannot be tested, and fails.

#[path = "support/program.rs"]
mod program;
#[path = "support/redis.rs"]
mod redis;

use connscope::attach::cgroup::Hierarchy;
use program::*;
use redis::Redis;
use serde_json::Value;
use std::fs;

/// Name, kind and processes of each target that is watched.
#[track_caller]
fn watches(words: &str) -> Vec<(String, String, Vec<u64>)> {
    let words = format!("attach {words} --duration 200ms --format json");
    let ended = Ended::of(connscope(&words)).exits(0);
    assert_eq!(ended.stderr, "");
    targets(&ended)
}

fn targets(ended: &Ended) -> Vec<(String, String, Vec<u64>)> {
    let report = ended.report();
    let targets = report["targets"].as_array().expect("targets");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let described = targets.iter().map(|target| {
        let pids = target["pids"].as_array().expect("pids");
        let pids = pids.iter().map(|pid| pid.as_u64().expect("a pid"));
        (text(&target["name"]), text(&target["kind"]), pids.collect())
    });
    described.collect()
}

#[track_caller]
fn refuses(words: &str, why: &str) -> String {
    let ended = Ended::of(connscope(&format!("attach {words} --duration 10s"))).exits(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with(why), "{}", ended.stderr);
    ended.stderr
}

fn described(server: &Redis) -> (String, String, Vec<u64>) {
    let name = format!("Redis:{}", server.port);
    (name, "redis".to_owned(), vec![u64::from(server.pid())])
}

#[test]
fn a_server_is_found_by_all_that_names_it() {
    refuses(
        "",
        "connscope: found no database server here (PostgreSQL, MySQL,",
    );
    refuses(
        "--redis 1",
        "connscope: --redis 1: no such server runs here\n",
    );
    let first = Redis::start();
    let only = Ended::of(connscope("attach --duration 200ms --format json")).exits(0);
    assert_eq!(targets(&only), [described(&first)]);
    let found = format!("connscope: found Redis:{}, pid {}", first.port, first.pid());
    assert!(only.line().starts_with(&found), "{}", only.line());
    let second = Redis::start();
    let said = refuses(
        "",
        "connscope: found 2 database servers; say which to watch",
    );
    for server in [&first, &second] {
        let line = format!(
            "  --redis {:<10} Redis:{}, pid {}, {}",
            server.port,
            server.port,
            server.pid(),
            server.directory.display()
        );
        assert!(said.contains(&line), "{said}");
    }
    for words in [
        format!("--redis {}", first.port),
        format!("--redis {}", first.pid()),
        format!("--redis {}", first.directory.display()),
        format!("--port {}", first.port),
    ] {
        assert_eq!(watches(&words), [described(&first)], "{words}");
    }
    let both = format!("--redis {},{}", first.port, second.pid());
    assert_eq!(watches(&both), [described(&first), described(&second)]);
    let twice = format!("--redis {0} --port {0}", first.port);
    let pid = first.pid();
    refuses(
        &twice,
        &format!(
            "connscope: pid {pid} (Redis:{}) is to be watched twice",
            first.port
        ),
    );
    refuses(
        "--redis 1",
        "connscope: --redis 1: no such server runs here; there are\n  --redis",
    );
    refuses(
        "--postgres 5432",
        "connscope: --postgres 5432: no such server runs here\n",
    );
    refuses("--port 1", "connscope: --port 1: nobody listens there\n");
    // Ended, and not yet waited for.
    let ended = Redis::start();
    kill(ended.pid(), libc::SIGKILL);
    wait_for("a zombie", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", ended.pid())).ok()?;
        stat.contains(") Z ").then_some(())
    });
    refuses(
        "",
        "connscope: found 2 database servers; say which to watch",
    );
}

#[test]
fn all_of_a_unit_or_a_cgroup_is_one_target() {
    let hierarchy = Hierarchy::find().expect("a hierarchy");
    let cgroup = hierarchy.create("choice.service").expect("a cgroup");
    let members = [Redis::start(), Redis::start()];
    let other = Redis::start();
    for member in &members {
        fs::write(cgroup.processes_file(), member.pid().to_string()).expect("it moves");
    }
    let of_member = fs::read_to_string(format!("/proc/{}/cgroup", members[0].pid()));
    let of_member = of_member.expect("its cgroups");
    let path = of_member
        .lines()
        .filter_map(|line| line.rsplit(':').next())
        .find(|path| path.ends_with("choice.service"))
        .expect("its cgroup");
    let unit = path.rsplit('/').next().expect("a name");
    let pids: Vec<_> = members.iter().map(|it| u64::from(it.pid())).collect();
    for (words, name) in [
        (format!("--cgroup {path}"), path),
        (format!("--unit {unit}"), unit),
        (
            format!("--unit {}", unit.trim_end_matches(".service")),
            unit,
        ),
    ] {
        let [(called, kind, watched)] = &mut watches(&words)[..] else {
            panic!("{words}: not one target");
        };
        watched.sort_unstable();
        assert_eq!(
            (called.as_str(), kind.as_str()),
            (name, "process"),
            "{words}"
        );
        assert_eq!(*watched, pids, "{words}");
    }
    refuses(
        &format!("--redis {unit}"),
        &format!("connscope: --redis {unit}: these are 2;"),
    );
    let alone = hierarchy.create("alone.service").expect("a cgroup");
    fs::write(alone.processes_file(), members[1].pid().to_string()).expect("it moves");
    let folder = alone.processes_file();
    let folder = folder
        .parent()
        .and_then(|it| it.file_name())
        .expect("its folder");
    let unit_of_one = folder.to_str().expect("a name");
    assert_eq!(
        watches(&format!("--redis {unit_of_one}")),
        [described(&members[1])]
    );
    let inside = format!("--cgroup {path} --redis {}", members[0].port);
    refuses(&inside, "connscope: pid ");
    refuses(
        "--unit nothing",
        "connscope: --unit nothing: no process runs in nothing.service\n",
    );
    refuses(
        "--cgroup /none",
        "connscope: --cgroup /none: no process is in that cgroup;",
    );
    drop(other);
}
