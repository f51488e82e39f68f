//! System errors in the words of this program: lower case, without the number.

/// `address already in use` for `Address already in use (os error 98)`.
pub(crate) fn in_words(error: impl Into<std::io::Error>) -> String {
    let text = error.into().to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
