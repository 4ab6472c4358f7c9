//! Family A: the endpoints and the sessions to them.

mod probes;
mod sessions;
mod standby;

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Ends, Evaluated, Look, Probing, Side, count};
use super::facts::ServerFacts;
use super::{End, Purpose};
use crate::engine::finding::{Finding, Severity};
use crate::pg::error::PgError;
use crate::pg::names::human;

/// Connections that a migration needs on each side beside those of its jobs: one that holds the snapshot or watches, and one for
/// pg_dump, pg_restore or a check.
pub const CONNECTIONS_BESIDE_JOBS: u32 = 2;

/// How many jobs both servers have connections for, at most `wanted`; 0 if not even one.
pub fn jobs_possible(source_free: u32, target_free: u32, wanted: u32) -> u32 {
    source_free.min(target_free).saturating_sub(CONNECTIONS_BESIDE_JOBS).min(wanted)
}

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = vec![
        Check {
            code: "A3",
            title: "Two different databases",
            about: "whether the source and the target are the same database",
            grant: "",
            explain: "The source and the target must be different databases. That is decided by the cluster's system \
                      identifier, the database's oid and the running server, never by names of hosts, of which one server has \
                      many. A standby counts as its primary; a copy of a data directory that runs on its own does not.\n\n\
                      A migration onto itself would find the target full, or, where the target may be emptied, destroy the \
                      source.\n\n\
                      Give the connection string of another database. On the same server, create one first.",
            look: Look::Both(same_database),
        },
        Check {
            code: "A4",
            title: "Direct connections",
            about: "whether a pooler stands between us and the servers",
            grant: "",
            explain: "Two sessions are opened with the same connection string. While one holds a transaction open, the other \
                      is asked which backend serves it: behind a pooler that shares backends it changes, or there is none \
                      left. The address is looked at as well, because some providers mark their poolers in it.\n\n\
                      A migration needs sessions of its own: snapshots, settings and COPY do not survive being moved from \
                      backend to backend.\n\n\
                      Use the direct connection string, which providers show beside the pooled one.",
            look: Look::Probe { needs_target: false, probe: poolers },
        },
        Check {
            code: "A8",
            title: "Timeouts",
            about: "which timeouts the roles force on their sessions",
            grant: "",
            explain: "Timeouts other than 0 that the role, the database or the server gives to every session: for statements, \
                      locks, idle sessions, and transactions as a whole.\n\n\
                      A copy is one long transaction with long statements, and such a limit would end it. Our sessions set \
                      them to 0 for themselves and for nobody else, so nothing has to be done; it is good to know if something \
                      of the provider ends sessions all the same.",
            look: Look::Facts(timeouts),
        },
        Check {
            code: "A9",
            title: "Free connections",
            about: "whether there are enough connections",
            grant: "",
            explain: "How many more sessions the role can open, by max_connections without the reserved ones and by the limits \
                      of the role and of the database, less those in use now.\n\n\
                      A migration needs two on each side beside those of its jobs. With fewer than three it cannot start, with \
                      fewer than asked for it runs with fewer jobs, and the application competes with it for the rest.\n\n\
                      Close sessions that are not needed, or lift the limit that binds.",
            look: Look::Facts(connections),
        },
    ];
    if purpose == Purpose::Check {
        checks.extend(sessions::checks());
        checks.extend(probes::checks());
    }
    if purpose.copies() {
        checks.push(Check {
            code: "A6",
            title: "Primary servers",
            about: "whether an end is a standby",
            grant: "",
            explain: "Whether an end is a standby (pg_is_in_recovery). A standby cannot be written to, and a long read from \
                      one is cancelled when it stands in the way of replay.\n\n\
                      For live replication a standby is looked at further: it can decode changes from Postgres 16 on, it needs \
                      hot_standby_feedback, so that the primary keeps what decoding reads, and a slot on it is only made once \
                      the primary has written a record of its running transactions; pg_log_standby_snapshot() on the primary \
                      writes one.\n\n\
                      Give the connection string of the primary, or promote the standby if it is yours to promote.",
            look: Look::Facts(standby),
        });
        checks.push(Check {
            code: "S1",
            title: "Patterns that match",
            about: "whether the patterns of --include and --exclude match anything",
            grant: CATALOGS,
            explain: "A pattern of `--include` or `--exclude` matches no table, view or sequence of the source.\n\n\
                      A slip in a pattern would leave something out, or take it along, without anybody noticing. Correct it: \
                      it is schema or schema.table, with * and ?, and names are written as the catalog holds them.",
            look: Look::Rows { side: Side::Source, query: NAMES, evaluate: unmatched_patterns },
        });
    }
    if purpose == Purpose::Check {
        // After the first A6, which explains it.
        checks.extend(standby::checks());
    }
    checks
}

