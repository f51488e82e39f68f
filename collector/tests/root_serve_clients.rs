//! Clients of `connscope serve` that are slow, endless, wrong, or not let in.

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/program.rs"]
mod program;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use connscope::limits::raise_open_files;
use exporter::*;
use keys::Keys;
use program::*;
use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    thread::sleep,
    time::Duration,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let exporter = Exporter::start("[limits]\nconnections = 50\nheader_time = \"60s\"\n");
    let number = 10_000;
    assert!(
        raise_open_files() > number as u64 + 100,
        "too few files may be open"
    );
    let mut idle: Vec<TcpStream> = Vec::new();
    for place in 0..number {
        let mut stream = connect(exporter.address);
        match place % 3 {
            0 => {}
            1 => stream.write_all(b"GET /metr").expect("it is read"),
            _ => {
                let words = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ";
                // It may have been let go by now.
                let _ = stream.write_all(words);
            }
        }
        idle.push(stream);
        if place % 500 == 0 {
            assert_eq!(exporter.get("/healthz").status, 200, "after {place}");
        }
    }
    for _ in 0..20 {
        assert_eq!(exporter.get("/metrics").status, 200);
    }
    assert_eq!(idle.len(), number);
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.running.pid()))
        .expect("it runs")
        .count();
    assert!(open < 50 + 200, "{open} open files");
}

#[test]
fn headers_have_to_come_in_time() {
    let exporter = Exporter::start("[limits]\nheader_time = \"300ms\"\n");
    for words in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = connect(exporter.address);
        stream.write_all(words.as_bytes()).expect("it is read");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(
            !String::from_utf8_lossy(&rest).contains(" 200 "),
            "{rest:?}"
        );
    }
    // A byte now and then is no request either.
    let mut stream = connect(exporter.address);
    stream
        .write_all(b"GET / HTTP/1.1\r\nX: ")
        .expect("it is read");
    let ended = (0..400).any(|_| {
        sleep(Duration::from_millis(50));
        stream.write_all(b"a").is_err()
    });
    assert!(ended, "it listens for ever");
}

#[test]
fn what_is_no_request_is_refused() {
    let exporter = Exporter::start("");
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1_000_000));
    let many: String = (0..5_000)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    for (request, statuses) in [
        (endless.as_str(), [431, 0]),
        (
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            [431, 0],
        ),
        (
            &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
            [414, 431],
        ),
        ("\r\n\r\nnonsense\r\n\r\n", [400, 400]),
        ("GET / HTTP/9.9\r\n\r\n", [400, 505]),
        ("\0\u{1}\u{2}\u{3}\r\n\r\n", [400, 400]),
        ("GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n", [400, 400]),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            [405, 405],
        ),
        (
            "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            [404, 404],
        ),
        (
            "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            [404, 404],
        ),
    ] {
        let answer = exporter.ask(request);
        let begin: String = request.chars().take(40).collect();
        assert!(
            statuses.contains(&answer.status),
            "{begin:?}: {}",
            answer.status
        );
    }
    for (path, word) in [
        ("/", "<h1>connscope</h1>"),
        ("/healthz", "ok\n"),
        ("/readyz", "ok\n"),
    ] {
        let answer = exporter.get(path);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(word), "{answer:?}");
    }
    let head = exporter.ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let openmetrics = exporter.get_as("/metrics", "Accept: application/openmetrics-text");
    assert!(
        openmetrics
            .head
            .contains("content-type: application/openmetrics-text")
    );
    assert!(openmetrics.text().ends_with("# EOF\n"));
}

fn client(
    exporter: &Exporter,
    root: &CertificateDer<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, connect(exporter.address))
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// An exporter that nobody reads without TLS; `ready` is not asked for, which goes without.
#[track_caller]
fn serving(folder: TempDir, web: &str) -> Exporter {
    fs::write(folder.path().join("web.yml"), web).expect("a file");
    Exporter::start_in(folder, "web_config_file = \"web.yml\"\n")
}

#[test]
fn passwords_and_tls_are_asked_for() {
    let hash = bcrypt::hash("right", 5).expect("a hash");
    let users = format!("basic_auth_users:\n  prometheus: {hash}\n");
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    let keys = Keys::until(2100);
    let root = keys.root.clone();
    let exporter = serving(keys.folder, &format!("{TLS}{users}{headers}"));
    let status = |credentials: Option<&str>| {
        let header = credentials
            .map(|both| format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(both)));
        let header = header.unwrap_or_default();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{header}Connection: close\r\n\r\n");
        let answer = Answer::to(client(&exporter, &root), request.as_bytes());
        assert!(answer.head.contains("x-frame-options: deny"), "{answer:?}");
        assert_eq!(
            answer.status == 401,
            answer.head.contains("www-authenticate: basic")
        );
        answer.status
    };
    wait_for("a reading", || {
        (status(Some("prometheus:right")) == 200).then_some(())
    });
    for wrong in [
        "prometheus:wrong",
        "prometheus:",
        "nobody:right",
        ":",
        "prometheus",
    ] {
        assert_eq!(status(Some(wrong)), 401, "{wrong}");
    }
    assert_eq!(status(None), 401);
    assert_eq!(status(Some("prometheus:right")), 200);
    // Without TLS there is no answer.
    assert_eq!(exporter.get("/metrics").status, 0);
}

