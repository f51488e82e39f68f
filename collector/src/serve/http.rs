//! Answers scrapers: HTTP/1.1, with TLS where the web configuration says so, in a thread of its own.

mod answer;
mod clients;
mod password;

use super::board::Board;
use super::config::{Config, Limits};
use super::web_config::WebConfig;
use crate::errors::in_words;
use anyhow::{Context as _, Result, anyhow};
use clients::Clients;
use password::Passwords;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};

/// While no client can be taken in, since the process has as many files open as it may, how long until we try
/// again.
const REST: Duration = Duration::from_millis(20);

/// Clients that may wait to be taken in, where the system lets as many (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A server at work. It ends when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    rules: watch::Sender<Arc<Rules>>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// What holds for clients.
pub(crate) struct Rules {
    board: Arc<Board>,
    web: WebConfig,
    passwords: Passwords,
    limits: Limits,
}

impl Server {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// If that cannot be had, with the remedy.
    pub fn start(config: &Config, board: &Arc<Board>) -> Result<Self> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).map_err(|error| cannot_listen(listen, &error))?;
        listen_longer(&listener)
            .and_then(|()| listener.set_nonblocking(true))
            .context("cannot prepare the socket")?;
        let address = listener.local_addr().context("cannot prepare the socket")?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Passwords are checked there: more at a time would take more CPUs from those that are watched.
            .max_blocking_threads(1)
            .build()
            .context("cannot start the HTTP server")?;
        let (rules, of_thread) = watch::channel(Arc::new(Rules::of(config, board)));
        let stop = Arc::new(Notify::new());
        let until = stop.clone();
        let run = move || {
            runtime.block_on(serve(listener, of_thread, &until));
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("http".into()).spawn(run);
        Ok(Self {
            address,
            rules,
            stop,
            thread: Some(thread.context("cannot start a thread")?),
        })
    }

    /// Serves clients by this configuration from now on, but for where it listens. Those that are connected have to
    /// come anew, so that nobody goes on by a password or a certificate that holds no more.
    pub fn reconfigure(&self, config: &Config, board: &Arc<Board>) {
        self.rules.send_replace(Arc::new(Rules::of(config, board)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Rules {
    fn of(config: &Config, board: &Arc<Board>) -> Self {
        Self {
            board: board.clone(),
            passwords: Passwords::of(&config.web.users),
            web: config.web.clone(),
            limits: config.limits,
        }
    }
}

async fn serve(listener: TcpListener, rules: watch::Receiver<Arc<Rules>>, stop: &Notify) {
    let Ok(listener) = net::TcpListener::from_std(listener) else {
        return;
    };
    let mut clients = Clients::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.notified() => return,
        };
        match accepted {
            Ok((stream, _)) => clients.admit(stream, rules.clone()),
            // Of a client that is gone already, the next one knows nothing.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => {
                clients.dismiss_oldest();
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Has more clients wait than the library would: one that finds no room comes again after a second only.
fn listen_longer(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, BACKLOG)?)
}

fn cannot_listen(listen: SocketAddr, error: &io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "; end what listens there, or set listen to another port",
        io::ErrorKind::AddrNotAvailable => "; set listen to an address of this host",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    anyhow!("cannot listen on {listen}: {}{remedy}", in_words(error))
}
