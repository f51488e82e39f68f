//! One request to a receiver of OTLP over HTTP, and what its answer means.

use super::queue::Reading;
use crate::errors::in_words;
use crate::serve::config::Otlp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::CertificateDer;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body, Error};

/// Of an answer, no more is read.
const ANSWER_BYTES: u64 = 64 * 1024;
/// Of what a receiver says, no more is told.
const WORDS: usize = 200;

/// Speaks to one receiver.
pub(super) struct Client {
    agent: Agent,
    config: Otlp,
}

/// The receiver has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Data points that it did not take.
    pub(super) rejected_points: u64,
    /// Why, or what else it wants to be known.
    pub(super) warning: Option<String>,
}

/// The receiver has not taken it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// And will not.
    Refused(String),
    /// It may later.
    Unreached {
        why: String,
        /// When it says that it will.
        after: Option<Duration>,
    },
}

impl Client {
    pub(super) fn new(config: &Otlp) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            // Where it was to be sent to, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("connscope/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls(config))
            .build();
        Self {
            agent: agent.into(),
            config: config.clone(),
        }
    }

    pub(super) fn send(&self, reading: &Reading) -> Result<Taken, Failure> {
        let mut request = self.agent.post(&self.config.url);
        for (name, value) in &self.config.headers.0 {
            request = request.header(name, value);
        }
        request = request.content_type("application/x-protobuf");
        if reading.is_gzip {
            request = request.header("content-encoding", "gzip");
        }
        let answer = request
            .send(&reading.body)
            .map_err(|error| unreached(self.in_words(&error)))?;
        judge(answer)
    }

    fn in_words(&self, error: &Error) -> String {
        match error {
            Error::Io(error) => in_words(error),
            Error::Timeout(_) => format!(
                "no answer within {}",
                humantime::format_duration(self.config.timeout)
            ),
            Error::HostNotFound => "no such host".to_owned(),
            error => error.to_string(),
        }
    }
}

fn unreached(why: String) -> Failure {
    Failure::Unreached { why, after: None }
}

fn tls(config: &Otlp) -> TlsConfig {
    let roots = match &config.authorities {
        Some(authorities) => authorities.iter().map(certificate).collect(),
        // Without any, no certificate is trusted, which the error says.
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(certificate)
            .collect::<Vec<_>>(),
    };
    let identity = config.identity.as_ref().and_then(|identity| {
        let chain: Vec<_> = identity.certificates.iter().map(certificate).collect();
        // It was one when the configuration was read.
        let key = PrivateKey::from_pem(identity.key.as_bytes()).ok()?;
        Some(ClientCert::new_with_certs(&chain, key))
    });
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(identity)
        .build()
}

fn certificate(der: &CertificateDer<'static>) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}

/// What a receiver has answered.
fn judge(answer: Response<Body>) -> Result<Taken, Failure> {
    let status = answer.status();
    let after = answer.headers().get("retry-after");
    let after = after.and_then(|it| it.to_str().ok()?.trim().parse().ok());
    let after = after.map(Duration::from_secs);
    let mut body = answer.into_body();
    // A body that does not come says nothing against the status.
    let body = body
        .with_config()
        .limit(ANSWER_BYTES)
        .read_to_vec()
        .unwrap_or_default();
    if status.is_success() {
        return Ok(taken(&body));
    }
    let said = words(&body);
    let why = format!(
        "status {status}{}{said}",
        if said.is_empty() { "" } else { ": " }
    );
    // Those that the protocol names.
    let passing = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    match passing.contains(&status) {
        true => Err(Failure::Unreached { why, after }),
        false => Err(Failure::Refused(why)),
    }
}

fn taken(body: &[u8]) -> Taken {
    let answer = ExportMetricsServiceResponse::decode(body).unwrap_or_default();
    let partial = answer.partial_success.unwrap_or_default();
    let rejected_points = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    let said = words(partial.error_message.as_bytes());
    let warning = match (rejected_points, said.is_empty()) {
        (0, true) => None,
        (0, false) => Some(said),
        (points, _) => Some(format!("{points} points rejected: {said}")),
    };
    Taken {
        rejected_points,
        warning,
    }
}

/// `google.rpc.Status`, in which receivers say what is wrong.
#[derive(prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// The first line of what it says, whatever it is written in.
fn words(body: &[u8]) -> String {
    let status = Status::decode(body).ok().map(|it| it.message);
    let said = status.filter(|it| !it.is_empty());
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let line = said.lines().next().unwrap_or_default();
    line.chars()
        .filter(|it| !it.is_control())
        .take(WORDS)
        .collect()
}
