//! The configuration file as it is written, and where in it something is wrong.

use crate::export::otlp::Histograms;
pub(super) use crate::place::{Number, Place};
use anyhow::Result;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) interval: Option<Spanned<String>>,
    pub(super) listen: Option<Spanned<String>>,
    pub(super) web_config_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) measures: RawMeasures,
    #[serde(default)]
    pub(super) discovery: RawDiscovery,
    pub(super) otlp: Option<Spanned<RawOtlp>>,
    #[serde(default)]
    pub(super) target: Vec<Spanned<RawTarget>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) series_per_target: Option<Spanned<i64>>,
    pub(super) connections: Option<Spanned<i64>>,
    pub(super) header_time: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMeasures {
    pub(super) fault_windows: Option<Spanned<Number>>,
    pub(super) switch_windows: Option<Spanned<Number>>,
    #[serde(default)]
    pub(super) leave_out: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDiscovery {
    pub(super) databases: Option<bool>,
    pub(super) max_targets: Option<Spanned<i64>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOtlp {
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) interval: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) queue: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) compression: Compression,
    #[serde(default)]
    pub(super) histograms: Histograms,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) cert_file: Option<Spanned<PathBuf>>,
    pub(super) key_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) resource: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    #[default]
    Gzip,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) name: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) port: Option<u16>,
    pub(super) postgres: Option<Which>,
    pub(super) mysql: Option<Which>,
    pub(super) redis: Option<Which>,
    pub(super) pgbouncer: Option<Which>,
    pub(super) unit: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) process: Option<String>,
}

/// A port, a pid, a data directory or a unit: a number may be written as one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Which(pub(super) String);

impl<'de> Deserialize<'de> for Which {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Which;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, a pid, a data directory or a unit")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Which, E> {
                Ok(Which(number.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Which, E> {
                match text {
                    "" => Err(E::custom(
                        "is empty; give a port, a pid, a data directory or a unit",
                    )),
                    text => Ok(Which(text.to_owned())),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl RawConfig {
    /// # Errors
    /// What is wrong and where, as `:LINE: KEY: why`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Place::in_text(text).parse()
    }
}

impl Place<'_> {
    pub(super) fn number(
        &self,
        value: &Option<Spanned<i64>>,
        key: &str,
        (least, most): (i64, i64),
        default: i64,
    ) -> Result<usize> {
        let number = value.as_ref().map_or(default, |value| *value.get_ref());
        match value {
            Some(value) if !(least..=most).contains(&number) => Err(self.of(
                value,
                key,
                &format!("out of range; between {least} and {most}"),
            )),
            _ => Ok(usize::try_from(number)?),
        }
    }

    /// All in milliseconds.
    pub(super) fn time(
        &self,
        value: Option<&Spanned<String>>,
        key: &str,
        (least, most): (u64, u64),
        default: u64,
    ) -> Result<Duration> {
        let Some(value) = value else {
            return Ok(Duration::from_millis(default));
        };
        let time = humantime::parse_duration(value.get_ref()).map_err(|_| {
            self.of(
                value,
                key,
                "not a time; write a number and a unit, such as 10s",
            )
        })?;
        let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
        match (least..=most).contains(&time) {
            true => Ok(time),
            false => {
                let (least, most) = (
                    humantime::format_duration(least),
                    humantime::format_duration(most),
                );
                Err(self.of(
                    value,
                    key,
                    &format!("out of range; between {least} and {most}"),
                ))
            }
        }
    }

    /// Of a percentage, a share of 1.
    pub(super) fn share(
        &self,
        value: &Option<Spanned<Number>>,
        key: &str,
        default: f64,
    ) -> Result<f64> {
        let percent = value.as_ref().map_or(default, |value| value.get_ref().0);
        match value {
            Some(value) if !(0.0..=100.0).contains(&percent) => {
                Err(self.of(value, key, "out of range; a percentage, between 0 and 100"))
            }
            _ => Ok(percent / 100.0),
        }
    }
}
