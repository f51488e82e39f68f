//! Files of groups of options: libpq's `pg_service.conf`, MySQL's `~/.my.cnf`.

use crate::errors::in_words;
use anyhow::{Result, anyhow};
use std::path::Path;
use std::{fs, io};

/// The options of one group; `None` if there is no such file or no such group. Of several with one name, the last
/// counts, as for those whose files they are.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn group(path: &Path, name: &str) -> Result<Option<Vec<(String, String)>>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(group_in(&text, name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow!(
            "cannot read {}: {}",
            path.display(),
            in_words(&error)
        )),
    }
}

fn group_in(text: &str, name: &str) -> Option<Vec<(String, String)>> {
    let mut found = None;
    let mut is_it = false;
    for line in text.lines().map(str::trim) {
        let group = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        if let Some(group) = group {
            is_it = group.trim() == name;
            if is_it {
                found.get_or_insert_with(Vec::new);
            }
        } else if is_it
            && !line.starts_with(['#', ';'])
            && let Some((option, value)) = line.split_once('=')
            && let Some(options) = &mut found
        {
            options.push((option.trim().to_owned(), unquoted(value.trim()).to_owned()));
        }
    }
    found
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
[other]
user=nobody
[ watch ]
host = db.example
; another
password = \"with = and # \"
skip-ssl
[other]
user=nobody
[watch]
port=5433
";

    #[test]
    fn the_options_of_a_group() {
        let found = group_in(TEXT, "watch").expect("the group");
        let expected = [
            ("host", "db.example"),
            ("password", "with = and # "),
            ("port", "5433"),
        ];
        let expected = expected.map(|(option, value)| (option.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
        assert_eq!(group_in(TEXT, "missing"), None);
        assert_eq!(group_in("[empty]", "empty"), Some(Vec::new()));
    }

    #[test]
    fn a_file_that_is_not_there_has_none() {
        let found = group(Path::new("/nonexistent/file"), "watch");
        assert_eq!(found.expect("no error"), None);
        let refused = group(Path::new("/proc"), "watch").expect_err("a folder");
        assert_eq!(refused.to_string(), "cannot read /proc: is a directory");
    }
}