/// Two databases are the same if their clusters have one system identifier, their oids are equal, and one running server answers at
/// both ends. A copy of the data directory that runs as a primary of its own has the same identifier and oids, and is another
/// database; its start differs. A standby is its primary's database, whenever it was started. Names of hosts say nothing: one
/// server has many. Where a role may not see the identifier, the start of the server, in microseconds, stands for it.
pub(super) fn same_database(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let source = cx.source();
    let one_server = source.started_at_us == target.started_at_us;
    let one_cluster = match (&source.system_identifier, &target.system_identifier) {
        (Some(left), Some(right)) => left == right && (one_server || source.in_recovery || target.in_recovery),
        _ => one_server,
    };
    if !one_cluster || source.database_oid != target.database_oid {
        return Vec::new();
    }
    let sentence = format!("The source and the target are the same database, {}.", human(&source.database));
    let why = "A migration onto itself would find the target full, or destroy the source.";
    let fix = "Give the connection string of another database as the target; on the same server, create one first:\n\
               create database \"migrated\" template template0;";
    vec![Finding::new("A3", Severity::Blocker, "target", sentence, why).with_fix(fix)]
}

fn standby(cx: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if cx.source().in_recovery {
        let why = "A standby cancels long reads when they stand in the way of replay, and a copy is one long read. It also \
                   cannot tell where its \
                   snapshot stands in the WAL.";
        let fix = "Give the connection string of the primary as the source. On the standby, this shows its address: \
                   select sender_host, sender_port from pg_stat_wal_receiver; or promote the standby, if it is yours to promote:\n\
                   select pg_promote();";
        let sentence = "The source is a standby.".to_owned();
        findings.push(Finding::new("A6", Severity::Blocker, "source", sentence, why).with_fix(fix));
    }
    if cx.of(Side::Target).is_some_and(|target| target.in_recovery) {
        let why = "Nothing can be written to a standby.";
        let fix = "Give the connection string of the primary as the target, or promote the standby, if it is yours to \
                   promote:\nselect pg_promote();";
        let sentence = "The target is a standby.".to_owned();
        findings.push(Finding::new("A6", Severity::Blocker, "target", sentence, why).with_fix(fix));
    }
    findings
}

fn timeouts(cx: &Context<'_>) -> Vec<Finding> {
    let of = |side: Side| {
        let forced = cx.of(side)?.forced.iter().filter(|setting| setting.name.ends_with("timeout"));
        let names: Vec<String> = forced.map(|setting| format!("{} = {}", setting.name, setting.value)).collect();
        if names.is_empty() {
            return None;
        }
        let sentence = format!("Sessions on the {} begin with {}.", side.name(), names.join(", "));
        let why = "A copy is long; our sessions set these timeouts to 0 for themselves, and for nobody else.";
        Some(Finding::new("A8", Severity::Note, side.name(), sentence, why))
    };
    [Side::Source, Side::Target].into_iter().filter_map(of).collect()
}

fn connections(cx: &Context<'_>) -> Vec<Finding> {
    let wanted = cx.options.jobs_wanted;
    if cx.known.jobs >= wanted {
        return Vec::new();
    }
    let scarcer = [Side::Source, Side::Target].into_iter().filter_map(|side| Some((side, cx.of(side)?)));
    let Some((side, end)) = scarcer.min_by_key(|(_, end)| end.connections.free) else { return Vec::new() };
    let (of, free) = (end.connections, end.connections.free);
    let why =
        "Connections are limited by max_connections, by those kept for superusers, and by limits of the role and the database.";
    let free_words = count(free as usize, "free connection", "free connections");
    let state = format!("The {} has {free_words} for this role (max_connections is {}, in use {})", side.name(), of.max, of.used);
    if cx.known.jobs > 0 {
        let sentence =
            format!("{state}, so the migration runs with {} instead of {wanted}.", count(cx.known.jobs as usize, "job", "jobs"));
        return vec![Finding::new("A9", Severity::Note, side.name(), sentence, why)];
    }
    let sentence = format!("{state}; a migration needs at least {}.", CONNECTIONS_BESIDE_JOBS + 1);
    let fix = format!(
        "Close sessions that are not needed, or lift the limit on the {}. The first two lift limits of the role and the \
         database, the last one needs a restart:\n\
         alter role {} connection limit -1;\nalter database {} connection limit -1;\nalter system set max_connections = {};",
        side.name(),
        cx.role(side),
        crate::pg::names::Ident::new(&end.database),
        of.max + 20,
    );
    vec![Finding::new("A9", Severity::Blocker, side.name(), sentence, why).with_fix(fix)]
}

const NAMES: &str = "
select n.nspname::text as schema, c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

#[derive(Deserialize)]
struct Name {
    schema: String,
    name: String,
}

fn unmatched_patterns(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let names: Vec<(String, String)> = rows.parse::<Name>()?.into_iter().map(|name| (name.schema, name.name)).collect();
    let patterns: Vec<String> = cx.options.scope.unmatched(&names).iter().map(ToString::to_string).collect();
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let which = count(patterns.len(), "pattern matches", "patterns match");
    let sentence = format!("{which} no table, view or sequence of the source: {}.", patterns.join(", "));
    let why = "A pattern with a slip in it would leave out, or take along, what you did not mean.";
    let fix = "Correct it: it is schema or schema.table, with * and ?, and names are written as the catalog holds them.";
    Ok(vec![Finding::new("S1", Severity::Blocker, "source", sentence, why).with_fix(fix)])
}

