//! Where metrics are pushed to: `[otlp]`.

use super::raw::{Compression, Place, RawOtlp};
use crate::export::otlp::Histograms;
use crate::serve::pem;
use anyhow::Result;
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::Scheme;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::CertifiedKey;
use toml::Spanned;

/// What OTLP/HTTP has metrics at, below any endpoint.
const PATH: &str = "/v1/metrics";

/// A receiver of OTLP over HTTP, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Where metrics go: the endpoint with `/v1/metrics`.
    pub url: String,
    /// Of each request; they may have secrets in them.
    pub headers: Headers,
    /// Who may sign the receiver's certificate; whom the host trusts where there is none.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Who we are.
    pub identity: Option<Arc<Identity>>,
    /// How often; with each reading where there is none.
    pub interval: Option<Duration>,
    /// A request that takes longer has failed.
    pub timeout: Duration,
    /// How many readings may wait to be sent.
    pub queue: usize,
    /// Whether they are compressed by gzip.
    pub gzip: bool,
    /// Which buckets histograms have.
    pub histograms: Histograms,
    /// Attributes of the resource, besides those that it has anyway.
    pub resource: Vec<(String, String)>,
}

/// Names and values of headers; shown without the values.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|it| &it.0))
            .finish()
    }
}

/// A client's certificate, and its private key.
#[derive(PartialEq, Eq)]
pub struct Identity {
    /// With those that signed it.
    pub certificates: Vec<CertificateDer<'static>>,
    /// In PEM form.
    pub key: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What `[otlp]` says; paths in it start at `folder`.
pub(super) fn otlp(
    raw: &Spanned<RawOtlp>,
    place: &Place<'_>,
    folder: &Path,
) -> Result<Option<Otlp>> {
    let raw_otlp = raw.get_ref();
    let Some(endpoint) = &raw_otlp.endpoint else {
        // Nothing else in it means anything then.
        return match *raw_otlp == RawOtlp::default() {
            true => Ok(None),
            false => Err(place.of(
                raw,
                "[otlp]",
                "endpoint is missing; give one, such as \"http://127.0.0.1:4318\"",
            )),
        };
    };
    let url = url(endpoint.get_ref()).map_err(|why| place.of(endpoint, "endpoint", &why))?;
    if !url.starts_with("https:") {
        lacks_tls(raw_otlp, place)?;
    }
    let authorities = raw_otlp.ca_file.as_ref().map(|file| {
        pem::certificates(&folder.join(file.get_ref()))
            .map_err(|error| place.of(file, "ca_file", &format!("{error:#}")))
    });
    let interval = raw_otlp.interval.as_ref();
    let interval = interval.map(|it| place.time(Some(it), "interval", (100, 3_600_000), 0));
    Ok(Some(Otlp {
        url,
        headers: headers(raw_otlp, place)?,
        authorities: authorities.transpose()?,
        identity: identity(raw_otlp, place, folder)?.map(Arc::new),
        interval: interval.transpose()?,
        timeout: place.time(raw_otlp.timeout.as_ref(), "timeout", (100, 60_000), 10_000)?,
        queue: place.number(&raw_otlp.queue, "queue", (1, 10_000), 60)?,
        gzip: raw_otlp.compression == Compression::Gzip,
        histograms: raw_otlp.histograms,
        resource: raw_otlp.resource.clone().into_iter().collect(),
    }))
}

/// Nothing that means something only with TLS is given without it.
fn lacks_tls(raw: &RawOtlp, place: &Place<'_>) -> Result<()> {
    let files = [
        (&raw.ca_file, "ca_file"),
        (&raw.cert_file, "cert_file"),
        (&raw.key_file, "key_file"),
    ];
    match files.into_iter().find(|it| it.0.is_some()) {
        Some((Some(file), key)) => {
            Err(place.of(file, key, "endpoint has no TLS; begin it with https://"))
        }
        _ => Ok(()),
    }
}

/// What is posted to.
fn url(endpoint: &str) -> Result<String, String> {
    let example = "http://127.0.0.1:4318";
    let uri: Uri = endpoint
        .parse()
        .map_err(|_| format!("not a URL, such as {example}"))?;
    if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme()) {
        return Err(format!(
            "begins with neither http:// nor https://; write it as {example}"
        ));
    }
    let authority = uri.authority().map_or("", |it| it.as_str());
    if authority.contains('@') {
        return Err("has credentials in it; give them by headers".to_owned());
    }
    if uri.query().is_some() {
        return Err("has a query; leave out what begins with ?".to_owned());
    }
    let base = endpoint.trim_end_matches('/');
    Ok(match base.ends_with(PATH) {
        true => base.to_owned(),
        false => format!("{base}{PATH}"),
    })
}

fn headers(raw: &RawOtlp, place: &Place<'_>) -> Result<Headers> {
    let mut headers = Vec::new();
    for (name, value) in &raw.headers {
        let is_sound =
            name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value.get_ref()).is_ok();
        if !is_sound {
            return Err(place.of(value, name, "not a header of HTTP"));
        }
        headers.push((name.clone(), value.get_ref().clone()));
    }
    Ok(Headers(headers))
}

fn identity(raw: &RawOtlp, place: &Place<'_>, folder: &Path) -> Result<Option<Identity>> {
    let (cert_file, key_file) = match (&raw.cert_file, &raw.key_file) {
        (None, None) => return Ok(None),
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        (Some(alone), None) => return Err(place.of(alone, "cert_file", "needs key_file too")),
        (None, Some(alone)) => return Err(place.of(alone, "key_file", "needs cert_file too")),
    };
    let read = |file: &Spanned<PathBuf>| folder.join(file.get_ref());
    let load = || {
        let certificates = pem::certificates(&read(cert_file))?;
        let key = pem::key(&read(key_file))?;
        if let Err(error) = CertifiedKey::from_der(certificates.clone(), key, &default_provider()) {
            let why = format!("does not go with key_file: {error}");
            return Err(pem::wrong(&read(cert_file), &why));
        }
        let key = pem::read(&read(key_file))?;
        Ok(Identity { certificates, key })
    };
    let identity = load()
        .map_err(|error: anyhow::Error| place.of(cert_file, "cert_file", &format!("{error:#}")))?;
    Ok(Some(identity))
}
