//! Logins to watched servers: they add names and waits in the servers' own words, by process or thread, and
//! no measure. A login that fails costs the watch nothing but these.

mod held;
mod joined;
pub mod option_file;
pub mod parameters;

pub use held::Logins;

use super::choice::{Chosen, Found};
use super::databases::DATABASES;
use super::sockets::listening_paths;
use crate::errors::in_words;
use crate::snapshot::connections::Connection;
use anyhow::{Result, anyhow, bail};
use parameters::Parameters;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// How long a server may take to let us in, or to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// What a server is asked, and its answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + 'a>>;

/// A connection of ours to a server of one kind.
pub trait Session {
    /// The task that serves it, as the server sees it.
    fn own_task(&mut self) -> Answer<'_, u32>;

    /// All connections, with as `tid` the task that serves each, as the server sees it, and no `pid`.
    fn connections(&mut self) -> Answer<'_, Vec<Connection>>;

    /// Where it looks, and what it may not see, in words.
    fn told(&self) -> String;

    /// Says goodbye.
    fn close(self: Box<Self>) -> Answer<'static, ()>;
}

/// How to log in to servers of one kind.
#[derive(Debug)]
pub struct Client {
    /// The option with its DSN.
    pub option: &'static str,
    /// Variables of the environment that ask for a login by being there.
    pub variables: &'static [&'static str],
    /// Parameters from a DSN, the environment and files.
    pub parameters: fn(&str) -> Result<Parameters>,
    /// Whether these say where the server is.
    pub is_placed: fn(&Parameters) -> bool,
    /// Logs in; to the server that is there, if the parameters name none.
    pub open: for<'a> fn(&'a Parameters, &'a Place) -> Answer<'a, Box<dyn Session>>,
    /// The tasks that serve connections, process and thread, of the server with this pid.
    pub tasks: fn(u32) -> Vec<(u32, u32)>,
}

/// Where a watched server listens.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// On 127.0.0.1, or in its own network namespace.
    pub port: Option<u16>,
    /// Files of its sockets, from where we are.
    pub sockets: Vec<PathBuf>,
}

/// A login that was asked for.
#[derive(Clone)]
pub struct Asked {
    client: &'static Client,
    /// What the environment and files are to complete.
    dsn: String,
    /// Whether by an option, rather than by the environment.
    by_option: bool,
}

impl Asked {
    /// Those of the options, each with what was given for it; and of each client whose option was not given, but
    /// that the environment asks for.
    #[must_use]
    pub fn all(given: &[(&str, &[String])]) -> Vec<Self> {
        let mut asked = Vec::new();
        let mut clients: Vec<&Client> = Vec::new();
        for client in DATABASES.iter().filter_map(|database| database.login) {
            if !clients.iter().any(|it| it.option == client.option) {
                clients.push(client);
            }
        }
        for client in clients {
            let of_option = given.iter().filter(|(option, _)| *option == client.option);
            let dsns: Vec<&String> = of_option.flat_map(|(_, dsns)| *dsns).collect();
            asked.extend(dsns.iter().map(|dsn| Self {
                client,
                dsn: (*dsn).clone(),
                by_option: true,
            }));
            let mut variables = client.variables.iter();
            if dsns.is_empty() && variables.any(|it| std::env::var_os(it).is_some()) {
                asked.push(Self {
                    client,
                    dsn: String::new(),
                    by_option: false,
                });
            }
        }
        asked
    }
}

impl Place {
    fn of(target: &Chosen) -> Self {
        let pid = server(target);
        let port = match &target.found {
            Found::Server { identity, .. } | Found::Port(identity) => identity.port,
            _ => None,
        };
        // Its root directory may be another than ours.
        let seen = |path: PathBuf| PathBuf::from(format!("/proc/{pid}/root{}", path.display()));
        Self {
            port,
            sockets: listening_paths(pid).into_iter().map(seen).collect(),
        }
    }
}

/// The process that a target is now.
fn server(target: &Chosen) -> u32 {
    target.pids.last().copied().unwrap_or_default()
}

/// Waits for an answer, but not for ever.
async fn within_limit<T>(answer: Answer<'_, T>) -> Result<T> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| anyhow!(words(&error))),
        Err(_) => bail!("it does not answer within {LIMIT:?}"),
    }
}

/// What the client library says, without what it says around it.
fn words(error: &sqlx::Error) -> String {
    let said = match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => in_words(error),
        // Of a client that was built without RSA: MySQL makes a certificate for itself unless it is told not to.
        sqlx::Error::Configuration(error) if error.to_string().contains("RSA") => {
            "the server has no TLS, which a password of this kind needs".to_owned()
        }
        sqlx::Error::Configuration(error) | sqlx::Error::Tls(error) => error.to_string(),
        other => other.to_string(),
    };
    let mut characters = said.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = characters.as_str();
            first
                .to_lowercase()
                .chain([second])
                .chain(rest.chars())
                .collect()
        }
        _ => said,
    }
}
