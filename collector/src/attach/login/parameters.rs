//! What a login is made with: from a DSN, then the environment, then files, under the names that libpq has for it.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt;
use url::{ParseError, Url};

/// Parameters of a connection by name: `host`, `port`, `user`, `password`, `dbname`, `sslmode`, ...
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

/// Without the values: one of them is a password.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Parameters {
    /// Those of a URL with one of these schemes, or of words like `host=/run/postgresql user='a b'`. What is wrong is
    /// told without a word of it: any may be a part of a password.
    ///
    /// # Errors
    /// If it is neither.
    pub(crate) fn parse(dsn: &str, schemes: &[&str]) -> Result<Self> {
        match dsn.contains("://") {
            true => Self::of_url(dsn, schemes),
            false => Self::of_words(dsn),
        }
    }

    fn of_url(dsn: &str, schemes: &[&str]) -> Result<Self> {
        // With a user and no host, as the servers' own clients have it.
        let (url, has_host) = match Url::parse(dsn) {
            Err(ParseError::EmptyHost) => (Url::parse(&dsn.replacen('@', "@none", 1)), false),
            url => (url, true),
        };
        let url = url.context("it is no URL")?;
        ensure!(
            schemes.contains(&url.scheme()),
            "its scheme is none of {}",
            schemes.join(", ")
        );
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded
                .map(|text| text.into_owned())
                .context("it has bytes that are no UTF-8")
        };
        let mut parameters = Self::default();
        let port = url.port().map(|port| port.to_string());
        // Without the brackets of IPv6.
        let host = url.host_str().filter(|_| has_host);
        let host = host.map(|host| host.trim_matches(['[', ']']));
        let parts = [
            ("host", host),
            ("port", port.as_deref()),
            ("user", Some(url.username())),
            ("password", url.password()),
            ("dbname", url.path().strip_prefix('/')),
        ];
        for (name, value) in parts {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                parameters.set(name, &decoded(value)?);
            }
        }
        for (name, value) in url.query_pairs() {
            parameters.set(&name, &value);
        }
        Ok(parameters)
    }

    /// `name = value`, of which the value may be in single quotes; a backslash before any character is left out.
    fn of_words(dsn: &str) -> Result<Self> {
        let mut parameters = Self::default();
        let mut rest = dsn.trim_start();
        while !rest.is_empty() {
            let number = parameters.0.len() + 1;
            let Some((name, after)) = rest.split_once('=') else {
                bail!("its {number}. parameter is no NAME=VALUE");
            };
            let name = name.trim_end();
            ensure!(
                !name.is_empty() && !name.contains(char::is_whitespace),
                "its {number}. parameter is no NAME=VALUE"
            );
            let (value, after) = value(after.trim_start())
                .with_context(|| format!("the quote of its {number}. parameter has no end"))?;
            parameters.set(name, &value);
            rest = after.trim_start();
        }
        Ok(parameters)
    }

    /// One of them, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Takes in those that are not there yet.
    pub(crate) fn complete<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        others: impl IntoIterator<Item = (N, V)>,
    ) {
        for (name, value) in others {
            if self.get(name.as_ref()).is_none() {
                self.set(name.as_ref(), value.as_ref());
            }
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The port, if it is given.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn port(&self) -> Result<Option<u16>> {
        let port = self.get("port").map(str::parse).transpose();
        port.context("its port is none between 1 and 65535")
    }
}

/// A value and what follows it; none if its quote has no end.
fn value(text: &str) -> Option<(String, &str)> {
    let (mut rest, is_quoted) = match text.strip_prefix('\'') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut value = String::new();
    loop {
        let Some(next) = rest.chars().next() else {
            return (!is_quoted).then_some((value, rest));
        };
        rest = &rest[next.len_utf8()..];
        match next {
            '\'' if is_quoted => return Some((value, rest)),
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                value.push(escaped);
            }
            space if space.is_whitespace() && !is_quoted => return Some((value, rest)),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

    #[track_caller]
    fn assert_parsed(dsn: &str, expected: &[(&str, &str)]) {
        let found = Parameters::parse(dsn, &SCHEMES).expect("parameters");
        let found: Vec<_> = found.iter().collect();
        assert_eq!(found, expected, "{dsn}");
    }

    #[test]
    fn urls() {
        assert_parsed(
            "postgresql://wat%20ch:p%40ss@db.example:5433/sh%2Fop?sslmode=require",
            &[
                ("dbname", "sh/op"),
                ("host", "db.example"),
                ("password", "p@ss"),
                ("port", "5433"),
                ("sslmode", "require"),
                ("user", "wat ch"),
            ],
        );
        assert_parsed(
            "postgres:///shop?host=/run/postgresql&user=watch",
            &[
                ("dbname", "shop"),
                ("host", "/run/postgresql"),
                ("user", "watch"),
            ],
        );
        assert_parsed("postgres://", &[]);
        assert_parsed(
            "postgres://watch@/shop",
            &[("dbname", "shop"), ("user", "watch")],
        );
        assert_parsed(
            "postgres://a:b@:7",
            &[("password", "b"), ("port", "7"), ("user", "a")],
        );
        assert_parsed("postgres://[::1]/", &[("host", "::1")]);
    }

    #[test]
    fn words() {
        assert_parsed(
            r"host = /run/postgresql user='a b' password=it\'s\\ dbname=''",
            &[
                ("host", "/run/postgresql"),
                ("password", r"it's\"),
                ("user", "a b"),
            ],
        );
        assert_parsed(" ", &[]);
    }

    #[test]
    fn what_is_wrong_is_told_without_a_word_of_it() {
        for dsn in [
            "user=watch password=correct secret",
            "user=watch password='secret",
            "mysql://watch:secret@db/",
            "postgres://watch:secret@db:seven/",
            "secret",
            "=secret",
        ] {
            let refused = Parameters::parse(dsn, &SCHEMES).expect_err(dsn);
            assert!(!format!("{refused:#}").contains("secret"), "{refused:#}");
        }
        let secret = Parameters::parse("password=secret port=x", &SCHEMES).expect("parameters");
        assert_eq!(format!("{secret:?}"), r#"{"password", "port"}"#);
        assert!(secret.port().is_err());
    }

    #[test]
    fn what_is_there_is_not_overruled() {
        let mut parameters = Parameters::parse("user=a", &SCHEMES).expect("parameters");
        parameters.complete([("user", "b"), ("host", "h"), ("port", "")]);
        let all: Vec<_> = parameters.iter().collect();
        assert_eq!(all, [("host", "h"), ("user", "a")]);
    }
}
