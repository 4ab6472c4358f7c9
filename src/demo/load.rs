//! Loading the shop over one connection.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Batch, batches};
use crate::engine::crash;
use crate::pg::error::PgError;
use crate::pg::sql::Client;

/// Whether relations exist that neither the system nor an extension brought.
const IS_EMPTY: &str = "
    select not exists (
      select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
        and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'))";

/// Why the shop could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database already holds tables of somebody's.
    #[error("The database is not empty; the sample shop goes only into an empty one.")]
    NotEmpty,
    /// The server refused, or the connection was lost.
    #[error("The sample shop could not be loaded: the step \"{step}\" failed.")]
    Failed {
        /// The title of the batch.
        step: String,
        /// What the server said.
        #[source]
        error: PgError,
    },
    /// Stopped on request; the database keeps the batches that were finished.
    #[error("Loading the sample shop was stopped. The database now holds a part of it.")]
    Stopped,
}

/// A batch that is in.
#[derive(Debug, Clone, Copy)]
pub struct Loaded<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// How long it took.
    pub took: Duration,
}

/// Loads the shop into an empty database and tells of each batch. Returns the size of the database afterwards, in bytes.
pub async fn load(
    client: &Client,
    scale: f64,
    stop: &CancellationToken,
    mut tell: impl FnMut(Loaded<'_>),
) -> Result<u64, LoadError> {
    let failed = |step: &str| {
        let step = step.to_owned();
        move |error: tokio_postgres::Error| LoadError::Failed { step, error: error.into() }
    };
    let row = client.query_one(IS_EMPTY, &[]).await.map_err(failed("looking at the database"))?;
    if !row.get::<_, bool>(0) {
        return Err(LoadError::NotEmpty);
    }
    let all = batches(scale);
    for (index, batch) in all.iter().enumerate() {
        let started = Instant::now();
        tokio::select! {
            done = client.batch_execute(&batch.sql) => done.map_err(failed(&batch.title))?,
            () = stop.cancelled() => {
                // The statement would go on without us; whether it can still be cancelled changes nothing here.
                let _ = client.canceller().cancel().await;
                return Err(LoadError::Stopped);
            }
        }
        crash::point("demo.batch");
        tell(Loaded { batch, number: index + 1, of: all.len(), took: started.elapsed() });
    }
    let size = client.query_one("select pg_catalog.pg_database_size(pg_catalog.current_database())", &[]).await;
    Ok(size.map_err(failed("measuring the database"))?.get::<_, i64>(0) as u64)
}
