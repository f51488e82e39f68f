//! What a file of claims may say, and what is said of one that is wrong.

use super::*;
use crate::{claims, figures::Unit};

fn measures() -> Vec<Described> {
    let described = |name: &str, axis: Option<&str>| Described {
        name: name.into(),
        unit: Unit::Seconds,
        axis: axis.map(Into::into),
        method: String::new(),
    };
    vec![described("tick", None), described("fork", Some("memory"))]
}

fn added(text: &str) -> Result<Rows> {
    let mut rows = Rows::default();
    rows.add(text, &measures()).map(|()| rows)
}

#[track_caller]
fn refuses(text: &str, why: &str) {
    let said = format!("{:#}", added(text).expect_err(text));
    assert!(said.starts_with(why), "{text}: {said}");
    assert!(!said.contains('\n'), "{said}");
}

const GOOD: &str = "\
[sources]
X = \"a blog\"
[[claim]]
id = \"mine\"
claim = \"a fork takes a day\"
sources = [\"X\"]
[[claim.test]]
measure = \"fork\"
at = [\"50 MB\", \"1 GB\"]
about = 86400
within = 3
[[claim.test]]
measure = \"fork\"
from = 1e6
per = \"tick\"
at_least = 2
";

#[test]
fn ours_name_only_what_is_measured() {
    let rows = Rows::load(None, &claims::known(&claims::measurements())).expect("our own claims");
    assert!(rows.claims.len() >= 28, "{}", rows.claims.len());
    assert!(
        rows.claims
            .iter()
            .all(|it| !it.sources.is_empty() && it.group != NO_GROUP)
    );
}

/// The files that readers are told to write.
#[test]
fn those_of_the_documents_are_understood() {
    let known = claims::known(&claims::measurements());
    for document in [
        include_str!("../../../../docs/claims.md"),
        include_str!("../../../../docs/tutorial.md"),
    ] {
        let files = document.split("```toml\n").skip(1);
        let files = files.filter_map(|rest| rest.split("```").next());
        let mut rows = Rows::load(None, &known).expect("our own claims");
        let ours = rows.claims.len();
        files.for_each(|file| rows.add(file, &known).expect(file));
        assert!(rows.claims.len() > ours);
    }
}

#[test]
fn a_test_says_what_is_compared_with_what() {
    let rows = added(GOOD).expect("a good file");
    let [claim] = &rows.claims[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(
        (claim.id.as_str(), claim.group.as_str()),
        ("mine", NO_GROUP)
    );
    let [about, ratio] = &claim.tests[..] else {
        panic!("{claim:?}");
    };
    assert_eq!(about.at, ["50 MB", "1 GB"]);
    let bounds = |test: &Test| (test.claimed, test.at_least, test.at_most);
    assert_eq!(
        bounds(about),
        (Some(86_400.0), Some(28_800.0), Some(259_200.0))
    );
    assert_eq!(bounds(ratio), (None, Some(2.0), None));
    assert_eq!(
        (ratio.from, ratio.per.as_deref()),
        (Some(1e6), Some("tick"))
    );
}

#[test]
fn rows_of_a_user_come_after_ours() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mine.toml");
    let text = "[[claim]]\nid = \"mine\"\nclaim = \"?\"\nsources = [\"A\"]\n[[claim.test]]\nmeasure = \"fork\"\nat_most = 1\n";
    fs::write(&path, text).expect("written");
    let rows =
        Rows::load(Some(&path), &claims::known(&claims::measurements())).expect("a good file");
    assert_eq!(rows.claims.last().expect("claims").id, "mine");
    fs::write(&path, text.replace("mine", "fork-50mb")).expect("written");
    let error =
        Rows::load(Some(&path), &claims::known(&claims::measurements())).expect_err("twice");
    let said = format!("{error:#}");
    let why = format!("{}:2: id: there is another claim fork-50mb", path.display());
    assert_eq!(said, why);
    let error = Rows::load(
        Some(&folder.path().join("none")),
        &claims::known(&claims::measurements()),
    )
    .expect_err("no file");
    assert!(
        format!("{error:#}").starts_with("cannot read "),
        "{error:#}"
    );
}

#[test]
fn errors_name_the_line_the_key_and_what_is_known() {
    let with = |old: &str, new: &str| {
        assert!(GOOD.contains(old), "{old}");
        GOOD.replacen(old, new, 1)
    };
    let known = "no measure \"frok\"; there are fork, tick";
    refuses(
        &with("\"fork\"", "\"frok\""),
        &format!(":8: measure: {known}"),
    );
    refuses(&with("\"tick\"", "\"frok\""), &format!(":15: per: {known}"));
    refuses(
        &with("[\"X\"]", "[\"Y\"]"),
        ":6: sources: no source \"Y\"; say below [sources]",
    );
    refuses(
        &with("\"mine\"", "\"my own\""),
        ":4: id: made of letters, digits",
    );
    refuses(
        &with("about = 86400", "abuot = 1"),
        ":10: abuot: unknown field `abuot`",
    );
    refuses(
        &with("about = 86400", "about = 0"),
        ":10: about: not above 0",
    );
    refuses(
        &with("within = 3", "within = 1"),
        ":10: about: within is the factor",
    );
    refuses(
        &with("within = 3", "at_least = 1"),
        ":10: about: says all that",
    );
    refuses(
        &with("at_least = 2", "within = 2"),
        ":16: within: goes with about only",
    );
    refuses(
        &with("at_least = 2", ""),
        ":13: measure: nothing to compare with",
    );
    refuses(
        &with("at_least = 2", "at_least = 2\nat_most = 1"),
        ":17: at_most: 1 is less than",
    );
    refuses(
        &with("measure = \"fork\"", "measure = \"tick\""),
        ":8: measure: tick has one point only",
    );
    refuses(
        "[[claim]]\nid = \"a\"\nclaim = \"b\"\n",
        ":2: a: nothing to judge it by",
    );
    refuses("[[claim]]\nid = \"a\"\n", ":1: missing field `claim`");
    refuses("claim = 3\n", ":1: claim: invalid type");
}
