//! The ways out of what is watched: to scrapers, who come, and to a receiver of OTLP, which is pushed to.

use super::board::Board;
use super::config::Config;
use super::http::Server;
use super::push::Push;
use crate::export::metrics::exposition::Exposition;
use crate::export::metrics::host::Pushed;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// All of them, at work.
pub struct Out {
    board: Arc<Board>,
    server: Server,
    push: Push,
}

impl Out {
    /// As the configuration says.
    ///
    /// # Errors
    /// If one of them cannot be had, with the remedy.
    pub fn start(config: &Config, is_quiet: bool) -> Result<Self> {
        let board = Arc::new(Board::default());
        let server = Server::start(config, &board)?;
        let mut push = Push::new(is_quiet);
        push.configure(config.otlp.as_ref(), server.address.port())?;
        Ok(Self {
            board,
            server,
            push,
        })
    }

    /// Where scrapers come.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// What has become of what was pushed; none where nothing is.
    #[must_use]
    pub fn pushed(&self) -> Option<Pushed> {
        self.push.pushed()
    }

    /// Shows this from now on; in twice `interval` there should be something newer.
    pub fn show(&mut self, exposition: Exposition, interval: Duration) {
        self.push.offer(&exposition);
        self.board.put(exposition, interval);
    }

    /// Goes on by a configuration, once `taken` has it; `before` is where the one before it listened.
    ///
    /// # Errors
    /// Why all is as it was.
    pub fn reconfigure(
        &mut self,
        before: SocketAddr,
        config: &Config,
        taken: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        // What can fail comes first.
        let moved = match config.listen == before {
            true => None,
            false => Some(Server::start(config, &self.board)?),
        };
        taken()?;
        match moved {
            Some(moved) => self.server = moved,
            None => self.server.reconfigure(config, &self.board),
        }
        self.push
            .configure(config.otlp.as_ref(), self.server.address.port())
    }
}
