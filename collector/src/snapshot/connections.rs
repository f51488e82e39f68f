//! The connections of a server that runs already, and who each of them is.

use serde::{Deserialize, Serialize};

/// The connections of one server, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// All that clients hold open.
    pub open: u64,
    /// Those of which it is known who they are.
    pub named: Vec<Connection>,
    /// The others.
    pub unnamed: u64,
    /// What told it, in words; and what could not be told, if something is missing.
    pub method: String,
}

/// One connection. What is not known for certain is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The process that serves it, in connscope's own PID namespace.
    pub pid: u32,
    /// The thread of it, likewise; the same as `pid` where a process serves it alone.
    pub tid: u32,
    /// As whom the client came.
    pub user: Option<String>,
    /// Which database it uses.
    pub database: Option<String>,
    /// From where: `[local]` or an address and port, in the words of the server where it has some.
    pub peer: Option<String>,
    /// What it does, in the words of the server: `idle`, `SELECT`, `idle in transaction`.
    pub state: Option<String>,
    /// What it waits for, in the words of the server: `Client`, `Lock`.
    pub wait: Option<String>,
    /// What that is more closely, likewise: `ClientRead`, `transactionid`.
    pub wait_event: Option<String>,
    /// What the client calls itself.
    pub application: Option<String>,
    /// The server's id of the query.
    pub query_id: Option<i64>,
}
