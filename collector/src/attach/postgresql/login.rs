//! A login to PostgreSQL, by what its own clients go by: a DSN, `PGHOST` and its like, a service file, `~/.pgpass`.

use crate::attach::login::option_file::group;
use crate::attach::login::parameters::Parameters;
use crate::attach::login::{Answer, Client, Place, Session};
use crate::attach::process::children;
use crate::snapshot::connections::Connection;
use anyhow::{Result, bail};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::env::{home_dir, var};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

/// By `--postgres-dsn`.
pub(super) const CLIENT: Client = Client {
    option: "--postgres-dsn",
    variables: &["PGSERVICE", "PGUSER", "PGPASSWORD"],
    parameters,
    is_placed,
    open: |parameters, place| Box::pin(open(parameters, place)),
    tasks: |postmaster| {
        let backends = children(postmaster).into_iter();
        backends.map(|pid| (pid, pid)).collect()
    },
};

/// Variables of libpq, and the parameters that they stand for.
const VARIABLES: [(&str, &str); 11] = [
    ("PGSERVICE", "service"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
];

/// Those that the client library takes; the others change nothing that we do.
const TAKEN: [&str; 8] = [
    "hostaddr",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "options",
];

/// Every server has it, and whoever may look at others' connections may connect to it.
const DATABASE: &str = "postgres";
const APPLICATION: &str = "connscope";
/// Where Debian, and PostgreSQL's own packages on it, have the sockets.
const SOCKETS: &str = "/var/run/postgresql";

/// From the DSN, else the service that it or the environment names, else the environment.
fn parameters(dsn: &str) -> Result<Parameters> {
    let mut parameters = Parameters::parse(dsn, &["postgres", "postgresql"])?;
    let variables = VARIABLES.into_iter();
    let variables: Vec<_> = variables
        .filter_map(|(variable, name)| Some((name, var(variable).ok()?)))
        .collect();
    let named = variables.iter().find(|(name, _)| *name == "service");
    let service = parameters
        .get("service")
        .or(named.map(|(_, it)| it.as_str()));
    if let Some(service) = service.map(str::to_owned) {
        parameters.complete(of_service(&service)?);
    }
    parameters.complete(variables);
    parameters.port()?;
    Ok(parameters)
}

fn of_service(service: &str) -> Result<Vec<(String, String)>> {
    let files: Vec<_> = service_files().collect();
    for file in &files {
        if let Some(parameters) = group(file, service)? {
            return Ok(parameters);
        }
    }
    let files: Vec<_> = files.iter().map(|it| it.display().to_string()).collect();
    bail!("no service {service} in {}", files.join(", "))
}

/// Of the user, then of the system.
fn service_files() -> impl Iterator<Item = PathBuf> {
    let own = match var("PGSERVICEFILE") {
        Ok(file) => Some(file.into()),
        Err(_) => home_dir().map(|home| home.join(".pg_service.conf")),
    };
    let folders = match var("PGSYSCONFDIR") {
        Ok(folder) => vec![folder],
        Err(_) => vec!["/etc/postgresql-common".to_owned(), "/etc".to_owned()],
    };
    let of_system = folders
        .into_iter()
        .map(|it| Path::new(&it).join("pg_service.conf"));
    own.into_iter().chain(of_system)
}

fn is_placed(parameters: &Parameters) -> bool {
    ["host", "hostaddr", "port"]
        .iter()
        .any(|name| parameters.get(name).is_some())
}

/// A host as libpq has it, a folder of sockets too, and a port.
type Address = (String, u16);

/// Where to try, one after the other.
fn addresses(parameters: &Parameters, place: &Place) -> Vec<Address> {
    if is_placed(parameters) {
        let port = parameters.port().ok().flatten().unwrap_or(5432);
        let has_socket = Path::new(SOCKETS).join(format!(".s.PGSQL.{port}")).exists();
        let usual = if has_socket { SOCKETS } else { "localhost" };
        let host = parameters.get("hostaddr").or(parameters.get("host"));
        return vec![(host.unwrap_or(usual).to_owned(), port)];
    }
    let sockets = place.sockets.iter().filter_map(|socket| {
        let port = socket.file_name()?.to_str()?.strip_prefix(".s.PGSQL.")?;
        Some((socket.parent()?.display().to_string(), port.parse().ok()?))
    });
    let port = place.port.map(|port| ("127.0.0.1".to_owned(), port));
    sockets.take(1).chain(port).collect()
}

fn options(
    parameters: &Parameters,
    (host, port): &Address,
) -> Result<PgConnectOptions, sqlx::Error> {
    let is_folder = host.starts_with('/');
    // Under that name `~/.pgpass` has those of this host.
    let name = if is_folder { "localhost" } else { host };
    let port_text = port.to_string();
    let database = parameters.get("dbname").unwrap_or(DATABASE);
    let place = [("host", name), ("port", &port_text), ("dbname", database)];
    let taken = parameters.iter().filter(|(name, _)| TAKEN.contains(name));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(taken.filter(|(name, _)| *name != "hostaddr"));
    query.extend_pairs(place);
    let options = PgConnectOptions::from_str(&format!("postgres://?{}", query.finish()))?;
    // A pooler refuses settings that it does not know.
    let options = options
        .application_name(APPLICATION)
        .extra_float_digits(None);
    Ok(match is_folder {
        true => options.socket(host),
        false => options,
    })
}

async fn open(parameters: &Parameters, place: &Place) -> Result<Box<dyn Session>, sqlx::Error> {
    let mut refused = None;
    for address in addresses(parameters, place) {
        match options(parameters, &address)?.connect().await {
            Ok(connection) => return Ok(Box::new(Backend::of(connection).await?)),
            Err(error) => {
                let goes_on = is_refused_there(&error);
                // Who may not come in there says less than who may not by a password.
                if refused.is_none() || matches!(error, sqlx::Error::Database(_)) {
                    refused = Some(error);
                }
                if !goes_on {
                    break;
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| sqlx::Error::Configuration("it listens nowhere".into())))
}

/// Whether another way to the server may be allowed: at a socket, Debian lets in the user of the same name alone.
fn is_refused_there(error: &sqlx::Error) -> bool {
    const INVALID_AUTHORIZATION: &str = "28000";
    match error {
        sqlx::Error::Database(error) => error.code().as_deref() == Some(INVALID_AUTHORIZATION),
        sqlx::Error::Io(_) => true,
        _ => false,
    }
}

/// A backend that serves us.
struct Backend {
    connection: PgConnection,
    sees_all: bool,
    has_query_ids: bool,
}

impl Backend {
    async fn of(mut connection: PgConnection) -> Result<Self, sqlx::Error> {
        const QUERY: &str = "select pg_has_role('pg_read_all_stats', 'usage')::text,
                             (current_setting('server_version_num')::int >= 140000)::text";
        let row = sqlx::raw_sql(QUERY).fetch_one(&mut connection).await?;
        let is_true = |column| text(&row, column).map(|it| it.as_deref() == Some("true"));
        Ok(Self {
            sees_all: is_true(0)?,
            has_query_ids: is_true(1)?,
            connection,
        })
    }
}

/// What everybody may know of others' connections, and what only some may: that something serves a client, for one. It
/// never waits long, and sets nothing beyond itself.
const VIEW: &str = "set local statement_timeout = '2s';
    select pid::text, usename::text, datname::text, nullif(application_name, ''),
    case client_port when -1 then '[local]' else host(client_addr) || '(' || client_port || ')' end,
    state, wait_event_type, wait_event, query_id::text
    from pg_stat_activity where backend_type in ('client backend', 'walsender')
    or backend_type is null and datname is not null";

impl Session for Backend {
    fn own_task(&mut self) -> Answer<'_, u32> {
        Box::pin(async {
            let query = sqlx::raw_sql("select pg_backend_pid()::text");
            let row = query.fetch_one(&mut self.connection).await?;
            figure(&row, 0)
        })
    }

    fn connections(&mut self) -> Answer<'_, Vec<Connection>> {
        Box::pin(async {
            let view = match self.has_query_ids {
                true => VIEW.to_owned(),
                false => VIEW.replace("query_id::text", "null"),
            };
            let query = sqlx::raw_sql(sqlx::AssertSqlSafe(view));
            let rows = query.fetch_all(&mut self.connection).await?;
            rows.iter().map(connection).collect()
        })
    }

    fn told(&self) -> String {
        let limits = match self.sees_all {
            true => "",
            false => ", which tells a role that is not in pg_read_all_stats little of others",
        };
        format!("pg_stat_activity{limits}")
    }

    fn close(self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(self.connection.close())
    }
}

fn connection(row: &PgRow) -> Result<Connection, sqlx::Error> {
    Ok(Connection {
        pid: 0,
        tid: figure(row, 0)?,
        user: text(row, 1)?,
        database: text(row, 2)?,
        application: text(row, 3)?,
        peer: text(row, 4)?,
        state: text(row, 5)?,
        wait: text(row, 6)?,
        wait_event: text(row, 7)?,
        query_id: text(row, 8)?.and_then(|id| id.parse().ok()),
    })
}

fn text(row: &PgRow, column: usize) -> Result<Option<String>, sqlx::Error> {
    row.try_get_unchecked(column)
}

fn figure(row: &PgRow, column: usize) -> Result<u32, sqlx::Error> {
    let text = text(row, column)?.unwrap_or_default();
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
