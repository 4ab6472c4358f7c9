//! How long a copy would take, and how much WAL a slot would retain meanwhile: measured for a moment, then reckoned, as a band.
//!
//! What is measured: the round trip to each end, one stream of made-up rows from the source, and one into a temporary table of the
//! target, each for a second and a half at most. The table is gone with its transaction. The source's WAL is looked at twice.
//!
//! What is reckoned: the shorter time is all rows at the speed of as many streams as there are jobs, [`STREAMS_MAX`] at most; the longer
//! one is rows and indexes at the speed of a single stream, one after the other. The truth is usually between them: a network that one stream
//! fills is the longer one, a fast one ends with the largest index.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio_postgres::Client;

use super::answer::{Answers, rows};
use super::check::Side;
use super::facts::Known;
use crate::engine::checkup::Estimate;
use crate::pg::error::PgError;

/// How long a stream is measured.
const PROBE_TIME: Duration = Duration::from_millis(1500);
/// How much a stream carries at most, in bytes.
const PROBE_BYTES: u64 = 64 << 20;
/// How long everything that is measured at one end may take.
const PROBE_LIMIT: Duration = Duration::from_secs(15);
/// Beyond so many streams the shorter time is not divided further: servers and networks fill up.
const STREAMS_MAX: u32 = 4;
/// A round trip is the shortest of so many.
const ROUND_TRIPS: u32 = 5;

/// How much there is to carry, in bytes, by the pages of the last vacuum or analyze.
const VOLUME: &str = "
select coalesce(sum(c.relpages::int8) filter (where c.relkind in ('r', 'm', 't')), 0)::int8
         * to_number(current_setting('block_size'), '9999999999')::int8 as rows,
       coalesce(sum(c.relpages::int8) filter (where c.relkind = 'i'), 0)::int8 * to_number(current_setting('block_size'), '9999999999')::int8 as indexes
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm', 't', 'i') and (n.nspname = 'pg_toast' or n.nspname !~ '^pg_' and n.nspname <> 'information_schema')";

/// The position of the WAL in bytes. (`pg_wal_lsn_diff` with zero: Postgres documentation, "Backup Control Functions".)
const WAL: &str = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8 as position where not pg_is_in_recovery()";

/// How much WAL there was at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalMark {
    position: u64,
    at: Instant,
}

#[derive(Deserialize)]
struct Position {
    position: u64,
}

#[derive(Deserialize)]
struct Volume {
    rows: u64,
    indexes: u64,
}

impl WalMark {
    /// Looks; nothing where the server does not tell.
    pub(super) async fn take(source: &Client) -> Result<Option<WalMark>, PgError> {
        let seen = Answers::Session(source).ask(WAL).await?;
        let position = seen.and_then(|rows| rows.first::<Position>().ok().flatten());
        Ok(position.map(|found| WalMark { position: found.position, at: Instant::now() }))
    }

    /// Bytes a second between two moments.
    fn rate(self, later: WalMark) -> f64 {
        let seconds = later.at.duration_since(self.at).as_secs_f64().max(0.001);
        later.position.saturating_sub(self.position) as f64 / seconds
    }
}

/// Measures both ends and reckons. Nothing if an end refuses what is needed.
pub(super) async fn measure(
    source: &Client,
    target: &Client,
    before: Option<WalMark>,
    known: &Known,
) -> Result<Option<Estimate>, (Side, PgError)> {
    let on_source = limited(async { Ok((round_trip(source).await?, source_rate(source).await?)) });
    let (source_rtt, source_rate) = match on_source.await {
        Err(PgError::Server(_) | PgError::Timeout { .. }) => return Ok(None),
        other => other.map_err(|error| (Side::Source, error))?,
    };
    let on_target = limited(async { Ok((round_trip(target).await?, target_rate(target).await?)) });
    let (target_rtt, target_rate) = match on_target.await {
        Err(PgError::Server(_) | PgError::Timeout { .. }) => return Ok(None),
        other => other.map_err(|error| (Side::Target, error))?,
    };
    let of_source = |error| (Side::Source, error);
    let volume = rows(source, VOLUME).await.map_err(of_source)?;
    let Ok(Some(volume)) = volume.first::<Volume>() else { return Ok(None) };
    let after = WalMark::take(source).await.map_err(of_source)?;
    let wal_rate = before.zip(after).map(|(before, after)| before.rate(after));
    let one_stream = source_rate.min(target_rate);
    let copy_s = band(volume.rows, volume.indexes, one_stream, known.jobs);
    Ok(Some(Estimate {
        source_rtt_ms: source_rtt.as_secs_f64() * 1000.0,
        target_rtt_ms: target_rtt.as_secs_f64() * 1000.0,
        source_rate,
        target_rate,
        copy_s,
        wal_rate,
        wal_retained: wal_rate.map(|rate| ((rate * copy_s.0 as f64) as u64, (rate * copy_s.1 as f64) as u64)),
        assumptions: assumptions(known.jobs.clamp(1, STREAMS_MAX)),
    }))
}

