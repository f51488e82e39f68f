//! The web-configuration file that Prometheus' exporters share (exporter-toolkit): TLS, passwords, headers.

use super::pem::{certificates, key, read, wrong};
use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// What it says, made ready.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    /// With TLS only, if there is one.
    pub tls: Option<Arc<ServerConfig>>,
    /// bcrypt hashes of passwords, by user; everybody may read where there are none.
    pub users: BTreeMap<String, String>,
    /// Headers of every answer.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    tls_server_config: Option<RawTls>,
    #[serde(default)]
    http_server_config: RawHttp,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_auth_type: Option<String>,
    client_ca_file: Option<PathBuf>,
    min_version: Option<String>,
    max_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    /// Taken for what others read in the same file: we speak HTTP/1.1.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Those that the toolkit lets be set.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

impl WebConfig {
    /// Reads it and all that it names.
    ///
    /// # Errors
    /// What is wrong with it, or what cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let raw: Raw = match read(path)? {
            text if text.trim().is_empty() => Raw::default(),
            text => {
                serde_saphyr::from_str(&text).map_err(|error| wrong(path, &error.to_string()))?
            }
        };
        let at = |what: &str| format!("{}: {what}", path.display());
        for (user, hash) in &raw.basic_auth_users {
            hash.parse::<bcrypt::HashParts>().map_err(|_| {
                anyhow!(at(&format!(
                    "basic_auth_users: {user}: not a bcrypt hash; make one with `htpasswd -nBC 10 {user}`"
                )))
            })?;
        }
        for name in raw.http_server_config.headers.keys() {
            if !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let known = HEADERS.join(", ");
                bail!(at(&format!(
                    "headers: {name} cannot be set; those that can are {known}"
                )));
            }
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let tls = raw.tls_server_config.map(|tls| tls.build(folder));
        Ok(Self {
            tls: tls
                .transpose()
                .with_context(|| at("tls_server_config"))?
                .map(Arc::new),
            users: raw.basic_auth_users,
            headers: raw.http_server_config.headers.into_iter().collect(),
        })
    }
}

impl RawTls {
    fn build(&self, folder: &Path) -> Result<ServerConfig> {
        let (cert_file, key_file) = (folder.join(&self.cert_file), folder.join(&self.key_file));
        let certificates = certificates(&cert_file)?;
        let key = key(&key_file)?;
        let versions = self.versions()?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&versions)?;
        let builder = match self.verifier(folder)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates, key)
            .map_err(|error| wrong(&cert_file, &format!("does not go with key_file: {error}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn verifier(&self, folder: &Path) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
        let is_optional = match self.client_auth_type.as_deref().unwrap_or("NoClientCert") {
            "NoClientCert" => return Ok(None),
            "RequireAndVerifyClientCert" => false,
            "VerifyClientCertIfGiven" => true,
            other => bail!(
                "client_auth_type: {other} is not supported; use NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
            ),
        };
        let Some(file) = &self.client_ca_file else {
            bail!("client_ca_file is missing, which client_auth_type needs");
        };
        let mut roots = RootCertStore::empty();
        let file = folder.join(file);
        for certificate in certificates(&file)? {
            roots
                .add(certificate)
                .map_err(|error| wrong(&file, &error.to_string()))?;
        }
        let provider = Arc::new(default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match is_optional {
            true => builder.allow_unauthenticated(),
            false => builder,
        };
        Ok(Some(builder.build()?))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>> {
        let number = |key: &str, text: &Option<String>, default| match text.as_deref() {
            None => Ok(default),
            Some("TLS12") => Ok(2),
            Some("TLS13") => Ok(3),
            Some(other) => Err(anyhow!(
                "{key}: {other} is not supported; use TLS12 or TLS13"
            )),
        };
        let least = number("min_version", &self.min_version, 2)?;
        let most = number("max_version", &self.max_version, 3)?;
        if least > most {
            bail!("min_version is above max_version");
        }
        let all = [(2, &TLS12), (3, &TLS13)].into_iter();
        Ok(all
            .filter(|it| (least..=most).contains(&it.0))
            .map(|it| it.1)
            .collect())
    }
}
