//! The two ends of a migration, as types that cannot be swapped.

use std::time::Duration;

use super::error::{Error, Side};
use super::verify;
use crate::pg::conninfo::Conninfo;
use crate::pg::error::PgError;
use crate::pg::names::literal;
use crate::pg::sql::{self, Client};
use crate::pg::types::SnapshotId;
use crate::pg::wire::Conn;

/// How long the settings of a session may take.
const SETTINGS_LIMIT: Duration = Duration::from_secs(30);

/// The database that is moved. It is only ever read.
#[derive(Debug, Clone)]
pub struct Source {
    info: Conninfo,
    application: String,
}

/// The database that it is moved to.
#[derive(Debug, Clone)]
pub struct Target {
    info: Conninfo,
    application: String,
}

/// The name that our sessions go by before the migration is known.
const APPLICATION: &str = "neon-migrate";

impl Source {
    /// The source that a connection string describes.
    pub fn new(info: Conninfo) -> Self {
        Source { info, application: APPLICATION.to_owned() }
    }

    /// With sessions that go by the migration's name, so that those which a crash leaves behind can be found.
    #[must_use]
    pub fn of_migration(mut self, migration: &str) -> Self {
        self.application = format!("{APPLICATION} {migration}");
        self
    }

    /// How it is reached.
    pub fn info(&self) -> &Conninfo {
        &self.info
    }

    /// A session for SQL.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn sql(&self) -> Result<Client, Error> {
        sql_session(&self.info, &self.application, Side::Source).await
    }

    /// A session for SQL that sees what a snapshot shows, and can write nothing.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made; a snapshot that is gone.
    pub async fn sql_in(&self, snapshot: &SnapshotId) -> Result<Client, Error> {
        let client = self.sql().await?;
        let begin = begin_in(snapshot);
        let join = async { client.batch_execute(&begin).await.map_err(|error| snapshot_error("reading the source", error.into())) };
        in_time(Side::Source, "joining the snapshot", join).await?;
        Ok(client)
    }

    /// A session for the pump.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn wire(&self) -> Result<Conn, Error> {
        wire_session(&self.info, &self.application, Side::Source).await
    }

    /// Ends sessions that an earlier run of this migration left behind.
    ///
    /// # Errors
    /// Any failure of the source.
    pub async fn end_orphans(&self) -> Result<u64, Error> {
        end_orphans(&self.sql().await?, &self.application, Side::Source).await
    }
}

impl Target {
    /// The target that a connection string describes.
    pub fn new(info: Conninfo) -> Self {
        Target { info, application: APPLICATION.to_owned() }
    }

    /// With sessions that go by the migration's name, so that those which a crash leaves behind can be found.
    #[must_use]
    pub fn of_migration(mut self, migration: &str) -> Self {
        self.application = format!("{APPLICATION} {migration}");
        self
    }

    /// How it is reached.
    pub fn info(&self) -> &Conninfo {
        &self.info
    }

    /// A session for SQL.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn sql(&self) -> Result<Client, Error> {
        sql_session(&self.info, &self.application, Side::Target).await
    }

    /// A session for the pump and for scripts. Its commits are not waited for on the disk: what is lost by a crash of the server is lost together with
    /// the ledger's note of it, and the end of the migration waits for everything.
    ///
    /// # Errors
    /// Whatever keeps the connection from being made.
    pub async fn wire(&self) -> Result<Conn, Error> {
        let mut conn = wire_session(&self.info, &self.application, Side::Target).await?;
        let settings = conn.query_within(SETTINGS_LIMIT, super::schema::restore::SESSION, "setting up a session");
        settings.await.map_err(|error| Side::Target.failed("setting up a session", error))?;
        Ok(conn)
    }

    /// Ends sessions that an earlier run of this migration left behind: a build that is still running would get in the way of its repetition.
    ///
    /// # Errors
    /// Any failure of the target.
    pub async fn end_orphans(&self) -> Result<u64, Error> {
        end_orphans(&self.sql().await?, &self.application, Side::Target).await
    }
}

/// How long questions to the catalogs, or a piece of a large object, may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Does something over a session for SQL, within a time that is enough for any answer of bounded size.
///
/// # Errors
/// That of the work, or that it took too long.
pub async fn in_time<T>(side: Side, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit = crate::pg::wire::stall_limit(ANSWER_LIMIT);
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(side.failed(doing, PgError::Timeout { what: doing.to_owned(), limit_s: limit.as_secs() })),
    }
}

async fn sql_session(info: &Conninfo, application: &str, side: Side) -> Result<Client, Error> {
    let failed = |error| side.failed("connecting", error);
    let client = sql::connect(info, application).await.map_err(failed)?;
    let settings = async { client.batch_execute(&verify::session_sql()).await.map_err(|error| failed(error.into())) };
    in_time(side, "setting up a session", settings).await?;
    Ok(client)
}

async fn wire_session(info: &Conninfo, application: &str, side: Side) -> Result<Conn, Error> {
    let failed = |error| side.failed("connecting", error);
    let mut conn = Conn::connect(info, application).await.map_err(failed)?;
    conn.query_within(SETTINGS_LIMIT, &verify::session_sql(), "setting up a session").await.map_err(failed)?;
    Ok(conn)
}

/// The statements that put a session into a snapshot. It can only be imported while the session that exported it lives.
pub fn begin_in(snapshot: &SnapshotId) -> String {
    format!("begin isolation level repeatable read, read only; set transaction snapshot {}", literal(&snapshot.0))
}

/// Tells a snapshot that is gone from other failures. (`22023` and `55000`: Postgres source, `ImportSnapshot`.)
pub fn snapshot_error(doing: &str, error: crate::pg::error::PgError) -> Error {
    match error.sqlstate() {
        Some("22023" | "55000" | "42704") => Error::SnapshotLost { doing: doing.to_owned() },
        _ => Side::Source.failed(doing, error),
    }
}

async fn end_orphans(client: &Client, application: &str, side: Side) -> Result<u64, Error> {
    const END: &str = "select coalesce(count(*) filter (where pg_catalog.pg_terminate_backend(pid)), 0)
        from pg_catalog.pg_stat_activity
        where application_name = $1 and datname = current_database() and usename = current_user and pid <> pg_catalog.pg_backend_pid()";
    let failed = |error: tokio_postgres::Error| side.failed("ending sessions of an earlier run", error);
    let name: String = application.chars().take(63).collect();
    let mut ended = 0;
    // A session may take a moment to go, and may hold locks until it is gone.
    for _ in 0..100 {
        let asked = async { client.query_one(END, &[&name]).await.map_err(failed) };
        let row = in_time(side, "ending sessions of an earlier run", asked).await?;
        let left: i64 = row.try_get(0).map_err(failed)?;
        if left == 0 {
            return Ok(ended);
        }
        ended = ended.max(left.unsigned_abs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(crate::engine::report::Report::new(
        "orphans",
        crate::engine::report::Exit::Paused,
        format!("Sessions of an earlier run on the {} do not end.", side.name()),
    )
    .with_fix(format!("End them with: select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}';"))
    .into())
}
