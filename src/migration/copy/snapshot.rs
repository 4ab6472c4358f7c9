//! One consistent moment of the source, for many sessions.
//!
//! A session exports its snapshot and stays in its transaction; every other session imports it (`set transaction snapshot`) and sees exactly the
//! same rows (Postgres documentation, "Snapshot Synchronization Functions"). The snapshot cannot be imported any more once that session is gone, so it
//! is kept awake and watched. While it is held, the source's vacuum cannot remove rows that died after it: it is given up as soon as the last
//! table is through.

use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::migration::ends::{Source, in_time};
use crate::migration::error::{Error, Side};
use crate::pg::sql::Client;
use crate::pg::types::{Lsn, SnapshotId};

/// How often the session is used, so that no firewall takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long an answer to that may take.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// A snapshot of the source, until it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The position of the WAL right after it was taken.
    pub lsn: Lsn,
    lost: CancellationToken,
    _keeper: DropGuard,
}

impl Snapshot {
    /// Takes one.
    ///
    /// # Errors
    /// Any failure of the source.
    pub async fn take(source: &Source) -> Result<Snapshot, Error> {
        in_time(Side::Source, "taking a snapshot", Self::take_now(source)).await
    }

    async fn take_now(source: &Source) -> Result<Snapshot, Error> {
        let client = source.sql().await?;
        let failed = |error: tokio_postgres::Error| Side::Source.failed("taking a snapshot", error);
        client.batch_execute("begin isolation level repeatable read, read only").await.map_err(failed)?;
        let row = client
            .query_one("select pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_wal_insert_lsn()::text", &[])
            .await
            .map_err(failed)?;
        let id: String = row.try_get(0).map_err(failed)?;
        let lsn: String = row.try_get(1).map_err(failed)?;
        let lsn = lsn.parse().map_err(|_| Side::Source.failed("taking a snapshot", crate::pg::error::PgError::Protocol(lsn)))?;
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(keep(client, lost.clone(), stop.clone()));
        Ok(Snapshot { id: SnapshotId(id), lsn, lost, _keeper: stop.drop_guard() })
    }

    /// Whether other sessions cannot join it any more.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

/// Keeps the session awake until it is lost or not needed any more.
async fn keep(client: Client, lost: CancellationToken, stop: CancellationToken) {
    let beat = async {
        loop {
            tokio::select! {
                () = client.lost() => return,
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            let answer = tokio::time::timeout(HEARTBEAT_LIMIT, client.batch_execute("select 1")).await;
            if !matches!(answer, Ok(Ok(()))) {
                return;
            }
        }
    };
    if stop.run_until_cancelled(beat).await.is_some() {
        lost.cancel();
    }
}
