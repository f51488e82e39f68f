//! What a configuration may say, and what is said of one that is wrong.

use super::*;

const EXAMPLE: &str = include_str!("../../../../dashboards/connscope.example.toml");

fn parsed(text: &str) -> Config {
    Config::parse(text, Path::new("/nowhere")).unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

#[track_caller]
fn refuses(text: &str, why: &str) {
    let error = Config::parse(text, Path::new("/nowhere")).expect_err(text);
    let said = format!("{error:#}");
    assert!(said.starts_with(why), "{text}: {said}");
    assert!(!said.contains('\n'), "{said}");
}

#[test]
fn the_example_says_what_is_true_without_it() {
    let (given, default) = (parsed(EXAMPLE), parsed(""));
    assert_eq!(format!("{given:?}"), format!("{default:?}"));
    // And with nothing commented out, every key is known.
    let uncommented: Vec<_> = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') && !key.contains("_file = ") => key,
            _ => line,
        })
        .collect();
    let all = parsed(&uncommented.join("\n"));
    let names: Vec<_> = all.targets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["orders", "redis 6379", "unit nginx.service"]);
    assert_eq!(all.interval, default.interval);
    assert_eq!(all.limits, default.limits);
    assert_eq!((all.fault_share, all.switch_share), (0.02, 0.01));
    assert_eq!((all.found_targets, all.places()), (8, 11));
    let otlp = all.otlp.expect("an endpoint");
    let plain = parsed("[otlp]\nendpoint = \"http://127.0.0.1:4318\"\n").otlp;
    let plain = plain.expect("an endpoint");
    assert_eq!((otlp.timeout, otlp.queue), (plain.timeout, plain.queue));
    assert_eq!((otlp.gzip, otlp.histograms), (plain.gzip, plain.histograms));
    assert_eq!(plain.interval, None);
}

#[test]
fn metrics_go_below_the_endpoint() {
    for (endpoint, url) in [
        ("http://a:4318", "http://a:4318/v1/metrics"),
        ("https://a/", "https://a/v1/metrics"),
        ("http://a/api/v1/otlp", "http://a/api/v1/otlp/v1/metrics"),
        ("http://[::1]:1/v1/metrics", "http://[::1]:1/v1/metrics"),
    ] {
        let config = parsed(&format!("[otlp]\nendpoint = \"{endpoint}\"\n"));
        assert_eq!(config.otlp.expect("an endpoint").url, url);
    }
    assert!(parsed("[otlp]\n").otlp.is_none());
}

