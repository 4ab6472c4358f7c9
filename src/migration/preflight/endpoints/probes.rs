//! What only a try shows: whether both sessions reach one server, and what its clock says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;
use tokio_postgres::Client;

use super::super::check::{CATALOGS, Check, Context, Ends, Look, Probing, Side, not_evaluated};
use super::PROBE_LIMIT;
use crate::engine::finding::{Finding, Severity};
use crate::pg::error::PgError;
use crate::pg::names::literal;

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "A5",
            title: "One server behind the address",
            about: ONE_SERVER,
            grant: CATALOGS,
            explain: "One session exports a snapshot and the other imports it, in read-only transactions that are rolled back \
                      at once. Only two sessions on one and the same server can do that.\n\n\
                      An address that spreads sessions over several servers, such as a reader endpoint or a load balancer, \
                      would give a copy rows of different moments. All workers of a copy read in one snapshot, so it could not \
                      even start.\n\n\
                      Give the address of one server. It should be the primary, not a reader.",
            look: Look::Probe { needs_target: false, probe: one_server },
        },
        Check {
            code: "A11",
            title: "Clocks",
            about: "whether the clocks agree",
            grant: CATALOGS,
            explain: "The clocks of both servers are compared with that of this machine, taking the time that the question \
                      travels into account. A difference of more than two seconds that the way there and back cannot explain \
                      is reported.\n\n\
                      How far a replica is behind is measured by clocks of different machines, and a wrong one hides a lag or \
                      invents one. Defaults such as now() on the target continue from another time as well.\n\n\
                      See that all machines get their time from a time server. Where only one of the three is off, it is \
                      named; where both servers differ in the same way, this machine's clock is the wrong one.",
            look: Look::Probe { needs_target: false, probe: clocks },
        },
    ]
}

const ONE_SERVER: &str = "whether both sessions reach the same server";

const SNAPSHOT_BEGIN: &str = "begin transaction isolation level repeatable read read only";

fn one_server<'a>(_: &'a Context<'a>, ends: Ends<'a>) -> Probing<'a> {
    Box::pin(async move {
        let Some(end) = ends.live_source() else { return Ok(Vec::new()) };
        let not_seen = |reason: &str| Ok(vec![not_evaluated("A5", Side::Source, ONE_SERVER, reason, CATALOGS)]);
        let Some(second) = end.second else { return not_seen("there is only one session to the source") };
        match import(end.client, second).await {
            Ok(true) => Ok(Vec::new()),
            Ok(false) => not_seen("the second session got no answer while the first one held a transaction"),
            Err(error) if is_unknown_snapshot(&error) => Ok(vec![several_servers()]),
            Err(error) => Err((Side::Source, error)),
        }
    })
}

/// A server does not find the file of a snapshot that another server exported; releases say so with different codes.
fn is_unknown_snapshot(error: &PgError) -> bool {
    matches!(error, PgError::Server(error) if ["22023", "42704"].contains(&error.sqlstate.as_str()))
}

fn several_servers() -> Finding {
    let sentence = "The address of the source leads to more than one server.".to_owned();
    let why = "A copy reads through several sessions in one snapshot, which exists on one server only.";
    let fix = "Give the address of a single server, the primary, in the connection string of the source: not that of a reader \
               endpoint or a load balancer, and not several hosts.";
    Finding::new("A5", Severity::Blocker, "source", sentence, why).with_fix(fix)
}

/// Whether the second session took over the first one's snapshot; no if it got no answer in time. Leaves no transaction open: the
/// first session lets go before the second, which may wait for it behind a pooler.
async fn import(first: &Client, second: &Client) -> Result<bool, PgError> {
    let shared = timeout(PROBE_LIMIT, share_snapshot(first, second)).await;
    let ended = (first.batch_execute("rollback").await, second.batch_execute("rollback").await);
    let Ok(shared) = shared else { return Ok(false) };
    shared?;
    ended.0?;
    ended.1?;
    Ok(true)
}

async fn share_snapshot(first: &Client, second: &Client) -> Result<(), PgError> {
    first.batch_execute(SNAPSHOT_BEGIN).await?;
    let snapshot: String = first.query_typed_one("select pg_catalog.pg_export_snapshot()", &[]).await?.try_get(0)?;
    second.batch_execute(&format!("{SNAPSHOT_BEGIN}; set transaction snapshot {}", literal(&snapshot))).await?;
    Ok(())
}

