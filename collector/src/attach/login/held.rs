//! The logins of a watch: made before it, held, made anew when a server was restarted.

use super::joined::join;
use super::{Asked, Client, Place, Session, parameters::Parameters, server, within_limit};
use crate::attach::choice::Chosen;
use crate::attach::databases::of_kind;
use crate::attach::namespace::Ids;
use crate::snapshot::Unavailable;
use crate::snapshot::connections::{Connection, Connections};
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How long a login that failed is let be.
const REST: Duration = Duration::from_secs(10);

/// To see which task serves a session. One that has not slept since it was asked before does not show it.
const ASKED_MOST: usize = 5;

/// All logins of a watch.
#[derive(Default)]
pub struct Logins(Vec<Login>);

/// One of them.
struct Login {
    runtime: Rc<Runtime>,
    client: &'static Client,
    parameters: Parameters,
    /// Numbers of the targets of which its server may be one.
    candidates: Vec<usize>,
    session: Option<(usize, Box<dyn Session>)>,
    tried: Instant,
    /// Why there is no session.
    trouble: Option<String>,
}

impl Logins {
    /// Logs in wherever it is asked for.
    ///
    /// # Errors
    /// If nothing is watched of the kind that a login by an option is for, a DSN is none, or a file that is named
    /// cannot be read.
    pub fn begin(asked: Vec<Asked>, targets: &[&Chosen]) -> Result<Self> {
        let mut logins = Self::default();
        if asked.is_empty() {
            return Ok(logins);
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = Rc::new(runtime.context("cannot log in anywhere")?);
        for asked in asked {
            let numbers = 0..targets.len();
            let of_kind: Vec<_> = numbers
                .filter(|number| is_for(asked.client, targets[*number]))
                .collect();
            if of_kind.is_empty() && asked.by_option {
                bail!("{}: no such server is watched", asked.client.option);
            } else if of_kind.is_empty() {
                continue;
            }
            let parameters = (asked.client.parameters)(&asked.dsn);
            let parameters = parameters.with_context(|| asked.client.option)?;
            // Where no server is named, it is each of them.
            let each: Vec<_> = match (asked.client.is_placed)(&parameters) {
                true => vec![of_kind],
                false => of_kind.into_iter().map(|number| vec![number]).collect(),
            };
            for candidates in each {
                let runtime = Rc::clone(&runtime);
                let mut login = Login::of(runtime, asked.client, parameters.clone(), candidates);
                login.open(targets);
                logins.0.push(login);
            }
        }
        Ok(logins)
    }

    /// What went wrong, a line for each login.
    #[must_use]
    pub fn troubles(&self) -> Vec<Unavailable> {
        let troubles = self.0.iter().filter_map(|it| it.trouble.clone());
        let unavailable = |reason| Unavailable {
            measure: "login".to_owned(),
            reason,
        };
        troubles.map(unavailable).collect()
    }

    /// Adds to the connections of the target of that number what its server says of them.
    pub fn join(&mut self, targets: &[&Chosen], number: usize, connections: &mut Connections) {
        for login in &mut self.0 {
            if login.is_of(number) {
                login.join(targets, number, connections);
            }
        }
    }
}

impl Drop for Login {
    /// In order: servers log clients that just go away.
    fn drop(&mut self) {
        if let Some((_, session)) = self.session.take() {
            let _ = self.runtime.block_on(within_limit(session.close()));
        }
    }
}

impl Login {
    fn of(
        runtime: Rc<Runtime>,
        client: &'static Client,
        parameters: Parameters,
        candidates: Vec<usize>,
    ) -> Self {
        Self {
            runtime,
            client,
            parameters,
            candidates,
            session: None,
            tried: Instant::now(),
            trouble: None,
        }
    }

    /// Whether it is one to that target, or may turn out to be.
    fn is_of(&self, number: usize) -> bool {
        match &self.session {
            Some((target, _)) => *target == number,
            None => self.candidates.contains(&number),
        }
    }

