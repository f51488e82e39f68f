//! Lines that fit the screen, and emphasis where it can show any.

/// Writes emphasis as terminal escapes, or not at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) color: bool,
}

impl Pen {
    /// Titles.
    pub(super) fn strong(self, text: &str) -> String {
        self.escape("1", text)
    }

    /// What is read second.
    pub(super) fn faint(self, text: &str) -> String {
        self.escape("2", text)
    }

    /// What makes figures doubtful.
    pub(super) fn warning(self, text: &str) -> String {
        self.escape("33", text)
    }

    /// What is as it is said to be.
    pub(super) fn good(self, text: &str) -> String {
        self.escape("32", text)
    }

    /// What is not.
    pub(super) fn bad(self, text: &str) -> String {
        self.escape("31", text)
    }

    fn escape(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Breaks a text at spaces into lines of at most `width` columns; a longer word has its own line.
pub(crate) fn wrap(text: &str, width: Option<u16>) -> Vec<String> {
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    wrap_list(&words, " ", width)
}

/// Joins items with `separator` into lines of at most `width` columns.
pub(super) fn wrap_list(items: &[String], separator: &str, width: Option<u16>) -> Vec<String> {
    let fits = |line: &str, item: &str| {
        width.is_none_or(|width| columns(line) + columns(separator) + columns(item) <= width.into())
    };
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if fits(line, item) => {
                line.push_str(separator);
                line.push_str(item);
            }
            _ => lines.push(item.clone()),
        }
    }
    lines
}

/// Columns that a text takes; of the signs used here each takes one.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}
