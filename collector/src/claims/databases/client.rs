//! A session of either kind of database, and what it means when a statement is refused.

use anyhow::{Result, anyhow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row,
    mysql::{MySqlConnectOptions, MySqlConnection},
    postgres::{PgConnectOptions, PgConnection},
};
use std::str::FromStr;

/// Which of the two; MariaDB speaks as MySQL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgresql,
    /// MySQL or MariaDB.
    Mysql,
}

impl Kind {
    /// As the points of figures name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MySQL",
        }
    }

    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Postgresql => "--postgres",
            Self::Mysql => "--mysql",
        }
    }
}

/// How to log in.
#[derive(Clone, Debug)]
pub enum Login {
    /// To PostgreSQL.
    Postgresql(Box<PgConnectOptions>),
    /// To MySQL or MariaDB.
    Mysql(Box<MySqlConnectOptions>),
}

impl Login {
    /// From a port of this host, or a URL. What is not said is taken from the environment as libpq does, or is
    /// the administrator's name.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(kind: Kind, text: &str) -> Result<Self> {
        let port = text.parse::<u16>();
        let wrong = |error: sqlx::Error| {
            let option = kind.option();
            anyhow!(
                "cannot read {option} {text:?}: {error}; give a port, or a URL with user and host"
            )
        };
        Ok(match (kind, port) {
            (Kind::Postgresql, Ok(port)) => {
                let options = PgConnectOptions::new().host("127.0.0.1").port(port);
                Self::Postgresql(Box::new(match std::env::var_os("PGUSER") {
                    Some(_) => options,
                    None => options.username("postgres"),
                }))
            }
            (Kind::Postgresql, Err(_)) => {
                Self::Postgresql(Box::new(PgConnectOptions::from_str(text).map_err(wrong)?))
            }
            (Kind::Mysql, Ok(port)) => {
                let options = MySqlConnectOptions::new().host("127.0.0.1").port(port);
                Self::Mysql(Box::new(options.username("root")))
            }
            (Kind::Mysql, Err(_)) => Self::Mysql(Box::new(
                MySqlConnectOptions::from_str(text).map_err(wrong)?,
            )),
        })
    }

    /// The same to another database.
    pub(super) fn to_database(&self, name: &str) -> Self {
        match self {
            Self::Postgresql(options) => {
                Self::Postgresql(Box::new((**options).clone().database(name)))
            }
            Self::Mysql(options) => Self::Mysql(Box::new((**options).clone().database(name))),
        }
    }

    pub(super) async fn connect(&self) -> Result<Client, sqlx::Error> {
        Ok(match self {
            Self::Postgresql(options) => Client::Postgresql(options.connect().await?),
            Self::Mysql(options) => Client::Mysql(options.connect().await?),
        })
    }

    /// The same for a session that does nothing for long, which servers may be set to end.
    pub(super) async fn connect_to_stay(&self) -> Result<Client> {
        let mut session = self.connect().await?;
        let stay = match session {
            Client::Postgresql(_) => {
                "select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'"
            }
            Client::Mysql(_) => "set session wait_timeout = 86400",
        };
        session.run(stay).await?;
        Ok(session)
    }
}

/// A session.
pub(super) enum Client {
    Postgresql(PgConnection),
    Mysql(MySqlConnection),
}

/// Why a statement was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It would have closed a circle of waits.
    Deadlock,
    /// Others' transactions leave it no order to be in.
    Conflict,
    /// It waited too long for a lock, as the server found or one of us.
    Waited,
    /// Anything else.
    Other,
}

/// A statement that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(super) struct Refused {
    pub(super) why: Why,
    said: String,
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        let state = error.as_database_error().and_then(|error| error.code());
        let number = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
            .map(|error| error.number());
        let why = match (state.as_deref(), number) {
            (Some("40P01"), _) | (_, Some(1213)) => Why::Deadlock,
            (Some("55P03"), _) | (_, Some(1205 | 1317)) => Why::Waited,
            // MariaDB: the row has changed since it was read (innodb_snapshot_isolation).
            (Some("40001"), _) | (_, Some(1020)) => Why::Conflict,
            _ => Why::Other,
        };
        Self {
            why,
            said: error.to_string(),
        }
    }
}

impl Client {
    /// Runs a statement, or several.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Refused> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgresql(session) => query.execute(session).await.map(drop)?,
            Self::Mysql(session) => query.execute(session).await.map(drop)?,
        }
        Ok(())
    }

    /// The first column of the rows, which is text.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<String>, Refused> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let texts: Result<Vec<String>, sqlx::Error> = match self {
            Self::Postgresql(session) => {
                let rows = query.fetch_all(session).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
            Self::Mysql(session) => {
                let rows = query.fetch_all(session).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
        };
        Ok(texts?)
    }

    /// A number: the first column of the first row, written by `concat()`.
    pub(super) async fn number(&mut self, expression: &str, from: &str) -> Result<i64, Refused> {
        let texts = self
            .texts(&format!("select concat({expression}) {from}"))
            .await?;
        let number = texts.first().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Refused {
            why: Why::Other,
            said: format!("no number is {expression} {from}"),
        })
    }

    /// The server's clock, in seconds since 1970.
    pub(super) async fn now(&mut self) -> Result<i64, Refused> {
        let clock = match self {
            Self::Postgresql(_) => "extract(epoch from now())::bigint",
            Self::Mysql(_) => "unix_timestamp()",
        };
        self.number(clock, "").await
    }

    /// A status variable of MySQL or MariaDB, which have it in different places.
    pub(super) async fn status(&mut self, variable: &str) -> Result<i64, Refused> {
        let from = |schema: &str| {
            format!("from {schema}.global_status where variable_name = '{variable}'")
        };
        match self
            .number("variable_value", &from("information_schema"))
            .await
        {
            Ok(value) => Ok(value),
            Err(_) => {
                self.number("variable_value", &from("performance_schema"))
                    .await
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        let _ = match self {
            Self::Postgresql(session) => session.close().await,
            Self::Mysql(session) => session.close().await,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_a_url() {
        for (kind, text) in [
            (Kind::Postgresql, "5432"),
            (Kind::Postgresql, "postgres://u:p@db:5433/x"),
            (Kind::Mysql, "3306"),
            (Kind::Mysql, "mysql://u@db/"),
        ] {
            Login::parse(kind, text).unwrap_or_else(|error| panic!("{text}: {error:#}"));
        }
        for text in ["70000", "db", ""] {
            let error = Login::parse(Kind::Postgresql, text).expect_err(text);
            assert!(
                error.to_string().starts_with("cannot read --postgres "),
                "{error:#}"
            );
        }
    }
}
