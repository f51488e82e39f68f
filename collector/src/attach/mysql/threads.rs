//! What the threads of a MySQL server do, by their names.

use crate::snapshot::TargetKind;

/// What threads of MySQL and MariaDB can be.
pub const ROLES: &[&str] = &[
    MAIN,
    CONNECTION,
    INNODB_IO,
    INNODB_FLUSH,
    INNODB_LOG,
    INNODB_PURGE,
    INNODB_OTHER,
    REPLICATION,
    OTHER,
];

/// The first thread, which accepts connections.
pub const MAIN: &str = "main";
/// Serves a connection, or is kept to serve a next one.
pub const CONNECTION: &str = "connection";
/// Completes asynchronous reads and writes.
pub const INNODB_IO: &str = "innodb_io";
/// Page cleaners.
pub const INNODB_FLUSH: &str = "innodb_flush";
/// The redo log.
pub const INNODB_LOG: &str = "innodb_log";
/// Removes what no transaction sees any more.
pub const INNODB_PURGE: &str = "innodb_purge";
/// The storage engine's other threads.
pub const INNODB_OTHER: &str = "innodb_other";
/// Of a replica: those that fetch the log and apply it.
pub const REPLICATION: &str = "replication";
/// Events, signals, plugins.
pub const OTHER: &str = "other";

/// How names begin. `PSI_THREAD_KEY` in `ha_innodb.cc`, `PSI_FLAG` names in `mysqld.cc` and `rpl_*.cc`; the
/// first that fits counts.
const NAMES: [(&str, &str); 11] = [
    ("mysqld", MAIN),
    ("connection", CONNECTION),
    ("ib_io_", INNODB_IO),
    ("ib_pg_flush", INNODB_FLUSH),
    ("ib_log_", INNODB_LOG),
    ("ib_srv_purge", INNODB_PURGE),
    ("ib_srv_wkr", INNODB_PURGE),
    ("ib_", INNODB_OTHER),
    // Counts which settings are used.
    ("rpl_opt_tracker", OTHER),
    ("rpl_", REPLICATION),
    ("", OTHER),
];

/// What a thread does, by its name (`comm`): `None` where names do not tell, as with MariaDB, which has one for
/// all. There a thread is found by the socket that it waits at (see [`connections`](super::connections())).
///
/// A thread without a name of its own has that of the one that made it.
#[must_use]
pub fn role_of_thread(kind: TargetKind, comm: &str) -> Option<&'static str> {
    let known = NAMES.iter().find(|(start, _)| comm.starts_with(start));
    known
        .map(|(_, role)| *role)
        .filter(|_| kind == TargetKind::Mysql)
}

/// Whether a thread of that name may serve a connection, and not only wait at its socket as that does which hears of a
/// semi-synchronous replica what has arrived. Names do not tell of one that has none of its own.
#[must_use]
pub(super) fn may_serve(kind: TargetKind, comm: &str) -> bool {
    let role = role_of_thread(kind, comm);
    role.is_none_or(|role| [CONNECTION, MAIN].contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_may_serve_a_connection() {
        for (kind, comm, may) in [
            (TargetKind::Mysql, "connection", true),
            (TargetKind::Mysql, "mysqld", true),
            (TargetKind::Mysql, "ss_ack", false),
            (TargetKind::Mysql, "rpl_rca_io-1", false),
            (TargetKind::Mariadb, "mariadbd", true),
        ] {
            assert_eq!(may_serve(kind, comm), may, "{comm}");
        }
    }

    #[test]
    fn threads_of_mysql_by_name() {
        for (comm, role) in [
            ("mysqld", MAIN),
            ("connection", CONNECTION),
            ("ib_io_rd-1", INNODB_IO),
            ("ib_io_ibuf", INNODB_IO),
            ("ib_pg_flush_co", INNODB_FLUSH),
            ("ib_pg_flush-2", INNODB_FLUSH),
            ("ib_log_fl_notif", INNODB_LOG),
            ("ib_srv_purge", INNODB_PURGE),
            ("ib_srv_wkr-3", INNODB_PURGE),
            ("ib_src_main", INNODB_OTHER),
            ("rpl_rca_io-1", REPLICATION),
            ("rpl_opt_tracker", OTHER),
            ("xpl_worker-1", OTHER),
            ("evt_sched", OTHER),
            ("sig_handler", OTHER),
        ] {
            let found = role_of_thread(TargetKind::Mysql, comm);
            assert_eq!(found, Some(role), "{comm}");
            assert!(ROLES.contains(&role));
            assert_eq!(role_of_thread(TargetKind::Mariadb, comm), None);
        }
    }
}
