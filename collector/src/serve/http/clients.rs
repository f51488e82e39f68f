//! Clients, no more than there is room for. Where one too many comes, the one that has asked for nothing for
//! longest has to go: whoever holds connections and says nothing keeps nobody else out.

use super::{Rules, answer};
use crate::serve::config::Limits;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// A client that takes nothing of its answer for so long is left.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request's headers.
const HEADER_BYTES: usize = 16 * 1024;
const HEADERS: usize = 100;

/// What holds, of now.
type Current = watch::Receiver<Arc<Rules>>;

/// Those that are connected.
#[derive(Default)]
pub(super) struct Clients {
    connected: VecDeque<Client>,
    begun: Option<Instant>,
}

struct Client {
    task: AbortHandle,
    asked: Arc<LastAsked>,
}

/// When a client last asked for something, or came: nanoseconds since the server began.
struct LastAsked {
    begun: Instant,
    ns: AtomicU64,
}

impl LastAsked {
    fn now(&self) {
        let ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.ns.store(ns, Ordering::Relaxed);
    }
}

impl Clients {
    /// Serves one more.
    pub(super) fn admit(&mut self, stream: TcpStream, rules: Current) {
        let room = rules.borrow().limits.connections;
        if self.connected.len() >= room {
            self.connected.retain(|client| !client.task.is_finished());
        }
        while self.connected.len() >= room {
            self.dismiss_oldest();
        }
        let asked = Arc::new(LastAsked {
            begun: *self.begun.get_or_insert_with(Instant::now),
            ns: AtomicU64::new(0),
        });
        asked.now();
        let task = tokio::spawn(serve(stream, rules, asked.clone())).abort_handle();
        self.connected.push_back(Client { task, asked });
    }

    /// Lets the one go that has asked for nothing for longest.
    pub(super) fn dismiss_oldest(&mut self) {
        let places = self.connected.iter().enumerate();
        let oldest = places.min_by_key(|(_, client)| client.asked.ns.load(Ordering::Relaxed));
        if let Some((place, _)) = oldest
            && let Some(client) = self.connected.remove(place)
        {
            client.task.abort();
        }
    }
}

async fn serve(stream: TcpStream, mut current: Current, asked: Arc<LastAsked>) {
    let rules = current.borrow_and_update().clone();
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let stream = Box::pin(stream);
    match rules.web.tls.clone() {
        None => converse(stream, &rules.limits, current, asked).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = timeout(rules.limits.header_time, handshake).await {
                converse(stream, &rules.limits, current, asked).await;
            }
        }
    }
}

async fn converse<S>(stream: S, limits: &Limits, mut current: Current, asked: Arc<LastAsked>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let of_request = current.clone();
    let service = service_fn(|request: Request<Incoming>| {
        asked.now();
        let rules = of_request.borrow().clone();
        async move {
            let credentials = request.headers().get(header::AUTHORIZATION).cloned();
            let mut answer = if rules.passwords.admit(credentials).await {
                answer::to(&request, &rules.board)
            } else {
                answer::unauthorized()
            };
            answer::add_headers(&mut answer, &rules.web.headers);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(2 * HEADER_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // What a client does wrong is for it to see.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = current.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
