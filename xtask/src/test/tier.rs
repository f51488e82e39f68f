//! Which tests need what, told by the names of their files.

use crate::setup::Purpose;
use clap::ValueEnum;
use std::fmt;

/// What a test needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// Nothing: unit tests, documentation tests and most integration tests
    Pure,
    /// Root, and the machine for itself
    Root,
    /// Root, and real servers
    Servers,
    /// A machine to do with as they like: `test-vm` runs them
    #[value(skip)]
    Vm,
}

impl Tier {
    /// The tier of an integration test, by its name.
    pub(crate) fn of(file: &str) -> Self {
        match file.split_once('_') {
            Some(("root", _)) => Self::Root,
            Some(("servers", _)) => Self::Servers,
            Some(("vm", _)) => Self::Vm,
            _ => Self::Pure,
        }
    }

    /// The tiers asked for, each once and in order; all that the host runs if none was.
    pub(crate) fn chosen(asked: Vec<Self>) -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|tier| asked.is_empty() || asked.contains(tier))
            .collect()
    }

    pub(crate) fn needs_root(self) -> bool {
        self != Self::Pure
    }

    /// What must be installed for these tiers.
    pub(crate) fn purpose(tiers: &[Self]) -> Purpose {
        match tiers.contains(&Self::Servers) {
            true => Purpose::Tests,
            false => Purpose::Build,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pure => "pure",
            Self::Root => "root",
            Self::Servers => "servers",
            Self::Vm => "vm",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_the_tier() {
        assert_eq!(Tier::of("root_switches"), Tier::Root);
        assert_eq!(Tier::of("servers_redis"), Tier::Servers);
        assert_eq!(Tier::of("vm_answers"), Tier::Vm);
        assert_eq!(Tier::of("rooted"), Tier::Pure);
        assert_eq!(Tier::of("layout_root"), Tier::Pure);
    }

    #[test]
    fn no_tier_asked_for_means_all() {
        assert_eq!(
            Tier::chosen(Vec::new()),
            [Tier::Pure, Tier::Root, Tier::Servers]
        );
        assert_eq!(
            Tier::chosen(vec![Tier::Root, Tier::Pure, Tier::Root]),
            [Tier::Pure, Tier::Root]
        );
    }
}
