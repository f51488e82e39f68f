//! Claims as people write them: TOML, with an error for each mistake that names the line and the key.

use crate::{
    errors::in_words,
    figures::{Claim, Described, Test},
    place::{Number, Place},
};
use anyhow::{Error, Result, anyhow};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
use toml::Spanned;

/// The claims that come with connscope.
const OURS: &str = include_str!("claims.toml");
/// `about = 5` holds from 2.5 to 10, unless `within` says otherwise.
const WITHIN: f64 = 2.0;
/// The heading of claims that name none.
const NO_GROUP: &str = "Further claims";

/// Claims and the sources they name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// In the order they were written.
    pub claims: Vec<Claim>,
    /// By their letters.
    pub sources: BTreeMap<String, String>,
}

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRows {
    #[serde(default)]
    sources: BTreeMap<String, String>,
    #[serde(default)]
    claim: Vec<Spanned<RawClaim>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    id: Spanned<String>,
    claim: String,
    group: Option<String>,
    #[serde(default)]
    sources: Vec<Spanned<String>>,
    note: Option<String>,
    #[serde(default)]
    test: Vec<Spanned<RawTest>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    measure: Spanned<String>,
    label: Option<String>,
    at: Option<Names>,
    from: Option<Number>,
    to: Option<Number>,
    per: Option<Spanned<String>>,
    per_at: Option<String>,
    about: Option<Spanned<Number>>,
    within: Option<Spanned<Number>>,
    claimed: Option<Number>,
    at_least: Option<Spanned<Number>>,
    at_most: Option<Spanned<Number>>,
}

/// One name or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Rows {
    /// Those that come with connscope, and those of a file after them.
    ///
    /// # Errors
    /// What is wrong with the file, with the line and the key.
    pub fn load(file: Option<&Path>, known: &[Described]) -> Result<Self> {
        let mut rows = Self::default();
        rows.add(OURS, known)
            .map_err(|error| anyhow!("our own claims{error:#}"))?;
        if let Some(path) = file {
            let place = path.display();
            let text = fs::read_to_string(path)
                .map_err(|error| anyhow!("cannot read {place}: {}", in_words(&error)))?;
            rows.add(&text, known)
                .map_err(|error| anyhow!("{place}{error:#}"))?;
        }
        Ok(rows)
    }

    /// Takes in those of a text. Errors begin with `:LINE: KEY: `.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, text: &str, known: &[Described]) -> Result<()> {
        let place = Place::in_text(text);
        let raw: RawRows = place.parse()?;
        self.sources.extend(raw.sources);
        for claim in &raw.claim {
            let claim = self.claim(&place, claim, known)?;
            self.claims.push(claim);
        }
        Ok(())
    }

    fn claim(
        &self,
        place: &Place<'_>,
        spanned: &Spanned<RawClaim>,
        known: &[Described],
    ) -> Result<Claim> {
        let raw = spanned.get_ref();
        let id = raw.id.get_ref();
        let plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '-' || sign == '_';
        if id.is_empty() || !id.chars().all(plain) {
            let why = "made of letters, digits, - and _ only, since --only takes it";
            return Err(place.of(&raw.id, "id", why));
        }
        if self.claims.iter().any(|claim| claim.id == *id) {
            return Err(place.of(&raw.id, "id", &format!("there is another claim {id}")));
        }
        for source in &raw.sources {
            if !self.sources.contains_key(source.get_ref()) {
                let why = format!(
                    "no source {:?}; say below [sources] what it stands for",
                    source.get_ref()
                );
                return Err(place.of(source, "sources", &why));
            }
        }
        if raw.test.is_empty() {
            let why = "nothing to judge it by; give it a [[claim.test]]";
            return Err(place.of(&raw.id, id, why));
        }
        let tests = raw.test.iter().map(|raw| test(place, raw, known));
        Ok(Claim {
            id: id.clone(),
            group: raw.group.clone().unwrap_or_else(|| NO_GROUP.into()),
            claim: raw.claim.clone(),
            sources: raw.sources.iter().map(|it| it.get_ref().clone()).collect(),
            note: raw.note.clone(),
            tests: tests.collect::<Result<_>>()?,
        })
    }
}