    fn open(&mut self, targets: &[&Chosen]) {
        self.tried = Instant::now();
        match self.runtime.block_on(self.opened(targets)) {
            Ok(session) => {
                self.session = Some(session);
                self.trouble = None;
            }
            Err(error) => self.give_up(&error, targets),
        }
    }

    /// A session, and the target that it is to.
    async fn opened(&self, targets: &[&Chosen]) -> Result<(usize, Box<dyn Session>)> {
        let place = Place::of(targets[self.candidates[0]]);
        let mut session = within_limit((self.client.open)(&self.parameters, &place)).await?;
        match self.led_to(session.as_mut(), targets).await {
            Ok(number) => Ok((number, session)),
            Err(error) => {
                let _ = within_limit(session.close()).await;
                Err(error)
            }
        }
    }

    /// The target that serves a session: the task that is said to, and that runs when it is asked something. In
    /// namespaces of their own, other servers may have a task with the same id.
    async fn led_to(&self, session: &mut dyn Session, targets: &[&Chosen]) -> Result<usize> {
        let id = within_limit(session.own_task()).await?;
        let task = |number: &usize| {
            let server = server(targets[*number]);
            let tasks = (self.client.tasks)(server);
            let ours = Ids::of(server, &tasks).ours(id);
            let (pid, tid) = tasks.into_iter().find(|(_, tid)| Some(*tid) == ours)?;
            Some((*number, pid, tid))
        };
        let found: Vec<_> = self.candidates.iter().filter_map(task).collect();
        for _ in 0..ASKED_MOST {
            let before: Vec<_> = found.iter().map(|(_, pid, tid)| runs(*pid, *tid)).collect();
            within_limit(session.own_task()).await?;
            let ran = found.iter().zip(before);
            let ran = ran.filter(|((_, pid, tid), before)| runs(*pid, *tid) != *before);
            if let [((number, ..), _)] = &ran.collect::<Vec<_>>()[..] {
                return Ok(*number);
            }
        }
        bail!("it leads to a server that is not watched")
    }

    fn give_up(&mut self, error: &anyhow::Error, targets: &[&Chosen]) {
        self.session = None;
        let user = self
            .parameters
            .get("user")
            .map(|user| format!(" as {user}"));
        let whom = match self.candidates[..] {
            [number] => targets[number].name.clone(),
            _ => format!("the server of {}", self.client.option),
        };
        let trouble = format!(
            "cannot log in to {whom}{}: {error:#}",
            user.unwrap_or_default()
        );
        // One line, whatever the server says.
        self.trouble = Some(trouble.replace('\n', " "));
    }

    fn join(&mut self, targets: &[&Chosen], number: usize, connections: &mut Connections) {
        if self.session.is_none() && self.tried.elapsed() >= REST {
            self.open(targets);
        }
        let mut told = self.ask();
        if matches!(told, Some(Err(_))) {
            // The server may have been restarted.
            self.open(targets);
            told = self.ask();
        }
        match (told, &self.session) {
            (Some(Ok(rows)), Some((target, session))) if *target == number => {
                let tasks = (self.client.tasks)(server(targets[number]));
                join(connections, rows, server(targets[number]), &tasks);
                let _ = write!(connections.method, "; by a login: {}", session.told());
            }
            (Some(Err(error)), _) => self.give_up(&error, targets),
            _ => (),
        }
    }

    /// What the server says; none without a session.
    fn ask(&mut self) -> Option<Result<Vec<Connection>>> {
        let (_, session) = self.session.as_mut()?;
        Some(self.runtime.block_on(within_limit(session.connections())))
    }
}

/// How often a task was put on a CPU; none if it has ended.
fn runs(pid: u32, tid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    text.split_whitespace().nth(2)?.parse().ok()
}

fn is_for(client: &'static Client, target: &Chosen) -> bool {
    let of_target = of_kind(target.kind).and_then(|database| database.login);
    of_target.is_some_and(|it| it.option == client.option)
}