/// How long a session may be kept waiting before that itself shows a pooler with no session left to give.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// How often the probe is repeated; other clients of the pooler may hide it once.
const PROBES: u32 = 3;

fn poolers<'a>(_: &'a Context<'a>, ends: Ends<'a>) -> Probing<'a> {
    Box::pin(async move {
        let mut findings = Vec::new();
        if let Some(source) = ends.live_source() {
            findings.extend(pooler(Side::Source, source).await?);
        }
        if let Some(target) = ends.target {
            findings.extend(pooler(Side::Target, target).await?);
        }
        Ok(findings)
    })
}

/// Says whether a pooler that hands out backends by transaction stands before an end.
async fn pooler(side: Side, end: End<'_>) -> Result<Vec<Finding>, (Side, PgError)> {
    let shared = match end.second {
        Some(second) => Some(share_backends(end.client, second).await.map_err(|error| (side, error))?),
        None => None,
    };
    let why = "A pooler gives each transaction another backend: snapshots, settings and COPY streams get lost between them, and \
               a migration \
               needs sessions of its own.";
    let fix = match end.pooled.and_then(|hint| hint.direct.as_ref()) {
        Some(direct) => format!(
            "Connect to the server itself: use host {}, port {} and user {} in the connection string of the {}.",
            direct.host,
            direct.port,
            direct.user,
            side.name()
        ),
        None => format!(
            "Connect to the server itself, not to the pooler: take the direct connection string of the {} from your provider's \
             console (often the same host without -pooler, or port 5432 instead of 6543 or 6432).",
            side.name()
        ),
    };
    let name = side.name();
    let (severity, sentence) = match (shared, end.pooled) {
        (Some(true), _) => (Severity::Blocker, format!("The {name} is reached through a pooler that shares backends.")),
        (None, Some(_)) => (Severity::Blocker, format!("The address of the {name} is that of a pooler.")),
        (Some(false), Some(_)) => {
            (Severity::Warning, format!("The address of the {name} is that of a pooler, which gives each session a backend."))
        }
        (_, None) => return Ok(Vec::new()),
    };
    Ok(vec![Finding::new("A4", severity, side.name(), sentence, why).with_fix(fix)])
}

/// Whether two sessions share backends.
///
/// Poolers hand out the backend that was freed last. So while the second session holds a transaction open on it, the first one,
/// asked again, is served by another backend, or by none. On a server itself a session keeps its backend.
async fn share_backends(first: &Client, second: &Client) -> Result<bool, PgError> {
    for _ in 0..PROBES {
        let before = backend(first).await?;
        second.batch_execute("begin transaction read only").await?;
        let held = backend(second).await;
        let after = timeout(PROBE_LIMIT, backend(first)).await;
        second.batch_execute("rollback").await?;
        let Ok(after) = after else { return Ok(true) };
        if before == held? || before != after? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn backend(client: &Client) -> Result<i32, PgError> {
    Ok(client.query_typed_one("select pg_catalog.pg_backend_pid()", &[]).await?.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::super::facts::Known;
    use super::*;

    fn same(change: impl Fn(&mut ServerFacts, &mut ServerFacts)) -> bool {
        let mut known = Known::plain();
        let mut target = known.target_mut().clone();
        change(&mut known.source, &mut target);
        !same_database(&Context { known: &known, options: &Options::copy() }, &target).is_empty()
    }

    #[test]
    fn one_server_and_one_oid_is_one_database() {
        let one_cluster = |source: &mut ServerFacts, target: &mut ServerFacts| {
            target.system_identifier = source.system_identifier.clone();
        };
        let one_server = |source: &mut ServerFacts, target: &mut ServerFacts| {
            one_cluster(source, target);
            target.started_at_us = source.started_at_us;
        };
        assert!(same(one_server));
        assert!(!same(|source, target| (one_server(source, target), target.database_oid = 5).1));
        assert!(!same(one_cluster), "a copied data directory that runs on its own is another database");
        assert!(
            same(|source, target| (one_cluster(source, target), source.in_recovery = true).1),
            "a standby is its primary's database"
        );
        assert!(same(|source, target| (one_server(source, target), source.system_identifier = None).1));
        assert!(!same(|source, _| source.system_identifier = None));
    }

    #[test]
    fn jobs_fit_the_scarcer_side() {
        assert_eq!(jobs_possible(100, 100, 8), 8);
        assert_eq!(jobs_possible(100, 6, 8), 4);
        assert_eq!(jobs_possible(3, 100, 8), 1);
        assert_eq!(jobs_possible(2, 100, 8), 0);
        assert_eq!(jobs_possible(0, 0, 8), 0);
    }
}
