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
            Some(key) if !key.starts_with(' ') && !key.starts_with("web_config_file") => key,
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