/// How far clocks may be apart, in microseconds.
const SKEW_US: i64 = 2_000_000;

/// How often a clock is read; the reading that travelled least counts.
const READINGS: u32 = 3;

/// A server's clock against ours, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// How far it is ahead of ours.
    ahead: i64,
    /// How far off that may be, because the answer travelled.
    unsure: i64,
}

fn clocks<'a>(_: &'a Context<'a>, ends: Ends<'a>) -> Probing<'a> {
    Box::pin(async move {
        let mut readings = Vec::new();
        let ends = [(Side::Source, ends.live_source()), (Side::Target, ends.target)];
        for (side, end) in ends.into_iter().filter_map(|(side, end)| Some((side, end?))) {
            readings.push((side, read_clock(end.client).await.map_err(|error| (side, error))?));
        }
        Ok(skews(&readings))
    })
}

async fn read_clock(client: &Client) -> Result<Reading, PgError> {
    let mut best: Option<Reading> = None;
    for _ in 0..READINGS {
        let (began, before) = (Instant::now(), now_us());
        let sql = "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8";
        let theirs: i64 = client.query_typed_one(sql, &[]).await?.try_get(0)?;
        let unsure = micros(began.elapsed()) / 2;
        if best.is_none_or(|best| unsure < best.unsure) {
            best = Some(Reading { ahead: theirs.saturating_sub(before.saturating_add(unsure)), unsure });
        }
    }
    best.ok_or_else(|| PgError::Protocol("no reading of the clock".to_owned()))
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Each clock that differs from ours; or else two clocks that differ from each other.
fn skews(readings: &[(Side, Reading)]) -> Vec<Finding> {
    let is_skewed = |reading: &Reading| reading.ahead.saturating_abs().saturating_sub(reading.unsure) > SKEW_US;
    let single: Vec<Finding> = readings
        .iter()
        .filter(|(_, reading)| is_skewed(reading))
        .map(|(side, reading)| skewed(*side, reading.ahead, "this machine"))
        .collect();
    match (single.is_empty(), readings) {
        (true, [(side, left), (other, right)]) => {
            let between = Reading { ahead: left.ahead - right.ahead, unsure: left.unsure + right.unsure };
            is_skewed(&between).then(|| skewed(*side, between.ahead, &format!("the {}", other.name()))).into_iter().collect()
        }
        _ => single,
    }
}

fn skewed(side: Side, ahead: i64, other: &str) -> Finding {
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let seconds = ahead.unsigned_abs() / 1_000_000;
    let sentence = format!("The clock of the {} is about {seconds} s {direction} that of {other}.", side.name());
    let why =
        "How far the target is behind the source is measured by these clocks, and now() gives the target's rows its own time.";
    let fix = "See that every machine gets its time from a time server; on Linux, timedatectl shows whether it does. If both servers \
               differ from this machine in the same way, it is this machine's clock that is wrong.";
    Finding::new("A11", Severity::Warning, side.name(), sentence, why).with_fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: (i64, i64), target: Option<(i64, i64)>) -> Vec<String> {
        let ms = |(ahead, unsure): (i64, i64)| Reading { ahead: ahead * 1000, unsure: unsure * 1000 };
        let readings = [(Side::Source, Some(source)), (Side::Target, target)];
        let readings: Vec<_> = readings.into_iter().filter_map(|(side, reading)| Some((side, ms(reading?)))).collect();
        skews(&readings).into_iter().map(|finding| finding.sentence).collect()
    }

    #[test]
    fn a_clock_is_wrong_only_by_more_than_the_way_explains() {
        assert_eq!(told((1900, 10), None), [""; 0]);
        assert_eq!(told((2100, 200), None), [""; 0]);
        assert_eq!(told((3500, 200), None), ["The clock of the source is about 3 s ahead of that of this machine."]);
        assert_eq!(told((-61_000, 5), Some((0, 5))), ["The clock of the source is about 61 s behind that of this machine."]);
        assert_eq!(told((9000, 5), Some((9000, 5))).len(), 2);
    }

    #[test]
    fn two_servers_may_differ_from_each_other_only() {
        assert_eq!(told((1500, 5), Some((-1500, 5))), ["The clock of the source is about 3 s ahead of that of the target."]);
        assert_eq!(told((1500, 5), Some((1500, 5))), [""; 0]);
    }
}
