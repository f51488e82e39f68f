//! System errors in the words of this program: lower case, without the number.

use std::io;

/// `no space left on device` for `No space left on device (os error 28)`.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_left_out() {
        let error = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(in_words(&error), "no space left on device");
        assert_eq!(in_words(&io::Error::other("")), "");
    }
}
