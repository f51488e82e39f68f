//! A login to MySQL or MariaDB, by what their own clients go by: a URL, `MYSQL_PWD` and its like, `~/.my.cnf`.

use crate::attach::login::option_file::group;
use crate::attach::login::parameters::Parameters;
use crate::attach::login::{Answer, Client, Place, Session};
use crate::snapshot::connections::Connection;
use anyhow::Result;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::env::{home_dir, var};
use std::path::Path;

/// By `--mysql-dsn`.
pub(super) const CLIENT: Client = Client {
    option: "--mysql-dsn",
    variables: &["MYSQL_PWD"],
    parameters,
    is_placed,
    open: |parameters, place| Box::pin(open(parameters, place)),
    tasks: |pid| {
        let threads = super::connections::threads(pid).unwrap_or_default();
        threads.into_iter().map(|tid| (pid, tid)).collect()
    },
};

/// Variables of the client library, and the parameters that they stand for.
const VARIABLES: [(&str, &str); 4] = [
    ("MYSQL_HOST", "host"),
    ("MYSQL_TCP_PORT", "port"),
    ("MYSQL_UNIX_PORT", "socket"),
    ("MYSQL_PWD", "password"),
];

/// Options of the file, and the parameters that they stand for.
const OPTIONS: [(&str, &str); 9] = [
    ("host", "host"),
    ("port", "port"),
    ("socket", "socket"),
    ("user", "user"),
    ("password", "password"),
    ("ssl-mode", "sslmode"),
    ("ssl-ca", "sslca"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
];

/// From the DSN, else `~/.my.cnf`, else the environment.
fn parameters(dsn: &str) -> Result<Parameters> {
    let mut parameters = Parameters::parse(dsn, &["mysql", "mariadb"])?;
    let file = home_dir().map(|home| home.join(".my.cnf"));
    let client = file
        .map(|file| group(&file, "client"))
        .transpose()?
        .flatten();
    // Of several, the last counts.
    let client = client.into_iter().flatten().rev();
    parameters.complete(client.filter_map(|(option, value)| {
        let option = option.replace('_', "-");
        let (_, name) = OPTIONS.into_iter().find(|(it, _)| *it == option)?;
        Some((name, value))
    }));
    let variables = VARIABLES.into_iter();
    parameters.complete(variables.filter_map(|(it, name)| Some((name, var(it).ok()?))));
    parameters.port()?;
    Ok(parameters)
}

fn is_placed(parameters: &Parameters) -> bool {
    ["host", "port", "socket"]
        .iter()
        .any(|name| parameters.get(name).is_some())
}

fn options(parameters: &Parameters, place: &Place) -> Result<MySqlConnectOptions, sqlx::Error> {
    let user = parameters.get("user").map(str::to_owned);
    let user = user
        .or_else(|| var("USER").ok())
        .unwrap_or_else(|| "root".to_owned());
    // What the connection is like is the server's choice.
    let mut options = MySqlConnectOptions::new()
        .username(&user)
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false);
    if let Some(password) = parameters.get("password") {
        options = options.password(password);
    }
    if let Some(database) = parameters.get("dbname") {
        options = options.database(database);
    }
    if let Some(mode) = parameters.get("sslmode") {
        options = options.ssl_mode(mode.parse()?);
    }
    if let Some(file) = parameters.get("sslca") {
        options = options.ssl_ca(file);
    }
    if let (Some(certificate), Some(key)) = (parameters.get("sslcert"), parameters.get("sslkey")) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    let port = parameters.port().ok().flatten();
    Ok(if is_placed(parameters) {
        match (parameters.get("socket"), parameters.get("host")) {
            (Some(socket), None | Some("localhost")) => options.socket(socket),
            (_, host) => options
                .host(host.unwrap_or("127.0.0.1"))
                .port(port.unwrap_or(3306)),
        }
    } else {
        match (
            place.sockets.iter().find(|it| is_of_protocol(it)),
            place.port,
        ) {
            (Some(socket), _) => options.socket(socket),
            (None, Some(port)) => options.host("127.0.0.1").port(port),
            (None, None) => return Err(sqlx::Error::Configuration("it listens nowhere".into())),
        }
    })
}

/// Whether it is not the one of the X protocol.
fn is_of_protocol(socket: &Path) -> bool {
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with("mysqlx")
}

async fn open(parameters: &Parameters, place: &Place) -> Result<Box<dyn Session>, sqlx::Error> {
    let mut connection = options(parameters, place)?.connect().await?;
    let version = sqlx::raw_sql("select version()")
        .fetch_one(&mut connection)
        .await?;
    let is_mariadb = text(&version, 0)?.is_some_and(|it| it.contains("MariaDB"));
    Ok(Box::new(Thread {
        connection,
        tables: if is_mariadb { &OF_MARIADB } else { &OF_MYSQL },
    }))
}

/// Where a server says which thread serves which connection.
struct Tables {
    own: &'static str,
    /// Thread, user, database, host, command and state.
    all: &'static str,
    told: &'static str,
}

const OF_MYSQL: Tables = Tables {
    own: "select cast(thread_os_id as char) from performance_schema.threads
          where processlist_id = connection_id()",
    all: "select cast(thread_os_id as char), processlist_user, processlist_db, processlist_host,
          processlist_command, processlist_state from performance_schema.threads
          where thread_os_id is not null and connection_type is not null",
    told: "performance_schema.threads",
};

const OF_MARIADB: Tables = Tables {
    own: "select cast(tid as char) from information_schema.processlist where id = connection_id()",
    all: "select cast(tid as char), user, db, host, command, state from information_schema.processlist
          where command <> 'Daemon' and user <> 'system user'",
    told: "information_schema.processlist, which shows others to who has PROCESS alone",
};

/// A thread that serves us.
struct Thread {
    connection: MySqlConnection,
    tables: &'static Tables,
}

impl Session for Thread {
    fn own_task(&mut self) -> Answer<'_, u32> {
        Box::pin(async {
            let row = sqlx::raw_sql(self.tables.own)
                .fetch_one(&mut self.connection)
                .await?;
            figure(&row, 0)
        })
    }

    fn connections(&mut self) -> Answer<'_, Vec<Connection>> {
        Box::pin(async {
            let query = sqlx::raw_sql(self.tables.all);
            let rows = query.fetch_all(&mut self.connection).await?;
            rows.iter().map(connection).collect()
        })
    }

    fn told(&self) -> String {
        self.tables.told.to_owned()
    }

    fn close(self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(self.connection.close())
    }
}

fn connection(row: &MySqlRow) -> Result<Connection, sqlx::Error> {
    let [user, database, peer, command, state] =
        [1, 2, 3, 4, 5].map(|column| text(row, column).map(|it| it.filter(|it| !it.is_empty())));
    let (command, state) = (command?, state?);
    let is_idle = command.as_deref() == Some("Sleep");
    Ok(Connection {
        tid: figure(row, 0)?,
        user: user?,
        database: database?,
        peer: peer?,
        state: match (command, state) {
            (Some(command), Some(state)) => Some(format!("{command}, {state}")),
            (command, _) => command,
        },
        wait: is_idle.then(|| super::connections::WAIT.to_owned()),
        ..Connection::default()
    })
}

fn text(row: &MySqlRow, column: usize) -> Result<Option<String>, sqlx::Error> {
    row.try_get_unchecked(column)
}

fn figure(row: &MySqlRow, column: usize) -> Result<u32, sqlx::Error> {
    let text = text(row, column)?.unwrap_or_default();
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
