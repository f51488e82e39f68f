//! Certificates of our own.
#![allow(dead_code, unreachable_pub)]

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
use std::{fs, path::PathBuf};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// A certificate for `localhost` and 127.0.0.1 with its key, in a folder, and who signed it: `server.crt`,
/// `server.key`, `ca.crt`.
pub struct Keys {
    pub folder: TempDir,
    pub root: CertificateDer<'static>,
}

impl Keys {
    /// One that holds until that year.
    pub fn until(year: i32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut issuer = CertificateParams::default();
        issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("a certificate");
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("server.crt"), certificate.pem()).expect("a file");
        fs::write(path("server.key"), key.serialize_pem()).expect("a file");
        fs::write(path("ca.crt"), issuer.pem()).expect("a file");
        let root = issuer.der().clone();
        Self { folder, root }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("server.crt")).expect("a certificate")
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path("server.key")).expect("a key")
    }
}