#[test]
fn secrets_are_not_shown() {
    let text = "[otlp]\nendpoint = \"http://a\"\nheaders = { Authorization = \"hunter2\" }\n";
    let config = parsed(text);
    assert_eq!(
        config.otlp.as_ref().expect("an endpoint").headers.0[0].1,
        "hunter2"
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn servers_are_looked_for_only_if_none_is_named() {
    assert_eq!(parsed("").found_targets, 8);
    assert_eq!(parsed("[[target]]\nport = 80\n").found_targets, 0);
    let both = parsed("[discovery]\ndatabases = true\nmax_targets = 2\n[[target]]\nport = 80\n");
    assert_eq!(both.places(), 3);
    assert_eq!(parsed("[discovery]\ndatabases = false\n").places(), 0);
}

#[test]
fn errors_name_the_line_and_the_key() {
    for (text, why) in [
        ("lisen = 1", ":1: lisen: unknown field `lisen`"),
        (
            "\n\ninterval = 10",
            ":3: interval: invalid type: integer `10`",
        ),
        (
            "interval = \"ten\"",
            ":1: interval: not a time; write a number and a unit",
        ),
        (
            "interval = \"1ms\"",
            ":1: interval: out of range; between 100ms and 1h",
        ),
        (
            "# a\nlisten = \"localhost\"",
            ":2: listen: not an address with a port",
        ),
        (
            "web_config_file = \"a.yml\"",
            ":1: web_config_file: cannot read /nowhere/a.yml: no such file",
        ),
        (
            "[limits]\nconnections = 0",
            ":2: connections: out of range; between 1 and",
        ),
        ("[limits]\nconections = 1", ":2: conections: unknown field"),
        (
            "[measures]\nfault_windows = 101",
            ":2: fault_windows: out of range; a percentage",
        ),
        (
            "[measures]\nswitch_windows = \"all\"",
            ":2: switch_windows: a string; give a number",
        ),
        (
            "[measures]\nleave_out = [\"cpu\",\n\"disk\"]",
            ":3: leave_out: no measure disk; there are",
        ),
        (
            "[discovery]\nmax_targets = -1",
            ":2: max_targets: out of range",
        ),
        (
            "listen = \"[::1]:80\"\n[[target]]\n",
            ":2: [[target]]: names nothing to watch; give one of pid,",
        ),
        (
            "[[target]]\nname = \"a\"\nport = 1\npid = 2",
            ":1: [[target]]: names several (pid 2 and port 1)",
        ),
        (
            "[[target]]\nport = 1\n[[target]]\nport = 1",
            ":3: [[target]]: name: another target is called port 1 already, in line 1",
        ),
        (
            "[[target]]\nname = \"\"\nport = 1",
            ":1: [[target]]: name: between 1 and 100",
        ),
        (
            "[[target]]\nport = 65536",
            ":2: port: invalid value: integer `65536`",
        ),
        (
            "[[target]]\nredis = []",
            ":2: redis: invalid type: sequence",
        ),
        (
            "[limits]\n[otlp]\nqueue = 3",
            ":2: [otlp]: endpoint is missing; give one",
        ),
        (
            "[otlp]\nendpoint = \"localhost:4318\"",
            ":2: endpoint: begins with neither http:// nor https://",
        ),
        ("[otlp]\nendpoint = \"http://\"", ":2: endpoint: not a URL"),
        (
            "[otlp]\nendpoint = \"http://u:p@a\"",
            ":2: endpoint: has credentials in it; give them by headers",
        ),
        (
            "[otlp]\nendpoint = \"http://a?b=c\"",
            ":2: endpoint: has a query",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\nqueue = 0",
            ":3: queue: out of range; between 1 and",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\ncompression = \"zstd\"",
            ":3: compression: unknown variant `zstd`, expected `gzip` or `none`",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\nhistograms = \"native\"",
            ":3: histograms: unknown variant `native`, expected `explicit` or `exponential`",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\ntimeout = \"1ms\"",
            ":3: timeout: out of range",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\nca_file = \"a\"",
            ":3: ca_file: endpoint has no TLS",
        ),
        (
            "[otlp]\nendpoint = \"https://a\"\nca_file = \"a\"",
            ":3: ca_file: cannot read /nowhere/a: no such file",
        ),
        (
            "[otlp]\nendpoint = \"https://a\"\ncert_file = \"a\"",
            ":3: cert_file: needs key_file too",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\nheaders = { \"a b\" = \"c\" }",
            ":3: a b: not a header of HTTP",
        ),
        (
            "[otlp]\nendpoint = \"http://a\"\ninterval = \"1ms\"",
            ":3: interval: out of range",
        ),
        (
            "[otlp]\nendpoint = 4318",
            ":2: endpoint: invalid type: integer `4318`",
        ),
        ("a = = 1", ":1: a: "),
        ("[limits", ":1: "),
    ] {
        refuses(text, why);
    }
}

#[test]
fn a_target_is_named_by_what_chose_it() {
    let text =
        "[[target]]\nredis = 6379\n[[target]]\nredis = \"/data\"\n[[target]]\nprocess = \"x\"\n";
    let config = parsed(text);
    let names: Vec<_> = config.targets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["redis 6379", "redis /data", "process x"]);
    assert_eq!(
        config.targets[1].asked.databases,
        [("--redis", "/data".to_owned())]
    );
    assert_eq!(config.targets[2].asked.names, ["x"]);
}

#[test]
fn a_watch_is_kept_unless_what_is_watched_changes() {
    let config = parsed("[[target]]\nredis = 6379\n");
    for same in [
        "interval = \"1s\"\n",
        "listen = \"127.0.0.1:1\"\n",
        "[limits]\nconnections = 9\n",
        "[measures]\nleave_out = [\"cpu\"]\n",
        "[otlp]\nendpoint = \"http://a\"\n",
    ] {
        assert!(config.watches_the_same(&parsed(&format!("{same}[[target]]\nredis = 6379\n"))));
    }
    for other in [
        "[[target]]\nredis = 6380\n",
        "[[target]]\nredis = 6379\n[[target]]\nport = 1\n",
        "[measures]\nfault_windows = 0\n[[target]]\nredis = 6379\n",
        "",
    ] {
        assert!(!config.watches_the_same(&parsed(other)), "{other}");
    }
}