async fn limited<T>(work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    let late = || PgError::Timeout { what: "measuring the connection".to_owned(), limit_s: PROBE_LIMIT.as_secs() };
    tokio::time::timeout(PROBE_LIMIT, work).await.unwrap_or_else(|_| Err(late()))
}

/// From all rows at the speed of all streams to rows and indexes at that of one, in seconds.
fn band(row_bytes: u64, index_bytes: u64, one_stream: f64, jobs: u32) -> (u64, u64) {
    let rate = one_stream.max(1.0);
    let streams = f64::from(jobs.clamp(1, STREAMS_MAX));
    let low = row_bytes as f64 / (rate * streams);
    let high = (row_bytes + index_bytes) as f64 / rate;
    (low.ceil() as u64, (high.ceil() as u64).max(low.ceil() as u64))
}

fn assumptions(streams: u32) -> Vec<String> {
    let low = if streams == 1 {
        "The shorter time is all rows at the speed that one stream had just now.".to_owned()
    } else {
        format!("The shorter time is all rows at {streams} times the speed that one stream had just now.")
    };
    vec![
        low,
        "The longer time is rows and indexes at the speed of one stream, one after the other.".to_owned(),
        "Sizes are those of the last vacuum or analyze.".to_owned(),
        "WAL is that of the last few seconds; at busier hours there is more of it.".to_owned(),
    ]
}

async fn round_trip(client: &Client) -> Result<Duration, PgError> {
    let mut best = Duration::MAX;
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        client.batch_execute("").await?;
        best = best.min(began.elapsed());
    }
    Ok(best)
}

/// Bytes a second of one stream from the source: rows that its server makes up, so that no table is read.
async fn source_rate(source: &Client) -> Result<f64, PgError> {
    source.batch_execute("begin transaction read only; set local statement_timeout to '10s'").await?;
    let measured = read_stream(source).await;
    let ended = source.batch_execute("rollback").await;
    let rate = measured?;
    ended?;
    Ok(rate)
}

async fn read_stream(source: &Client) -> Result<f64, PgError> {
    // A piece at a time, so that no stream has to be broken off.
    let (mut bytes, mut piece, began) = (0_u64, 1024_u64, Instant::now());
    while began.elapsed() < PROBE_TIME && bytes < PROBE_BYTES {
        let query = format!(
            "copy (select pg_catalog.repeat('neon', 250) from pg_catalog.generate_series(1, {piece})) to stdout (format binary)"
        );
        let mut stream = std::pin::pin!(source.copy_out(&query).await?);
        while let Some(chunk) = stream.next().await {
            bytes += chunk?.len() as u64;
        }
        piece = (piece * 2).min(8192);
    }
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}

/// Bytes a second of one stream to the target, into a temporary table that goes with its transaction.
async fn target_rate(target: &Client) -> Result<f64, PgError> {
    target
        .batch_execute(
            "begin; set local statement_timeout to '10s'; create temporary table neon_migrate_probe (t text) on commit drop",
        )
        .await?;
    let measured = write_stream(target).await;
    let ended = target.batch_execute("rollback").await;
    let rate = measured?;
    ended?;
    Ok(rate)
}

async fn write_stream(target: &Client) -> Result<f64, PgError> {
    let mut line = "neon".repeat(250);
    line.push('\n');
    let block: Bytes = BytesMut::from(line.repeat(64).as_bytes()).freeze();
    let began = Instant::now();
    let mut bytes = 0_u64;
    let sink = target.copy_in("copy pg_temp.neon_migrate_probe from stdin").await?;
    let mut sink = std::pin::pin!(sink);
    while began.elapsed() < PROBE_TIME && bytes < PROBE_BYTES {
        sink.send(block.clone()).await?;
        bytes += block.len() as u64;
    }
    sink.as_mut().finish().await?;
    Ok(bytes as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_goes_from_all_streams_to_one_with_indexes() {
        assert_eq!(band(1000, 500, 100.0, 4), (3, 15));
        assert_eq!(band(1000, 0, 100.0, 1), (10, 10));
        assert_eq!(band(1000, 0, 100.0, 64), (3, 10));
        assert_eq!(band(0, 0, 0.0, 0), (0, 0));
    }
}
