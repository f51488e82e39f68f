//! What is answered to whom.

use crate::export::prometheus::negotiate::Format;
use crate::serve::board::Board;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>connscope</title></head>
<body>
<h1>connscope</h1>
<p>What a client connection costs in the Linux kernel.</p>
<ul>
<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>
<li><a href=\"/healthz\">/healthz</a>: whether the exporter runs</li>
<li><a href=\"/readyz\">/readyz</a>: whether what it shows is of now</li>
</ul>
</body>
</html>
";

/// The answer to a request.
pub(super) fn to<B>(request: &Request<B>, board: &Board) -> Answer {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered\n",
        );
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(header::ALLOW, allowed);
        return answer;
    }
    match request.uri().path() {
        "/metrics" => metrics(request, board),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match board.is_fresh() {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/" => with(
            StatusCode::OK,
            "text/html; charset=utf-8",
            Full::from(INDEX),
        ),
        _ => text(StatusCode::NOT_FOUND, "not here; see /\n"),
    }
}

fn metrics<B>(request: &Request<B>, board: &Board) -> Answer {
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    match board.read(format) {
        Ok(body) => {
            let mut answer = with(StatusCode::OK, format.content_type(), body);
            let vary = HeaderValue::from_static("Accept");
            answer.headers_mut().insert(header::VARY, vary);
            answer
        }
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// To who has no password, or another.
pub(super) fn unauthorized() -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "unauthorized\n");
    let challenge = HeaderValue::from_static("Basic realm=\"connscope\"");
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

/// Those of the web configuration.
pub(super) fn add_headers(answer: &mut Answer, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
}

fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    with(status, TEXT, Full::new(words.into()))
}

fn with(status: StatusCode, content_type: &'static str, body: Full<Bytes>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}
