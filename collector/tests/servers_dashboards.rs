//! The dashboards and rules against a real Prometheus, which scrapes two exporters as two hosts: one with a
//! PostgreSQL alone, one with several targets. What Grafana asks for is asked, and must be there.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/grafana.rs"]
mod grafana;
#[path = "support/program.rs"]
mod program;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/servers.rs"]
mod servers;

use exporter::*;
use grafana::*;
use program::*;
use prometheus::*;
use servers::load::{pgbench, pgbench_tables};
use servers::postgresql::{Postgresql, Version};
use servers::redis::Redis;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// What Grafana makes of its macros, with a scrape each second: `$__rate_interval` is four of them. So long is
/// what is looked at, by its end.
const RATE_INTERVAL: &str = "4s";
const SHOWN_SECONDS: f64 = 12.0;

/// A time that is shown, and what is chosen in it.
struct View<'a> {
    prometheus: &'a Prometheus,
    time: (f64, f64),
    /// The one host that is chosen; else all of them are.
    instance: Option<String>,
}

impl View<'_> {
    /// What the variables of a dashboard are once it is opened, by the answers to their queries.
    #[track_caller]
    fn values(&self, dashboard: &Dashboard) -> Values {
        let range = format!("{SHOWN_SECONDS}s");
        let macros = [
            ("__rate_interval", RATE_INTERVAL),
            ("__range", &range),
            ("__interval", "1s"),
        ];
        let mut values: Values = macros.map(|(name, it)| (name.into(), it.into())).into();
        for variable in &dashboard.variables()[1..] {
            let name = word(variable, "name");
            let found = self.found(word(&variable["query"], "query"), &values);
            assert!(
                !found.is_empty(),
                "{}: nothing to choose for {name}",
                dashboard.name
            );
            let value = match (name, &self.instance) {
                ("instance", Some(instance)) => {
                    assert!(found.contains(instance), "{found:?}");
                    escaped(instance)
                }
                // Of several all are chosen at first, of one the first.
                _ if variable["multi"] == true => word(variable, "allValue").to_owned(),
                _ => found[0].clone(),
            };
            values.insert(name.to_owned(), value);
        }
        values
    }

    #[track_caller]
    fn found(&self, query: &str, values: &Values) -> Vec<String> {
        let (selector, label) = asked(query);
        let selector = fill(selector, values);
        if let Some(label) = label {
            return self.prometheus.label(label, &selector);
        }
        let found = self.prometheus.at(&selector, self.time.1);
        let series = found.0.iter();
        series
            .flat_map(|(labels, _)| labels.values().cloned())
            .collect()
    }

    #[track_caller]
    fn ask(&self, query: &Query, values: &Values) -> Found {
        let filled = fill(&query.expression, values);
        assert!(!filled.contains('$'), "{}: {filled}", query.place);
        match query.is_instant {
            true => self.prometheus.at(&filled, self.time.1),
            false => self.prometheus.over(&filled, self.time),
        }
    }
}

/// The metrics of measures that cannot be had on this host, by what the exporter says of it: panels of them are empty
/// here, and say so.
fn lacking(exporter: &Exporter) -> Vec<&'static str> {
    let metrics = exporter.scrape();
    let lacks = |measure| {
        let probe = format!("probe=\"{measure}\"");
        metrics.has("connscope_probe_up", &format!("{probe},method=\"none\""))
    };
    let families = connscope::export::metrics::targets::FAMILIES.iter();
    let lacking = families.filter(|family| family.measure.is_some_and(lacks));
    lacking.map(|family| family.name).collect()
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after the epoch").as_secs_f64()
}

/// 300 requests a second over 10 connections, to a server that speaks Redis' protocol.
fn load(port: u16) -> Running {
    let mut command = Command::new(target());
    let options = "load --connections 10 --rate 300 --duration 5m --connect";
    command
        .args(options.split(' '))
        .arg(format!("127.0.0.1:{port}"));
    Running::start(command)
}

/// Servers at work and two exporters: of one server, and of that and two others.
struct Hosts {
    alone: Exporter,
    several: Exporter,
    _loads: Vec<Running>,
    _servers: (Postgresql, Redis, Served),
}

impl Hosts {
    fn start() -> Self {
        let postgresql = Postgresql::start(Version::Installed, &[]);
        pgbench_tables(postgresql.port(), 1);
        let redis = Redis::start(&[]);
        let reference = Served::start("thread-per-connection");
        let first = format!(
            "[[target]]\nname = \"orders\"\npostgres = {}\n",
            postgresql.port()
        );
        let others = format!(
            "[[target]]\nredis = {}\n[[target]]\nname = \"thread-per-connection\"\nport = {}\n",
            redis.port(),
            reference.address.port()
        );
        // Windows so wide that there is something in them within seconds.
        let measures = "[measures]\nfault_windows = 20\nswitch_windows = 20\n";
        let alone = Exporter::start(&format!("{measures}{first}"));
        let several = Exporter::start(&format!("{measures}{first}{others}"));
        let loads = vec![
            // Some keep their connections, others connect for each transaction.
            pgbench(postgresql.port(), "-S -c 4 -R 200 -T 300"),
            pgbench(postgresql.port(), "-S -C -c 2 -R 20 -T 300"),
            load(redis.port()),
            load(reference.address.port()),
        ];
        Self {
            alone,
            several,
            _loads: loads,
            _servers: (postgresql, redis, reference),
        }
    }

