//! A receiver of OTLP over HTTP that answers as it is told, and keeps what came.
#![allow(dead_code, unreachable_pub)]

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// Its first line and its headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Came {
    /// What it says, whether compressed or not.
    #[track_caller]
    pub fn request(&self) -> ExportMetricsServiceRequest {
        let mut plain = Vec::new();
        match self.head.contains("content-encoding: gzip\r\n") {
            true => drop(
                GzDecoder::new(self.body.as_slice())
                    .read_to_end(&mut plain)
                    .expect("gzip"),
            ),
            false => plain = self.body.clone(),
        }
        ExportMetricsServiceRequest::decode(plain.as_slice()).expect("a request")
    }
}

/// An answer: a status with its reason, headers, and a body. None leaves the client waiting.
pub type Reply = Option<(&'static str, &'static str, Vec<u8>)>;

pub const TAKEN: Reply = Some(("200 OK", "", Vec::new()));

type Judge = dyn Fn(usize) -> Reply + Send + Sync;

/// Listens until it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// One that takes everything.
    #[track_caller]
    pub fn start() -> Self {
        Self::answering("127.0.0.1:0", None, |_| TAKEN)
    }

    /// One there, with TLS or without, that answers each request by its number.
    #[track_caller]
    pub fn answering(
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        judge: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("its address");
        let (came, ends) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let judge: Arc<Judge> = Arc::new(judge);
        let thread = {
            let (came, ends) = (came.clone(), ends.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    let (came, judge, tls) = (came.clone(), judge.clone(), tls.clone());
                    thread::spawn(move || match tls {
                        None => converse(stream, &came, &*judge),
                        Some(tls) => {
                            let connection = ServerConnection::new(tls).expect("a server");
                            converse(StreamOwned::new(connection, stream), &came, &*judge);
                        }
                    });
                }
            })
        };
        Self {
            address,
            came,
            ends,
            thread: Some(thread),
        }
    }

    /// All requests so far.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no panic").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads requests and answers them until the client goes.
fn converse(mut stream: impl Read + Write, came: &Mutex<Vec<Came>>, judge: &Judge) {
    while let Some((head, body)) = request(&mut stream) {
        let number = {
            let mut came = came.lock().expect("no panic");
            came.push(Came {
                head,
                body,
                at: Instant::now(),
            });
            came.len() - 1
        };
        let Some((status, headers, body)) = judge(number) else {
            thread::sleep(Duration::from_secs(60));
            return;
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = [head.as_bytes(), &body].concat();
        if stream
            .write_all(&answer)
            .and_then(|()| stream.flush())
            .is_err()
        {
            return;
        }
    }
}

fn request(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
