//! What scrapers read: the last exposition, encoded before they come in the formats that they have asked for.

use crate::export::metrics::exposition::Exposition;
use crate::export::prometheus::encode::encode;
use crate::export::prometheus::negotiate::{FORMATS, Format};
use http_body_util::Full;
use hyper::body::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A place for one exposition.
#[derive(Debug, Default)]
pub struct Board {
    last: Mutex<Option<Arc<Shown>>>,
    /// By format, whether anybody has asked for it.
    asked: [AtomicBool; FORMATS.len()],
}

#[derive(Debug)]
struct Shown {
    exposition: Arc<Exposition>,
    encoded: [OnceLock<Result<Bytes, String>>; FORMATS.len()],
    at: Instant,
    /// After so long there should be a newer one.
    fresh: Duration,
}

impl Board {
    /// Puts up what is shown from now on; in twice `interval` there should be something newer.
    pub fn put(&self, exposition: Exposition, interval: Duration) {
        let shown = Shown {
            exposition: Arc::new(exposition),
            encoded: Default::default(),
            at: Instant::now(),
            fresh: interval * 2 + Duration::from_secs(5),
        };
        for (format, asked) in FORMATS.into_iter().zip(&self.asked) {
            if asked.load(Ordering::Relaxed) {
                let _ = shown.bytes(format);
            }
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(shown));
    }

    /// All of it in a format.
    ///
    /// # Errors
    /// Why there is nothing to show.
    pub fn read(&self, format: Format) -> Result<Full<Bytes>, String> {
        let place = place(format);
        self.asked[place].store(true, Ordering::Relaxed);
        let shown = self.last().ok_or("nothing was read yet")?;
        shown.bytes(format).map(Full::new)
    }

    /// Whether what is shown is of now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn is_fresh(&self) -> Result<(), String> {
        let shown = self.last().ok_or("nothing was read yet")?;
        let age = shown.at.elapsed();
        match age <= shown.fresh {
            true => Ok(()),
            false => Err(format!("nothing was read for {} s", age.as_secs())),
        }
    }

    fn last(&self) -> Option<Arc<Shown>> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shown {
    fn bytes(&self, format: Format) -> Result<Bytes, String> {
        let encoded = self.encoded[place(format)]
            .get_or_init(|| encode(&self.exposition, format).map(Bytes::from));
        encoded.clone()
    }
}

fn place(format: Format) -> usize {
    FORMATS.iter().position(|it| *it == format).unwrap_or(0)
}