    fn addresses(&self) -> [String; 2] {
        [&self.alone, &self.several].map(|it| it.address.to_string())
    }
}

#[test]
fn every_panel_has_data_and_every_rule_is_sound() {
    let hosts = Hosts::start();
    let rules = folder().join("rules/connscope.yml").canonicalize();
    let scraped = [hosts.alone.address, hosts.several.address];
    let prometheus = Prometheus::start(&scraped, &rules.expect("rules"));
    // So much that the first rates of the time shown have their samples.
    let begun = now();
    let count = "min(count_over_time(connscope_snapshots_total[5m])) > 15";
    wait_for("fifteen scrapes", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let scraped = !prometheus.at(count, now()).0.is_empty();
        (scraped && now() - begun > SHOWN_SECONDS + 5.0).then_some(())
    });
    let end = now() - 1.0;
    let time = (end - SHOWN_SECONDS, end);
    let lacking = lacking(&hosts.alone);
    for instance in [Some(hosts.alone.address.to_string()), None] {
        let view = View {
            prometheus: &prometheus,
            time,
            instance,
        };
        dashboards_are_full(&view, &lacking, &hosts.addresses());
    }
    rules_are_sound(&prometheus, &hosts);
    // One of the hosts ends: that it is seen takes two scrapes.
    let Hosts { several, .. } = hosts;
    let gone = several.address.to_string();
    several.running.end_by(libc::SIGTERM).exits(0);
    wait_for("the alert", || {
        let alerts = prometheus.get("/api/v1/alerts", &[]);
        let alerts = list(&alerts["alerts"]).iter();
        let mut down = alerts.filter(|it| it["labels"]["alertname"] == "ConnscopeDown");
        down.find(|it| it["labels"]["instance"] == gone.as_str())
            .map(|it| assert_eq!(it["state"], "pending"))
    });
}

/// Fails unless each query finds something that can be drawn, of each of the hosts that are chosen.
#[track_caller]
fn dashboards_are_full(view: &View<'_>, lacking: &[&str], hosts: &[String; 2]) {
    let mut chosen: Vec<_> = match &view.instance {
        Some(instance) => vec![instance.as_str()],
        None => hosts.iter().map(String::as_str).collect(),
    };
    chosen.sort_unstable();
    for dashboard in dashboards() {
        let values = view.values(&dashboard);
        for query in dashboard.queries() {
            let found = view.ask(&query, &values);
            let place = format!("{} of {:?}", query.place, view.instance);
            let is_of = |name: &&&str| query.expression.contains(&format!("connscope_{name}_"));
            if let Some(name) = lacking.iter().find(is_of) {
                assert!(
                    found.0.is_empty(),
                    "{place}: {name} cannot be had: {found:?}"
                );
                continue;
            }
            // Of what is told only if it happened there may be nothing: another query of the panel tells all.
            if query.expression.ends_with("> 0") && !query.is_alone {
                continue;
            }
            let something = match query.panel.as_str() {
                "heatmap" => found.finite().any(|it| it > 0.0),
                _ => found.finite().next().is_some(),
            };
            let filled = fill(&query.expression, &values);
            assert!(something, "{place}: nothing for {filled}");
            if query.panel != "heatmap" {
                assert_eq!(found.labels("instance"), chosen, "{place}");
            }
        }
        for annotation in dashboard.annotations() {
            view.prometheus
                .over(&fill(word(annotation, "expr"), &values), view.time);
        }
    }
}

/// Fails unless each could be evaluated, and what is to be recorded was, of both hosts.
#[track_caller]
fn rules_are_sound(prometheus: &Prometheus, hosts: &Hosts) {
    let groups = prometheus.get("/api/v1/rules", &[]);
    let groups = list(&groups["groups"]).iter();
    let rules: Vec<_> = groups.flat_map(|it| list(&it["rules"])).collect();
    assert!(rules.len() > 15, "{}", rules.len());
    let mut addresses = hosts.addresses();
    addresses.sort();
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        if rule["type"] == "recording" {
            let found = prometheus.at(word(rule, "name"), now());
            assert_eq!(found.labels("instance"), addresses, "{rule:#}");
            assert!(found.finite().next().is_some(), "{rule:#}");
        }
    }
}

#[track_caller]
fn promtool(words: &str) {
    let mut command = Command::new("promtool");
    command.args(words.split(' ')).current_dir(folder());
    let ended = Ended::of(command).exits(0);
    assert!(ended.stdout.contains("SUCCESS"), "{ended:#?}");
}

#[test]
fn promtool_finds_rules_and_configuration_sound() {
    promtool("check rules --lint=all --lint-fatal rules/connscope.yml");
    promtool("check config prometheus.yml");
    promtool("test rules rules/connscope.test.yml");
}
