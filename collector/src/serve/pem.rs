//! Certificates and keys as files have them.

use crate::errors::in_words;
use anyhow::{Error, Result, anyhow};
use std::fs;
use std::path::Path;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file.
///
/// # Errors
/// If it cannot be read, or has none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(wrong(path, "no certificate in PEM form")),
        Err(error) => Err(wrong(path, &format!("no certificate in PEM form: {error}"))),
    }
}

/// The private key of a file.
///
/// # Errors
/// If it cannot be read, or has none.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|error| wrong(path, &format!("no private key in PEM form: {error}")))
}

/// A file's text.
pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| anyhow!("cannot read {}: {}", path.display(), in_words(&error)))
}

/// What is wrong with a file, in a line.
pub(super) fn wrong(path: &Path, why: &str) -> Error {
    let line = why.lines().next().unwrap_or_default();
    anyhow!("{}: {line}", path.display())
}
