//! The concurrency models that `connscope-target` says it serves, and how each wants to be started.

use serde::Deserialize;

/// The option of a model that forwards requests to another server.
const BACKEND: &str = "--backend";
/// The option of a model that counts what its scheduler in user space does.
const COUNTERS: &str = "--counters";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The options it takes of those that not every model takes.
    options: Vec<String>,
    /// Why nobody can count what it switches in user space, if it does that uncounted.
    pub uncounted_switches: Option<String>,
}

impl Model {
    /// The models of a list in JSON.
    ///
    /// # Errors
    /// If it is no such list.
    pub fn list(json: &[u8]) -> serde_json::Result<Vec<Self>> {
        serde_json::from_slice(json)
    }

    /// Whether it forwards requests to another server.
    #[must_use]
    pub fn needs_backend(&self) -> bool {
        self.takes(BACKEND)
    }

    /// Whether it counts what its scheduler in user space does.
    #[must_use]
    pub fn counts_switches(&self) -> bool {
        self.takes(COUNTERS)
    }

    fn takes(&self, option: &str) -> bool {
        self.options.iter().any(|taken| taken == option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_how_each_wants_to_be_started() {
        let list = br#"[
            {"name": "a", "about": "plain", "options": [], "uncounted_switches": null},
            {"name": "b", "about": "", "options": ["--backend", "--pool-size"], "more": 1},
            {"name": "c", "about": "", "options": ["--workers", "--counters"]},
            {"name": "d", "about": "", "options": [], "uncounted_switches": "it keeps none"}
        ]"#;
        let models = Model::list(list).expect("a list");
        let of = |model: &Model| {
            (
                model.needs_backend(),
                model.counts_switches(),
                model.uncounted_switches.is_some(),
            )
        };
        let expected = [
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (false, false, true),
        ];
        assert_eq!(models.iter().map(of).collect::<Vec<_>>(), expected);
        assert!(Model::list(b"a    plain\n").is_err());
    }
}
