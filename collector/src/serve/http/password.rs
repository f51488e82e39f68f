//! Who may read: basic authentication against bcrypt hashes.
//!
//! To check one takes tens of milliseconds of CPU time, as is the point of bcrypt. So it is done in a thread of
//! its own, and passwords that were right are known again by a digest with a key that nobody has.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use ring::{hmac, rand::SystemRandom};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// A hash that no password has, so that an unknown user takes as long as a known one.
const NOBODYS: &str = "$2y$10$abcdefghijklmnopqrstuuKmMdrM/tAzEIRw6rBFNhHzv4T7v7VU6";

/// Hashes by user, and the credentials that were found right.
pub(super) struct Passwords {
    hashes: Arc<BTreeMap<String, String>>,
    /// None where the system has no randomness for it: then each is checked anew.
    key: Option<hmac::Key>,
    right: Mutex<HashSet<Vec<u8>>>,
}

impl Passwords {
    pub(super) fn of(hashes: &BTreeMap<String, String>) -> Self {
        Self {
            hashes: Arc::new(hashes.clone()),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            right: Mutex::default(),
        }
    }

    /// Whether a request with this header is to be answered.
    pub(super) async fn admit(&self, header: Option<HeaderValue>) -> bool {
        if self.hashes.is_empty() {
            return true;
        }
        let Some((user, password)) = header.as_ref().and_then(credentials) else {
            return false;
        };
        let digest = self.key.as_ref().map(|key| {
            let both = format!("{}:{user}{password}", user.len());
            hmac::sign(key, both.as_bytes()).as_ref().to_vec()
        });
        if digest.as_ref().is_some_and(|it| self.right().contains(it)) {
            return true;
        }
        let hashes = self.hashes.clone();
        let check = move || {
            let hash = hashes.get(&user);
            let is_right = bcrypt::verify(password, hash.map_or(NOBODYS, String::as_str));
            hash.is_some() && is_right.unwrap_or(false)
        };
        let is_right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        if let (true, Some(digest)) = (is_right, digest) {
            self.right().insert(digest);
        }
        is_right
    }

    fn right(&self) -> std::sync::MutexGuard<'_, HashSet<Vec<u8>>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// User and password.
fn credentials(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, coded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = String::from_utf8(BASE64_STANDARD.decode(coded.trim()).ok()?).ok()?;
    let (user, password) = both.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_is_one() {
        assert!(!bcrypt::verify("", NOBODYS).expect("a hash"));
    }

    #[test]
    fn credentials_are_read_as_written() {
        let read = |text: &str| credentials(&HeaderValue::from_str(text).expect("a header"));
        let of = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic YTpiOmM="), of("a", "b:c"));
        assert_eq!(read("basic YTo="), of("a", ""));
        for wrong in ["Basic", "Basic YQ==", "Basic !", "Bearer YTpi", ""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
