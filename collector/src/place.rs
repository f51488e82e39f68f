//! TOML that people write, and where in it something is wrong.

use anyhow::{Error, Result, anyhow};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use toml::Spanned;

/// A number with or without a point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(number) => Ok(Self(number as f64)),
            toml::Value::Float(number) => Ok(Self(number)),
            other => Err(D::Error::custom(format!(
                "a {}; give a number",
                other.type_str()
            ))),
        }
    }
}

/// A text in which something may be wrong. Errors begin with `:LINE: KEY: `.
pub(crate) struct Place<'a> {
    text: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn in_text(text: &'a str) -> Self {
        Self { text }
    }

    /// # Errors
    /// What is wrong and where, as `:LINE: KEY: why`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let key = key_of(self.text_of_line(start));
            let why = error.message().replace('\n', ", ");
            anyhow!(":{}: {key}{why}", self.line(start))
        })
    }

    /// From 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn text_of_line(&self, offset: usize) -> &'a str {
        let lines = self.text.lines();
        lines
            .into_iter()
            .nth(self.line(offset) - 1)
            .unwrap_or_default()
    }

    /// What is wrong with a value.
    pub(crate) fn of<T>(&self, value: &Spanned<T>, key: &str, why: &str) -> Error {
        anyhow!(":{}: {key}: {why}", self.line(value.span().start))
    }
}

/// `interval: ` of a line like `interval = "ten"`, and nothing of one that sets nothing.
fn key_of(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => format!("{}: ", key.trim()),
        _ => String::new(),
    }
}