#[test]
fn what_is_read_anew_holds_for_who_is_connected_too() {
    let web = |password: &str| {
        let hash = bcrypt::hash(password, 5).expect("a hash");
        format!("{TLS}basic_auth_users:\n  prometheus: {hash}\n")
    };
    let (keys, renewed) = (Keys::until(2100), Keys::until(2100));
    let (root, other_root) = (keys.root.clone(), renewed.root.clone());
    fs::write(keys.path("web.yml"), web("old")).expect("a file");
    let configuration = "web_config_file = \"web.yml\"\n[limits]\nheader_time = \"60s\"\n";
    let mut exporter = Exporter::start_in(keys.folder, configuration);
    let ask = |stream: &mut StreamOwned<ClientConnection, TcpStream>, password: &str| {
        let credentials = BASE64_STANDARD.encode(format!("prometheus:{password}"));
        let request = format!(
            "GET /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let mut connected = client(&exporter, &root);
    assert_eq!(ask(&mut connected, "old"), "HTTP/1.1 200");
    // A file that is wrong leaves all as it was, for who is connected too.
    let folder = exporter.file().parent().expect("a folder").to_owned();
    fs::write(folder.join("web.yml"), "basic_auth_users:\n  a: b\n").expect("a file");
    let said = exporter.reload(configuration);
    assert!(
        said.ends_with("all is as it was") && said.contains("not a bcrypt hash"),
        "{said}"
    );
    let mut connected = client(&exporter, &root);
    assert_eq!(ask(&mut connected, "old"), "HTTP/1.1 200");
    fs::write(folder.join("web.yml"), web("new")).expect("a file");
    for name in ["server.crt", "server.key"] {
        fs::copy(renewed.path(name), folder.join(name)).expect("a file");
    }
    assert_eq!(exporter.reload(configuration), READ_ANEW);
    // The rest of the answer, and then the end, long before the time for another request is over.
    let ended = connected.read_to_end(&mut Vec::new());
    let ended = ended.map_or_else(|error| error.kind(), |_| ErrorKind::UnexpectedEof);
    assert_eq!(ended, ErrorKind::UnexpectedEof);
    let mut anew = client(&exporter, &other_root);
    assert_eq!(ask(&mut anew, "old"), "HTTP/1.1 401");
    let mut anew = client(&exporter, &other_root);
    assert_eq!(ask(&mut anew, "new"), "HTTP/1.1 200");
    let mut old = client(&exporter, &root);
    assert!(
        old.write_all(b"GET / HTTP/1.1\r\n\r\n")
            .and_then(|()| old.flush())
            .is_err()
    );
}

#[test]
fn a_certificate_that_has_expired_is_seen_by_the_client() {
    let keys = Keys::until(2021);
    let root = keys.root.clone();
    let exporter = serving(keys.folder, TLS);
    let mut stream = client(&exporter, &root);
    let refused = stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .and_then(|()| stream.flush());
    let refused = refused.expect_err("it has expired");
    let refused = refused.get_ref().and_then(|it| it.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(why)) = refused else {
        panic!("{refused:?}");
    };
    let is_expiry = matches!(
        why,
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    );
    assert!(is_expiry, "{why:?}");
}

#[test]
fn a_web_configuration_that_is_wrong_is_refused() {
    for (web, why) in [
        (
            "basic_auth_users:\n  a: secret\n",
            "basic_auth_users: a: not a bcrypt hash",
        ),
        (
            "tls_server_config:\n  cert_file: none.crt\n  key_file: none.key\n",
            "tls_server_config: cannot read ",
        ),
        (
            "tls_server_config:\n  cert_file: web.yml\n  key_file: web.yml\n",
            "tls_server_config: ",
        ),
        (
            "http_server_config:\n  headers:\n    Set-Cookie: a\n",
            "headers: Set-Cookie cannot be set",
        ),
        ("tls_servr_config: {}\n", "unknown field"),
        ("a: [\n", ""),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("web.yml"), web).expect("a file");
        fs::write(path("serve.toml"), "web_config_file = \"web.yml\"\n").expect("a file");
        let words = format!(
            "serve --check-config --config {}",
            path("serve.toml").display()
        );
        let ended = Ended::of(connscope(&words)).exits(1);
        let line = ended.line();
        let begin = format!(
            "connscope: {}:1: web_config_file: {}",
            path("serve.toml").display(),
            path("web.yml").display()
        );
        assert!(line.starts_with(&begin) && line.contains(why), "{line}");
    }
}