fn test(place: &Place<'_>, spanned: &Spanned<RawTest>, known: &[Described]) -> Result<Test> {
    let raw = spanned.get_ref();
    let measure = described(place, &raw.measure, "measure", known)?;
    if let Some(per) = &raw.per {
        described(place, per, "per", known)?;
    }
    let at = match &raw.at {
        None => Vec::new(),
        Some(Names::One(name)) => vec![name.clone()],
        Some(Names::Several(names)) => names.clone(),
    };
    if measure.axis.is_none() && (!at.is_empty() || raw.from.is_some() || raw.to.is_some()) {
        let why = format!("{} has one point only: no at, from or to", measure.name);
        return Err(place.of(&raw.measure, "measure", &why));
    }
    let bounds = bounds(place, spanned)?;
    Ok(Test {
        measure: measure.name.clone(),
        label: raw.label.clone(),
        at,
        from: raw.from.map(|it| it.0),
        to: raw.to.map(|it| it.0),
        per: raw.per.as_ref().map(|per| per.get_ref().clone()),
        per_at: raw.per_at.clone(),
        ..bounds
    })
}

/// What is said, and from where to where it holds.
fn bounds(place: &Place<'_>, spanned: &Spanned<RawTest>) -> Result<Test> {
    let raw = spanned.get_ref();
    let number = |given: &Option<Spanned<Number>>| given.as_ref().map(|it| it.get_ref().0);
    let (at_least, at_most) = (number(&raw.at_least), number(&raw.at_most));
    if let (Some(least), Some(most), Some(given)) = (at_least, at_most, &raw.at_most)
        && least > most
    {
        let why = format!("{most} is less than at_least, {least}");
        return Err(place.of(given, "at_most", &why));
    }
    let Some(about) = &raw.about else {
        return match (&raw.within, at_least.or(at_most)) {
            (Some(within), _) => Err(place.of(within, "within", "goes with about only")),
            (None, None) => {
                let why = "nothing to compare with; give about, at_least or at_most";
                Err(place.of(&raw.measure, "measure", why))
            }
            (None, Some(_)) => Ok(Test {
                claimed: raw.claimed.map(|it| it.0),
                at_least,
                at_most,
                ..Test::default()
            }),
        };
    };
    let said = about.get_ref().0;
    let within = number(&raw.within).unwrap_or(WITHIN);
    let wrong = |why| Err(place.of(about, "about", why));
    if said.is_nan() || said <= 0.0 {
        return wrong("not above 0; give at_least and at_most instead");
    }
    if within.is_nan() || within <= 1.0 {
        return wrong("within is the factor that it may be off by, above 1");
    }
    if raw.claimed.is_some() || at_least.is_some() || at_most.is_some() {
        return wrong("says all that claimed, at_least and at_most say; leave those out");
    }
    Ok(Test {
        claimed: Some(said),
        at_least: Some(said / within),
        at_most: Some(said * within),
        ..Test::default()
    })
}

fn described<'a>(
    place: &Place<'_>,
    name: &Spanned<String>,
    key: &str,
    known: &'a [Described],
) -> Result<&'a Described> {
    let found = known.iter().find(|it| it.name == *name.get_ref());
    found.ok_or_else(|| unknown(place, name, key, known))
}

fn unknown(place: &Place<'_>, name: &Spanned<String>, key: &str, known: &[Described]) -> Error {
    let names: BTreeSet<_> = known.iter().map(|it| it.name.as_str()).collect();
    let names: Vec<_> = names.into_iter().collect();
    let why = format!(
        "no measure {:?}; there are {}",
        name.get_ref(),
        names.join(", ")
    );
    place.of(name, key, &why)
}

#[cfg(test)]
mod tests;
