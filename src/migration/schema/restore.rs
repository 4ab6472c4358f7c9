//! Creates entries of the archive on the target: many in one transaction, each noted in the ledger in that same transaction.
//!
//! A batch that fails leaves nothing behind and is done again entry by entry, so that the entry that the target refuses is known. What cannot be done
//! without (tables, their sequences and columns' defaults) stops the migration; anything else is left out with all that needs it, by name, with the
//! server's words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::filter;
use super::script::Entry;
use super::stages::{Stages, stages};
use crate::engine::crash;
use crate::engine::report::{Exit, Report};
use crate::migration::ends::Target;
use crate::migration::error::{Error, Side};
use crate::migration::ledger;
use crate::pg::error::{PgError, ServerError};
use crate::pg::names::human_line;
use crate::pg::wire::Conn;

/// What pg_restore's scripts expect of their session, beside what every session of ours has.
pub const SESSION: &str =
    "set check_function_bodies = off; set xmloption = content; set client_min_messages = error; set synchronous_commit = off;
    set default_tablespace = ''; set default_table_access_method = heap";

/// A transaction takes at most this many entries, so that its locks fit a small `max_locks_per_transaction` …
const BATCH_ENTRIES_MAX: usize = 200;
/// … and this much SQL, in bytes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// What came of creating entries.
#[derive(Debug, Default)]
pub struct Restored {
    /// Entries that the target refused, and those that need them, with the reason.
    pub refused: BTreeMap<u32, String>,
}

/// Creates `entries` in their order, but for those in `done`. `told` hears of the entries of each transaction that was committed.
///
/// # Errors
/// A failure of the target.
pub async fn create(
    conn: &mut Conn,
    entries: &[&Entry],
    done: &BTreeSet<u32>,
    told: &(dyn Fn(&[u32]) + Sync),
) -> Result<Restored, Error> {
    let mut restored = Restored::default();
    let mut rest: Vec<&Entry> = entries.iter().copied().filter(|e| !done.contains(&e.dump_id)).collect();
    while !rest.is_empty() {
        let batch: Vec<&Entry> = rest.drain(..batch_len(&rest)).collect();
        match create_together(conn, &batch).await {
            Ok(()) => told(&ids(&batch)),
            Err(PgError::Server(error)) if !PgError::Server(error.clone()).is_transient() => {
                rollback(conn).await?;
                let refused = create_singly(conn, &batch, told).await?;
                if !refused.is_empty() {
                    leave_out(conn, (&batch, &mut rest), refused, &mut restored).await?;
                }
            }
            Err(error) => return Err(Side::Target.failed("creating the schema", error)),
        }
    }
    Ok(restored)
}

/// Creates all that must be there before the rows, tables side by side on up to `jobs` connections.
///
/// # Errors
/// A failure of the target; or entries that it refused and that cannot be done without, which are tried again by the next run.
pub async fn create_all(target: &Target, jobs: u32, entries: &[&Entry], done: &BTreeSet<u32>) -> Result<Restored, Error> {
    let Stages { first, sets, mut last } = stages(entries);
    let mut conn = target.wire().await?;
    let told = |_: &[u32]| crash::point("schema.batch");
    let mut restored = create(&mut conn, &first, done, &told).await?;
    let mut tables: Vec<&Entry> = sets.iter().flatten().copied().collect();
    if !restored.refused.is_empty() {
        let refused = restored.refused.clone();
        leave_out(&mut conn, (&first, &mut tables), refused, &mut restored).await?;
    }
    let is_open = |entry: &&Entry| !done.contains(&entry.dump_id) && !restored.refused.contains_key(&entry.dump_id);
    let open_sets = sets.into_iter().map(|set| set.into_iter().filter(is_open).collect());
    let refused = create_sets(target, jobs, bundles(open_sets)).await?;
    restored.refused.extend(refused);
    if !restored.refused.is_empty() {
        let refused = restored.refused.clone();
        leave_out(&mut conn, (entries, &mut last), refused, &mut restored).await?;
    }
    restored.refused.extend(create(&mut conn, &last, done, &told).await?.refused);
    if let Err(error) = stop_if_essential(entries, &restored.refused) {
        let forgotten = conn.query("delete from neon_migrate.entry where refused is not null").await;
        forgotten.map_err(|error| Side::Target.failed("creating the schema", error))?;
        return Err(error);
    }
    conn.close().await;
    Ok(restored)
}

/// Creates bundles of entries side by side. Gives what was refused.
async fn create_sets(target: &Target, jobs: u32, bundles: Vec<Vec<&Entry>>) -> Result<BTreeMap<u32, String>, Error> {
    let workers = bundles.len().min(jobs.max(1) as usize);
    let queue = Mutex::new(bundles);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || async {
        let mut conn = target.wire().await?;
        let mut refused = BTreeMap::new();
        while let Some(bundle) = next() {
            let told = |_: &[u32]| crash::point("schema.batch");
            refused.extend(create(&mut conn, &bundle, &BTreeSet::new(), &told).await?.refused);
        }
        conn.close().await;
        Ok::<_, Error>(refused)
    };
    let refused = futures_util::future::try_join_all((0..workers).map(|_| work())).await?;
    Ok(refused.into_iter().flatten().collect())
}

/// Puts sets together until each bundle is worth a few transactions, the largest last, which is taken first.
fn bundles<'a>(sets: impl Iterator<Item = Vec<&'a Entry>>) -> Vec<Vec<&'a Entry>> {
    let mut bundles: Vec<Vec<&Entry>> = Vec::new();
    let mut open: Vec<&Entry> = Vec::new();
    for set in sets {
        open.extend(set);
        if open.len() >= BATCH_ENTRIES_MAX {
            bundles.push(std::mem::take(&mut open));
        }
    }
    if !open.is_empty() {
        bundles.push(open);
    }
    bundles.sort_by_key(Vec::len);
    bundles
}

fn ids(entries: &[&Entry]) -> Vec<u32> {
    entries.iter().map(|e| e.dump_id).collect()
}

fn batch_len(entries: &[&Entry]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&&Entry| {
        bytes += entry.sql.len();
        bytes <= BATCH_BYTES_MAX
    };
    entries.iter().take(BATCH_ENTRIES_MAX).take_while(fits).count().max(1)
}

async fn create_together(conn: &mut Conn, batch: &[&Entry]) -> Result<(), PgError> {
    let mut sql = String::from("begin;\n");
    for entry in batch {
        sql.push_str(&entry.sql);
        // An SQL text may end in a comment, and an entry may lack its last semicolon.
        sql.push_str("\n;\n");
    }
    sql.push_str(&ledger::note_entries(&ids(batch)));
    sql.push_str(";\ncommit");
    conn.query(&sql).await.map(drop)
}

async fn rollback(conn: &mut Conn) -> Result<(), Error> {
    conn.query("rollback").await.map_err(|error| Side::Target.failed("creating the schema", error))?;
    Ok(())
}

/// Creates the entries of a batch one by one; those that are refused are given back with the server's words.
async fn create_singly(conn: &mut Conn, batch: &[&Entry], told: &(dyn Fn(&[u32]) + Sync)) -> Result<BTreeMap<u32, String>, Error> {
    let mut refused = BTreeMap::new();
    for entry in batch {
        if refused.keys().any(|gone| entry.depends_on.contains(gone)) {
            let mut reasons = refused.clone();
            filter::cascade(batch, &mut reasons);
            if let Some(reason) = reasons.remove(&entry.dump_id) {
                refused.insert(entry.dump_id, reason);
                continue;
            }
        }
        match create_together(conn, &[entry]).await {
            Ok(()) => told(&[entry.dump_id]),
            Err(PgError::Server(error)) if !PgError::Server(error.clone()).is_transient() => {
                rollback(conn).await?;
                refused.insert(entry.dump_id, refusal(&error));
            }
            Err(error) => return Err(Side::Target.failed(format!("creating {} {}", entry.kind.to_lowercase(), entry.name), error)),
        }
    }
    Ok(refused)
}

const REFUSED: &str = "The target refused it:";
/// How many refusals that lead to the loss of a table are listed with it.
const ROOTS_MAX: usize = 20;

/// What is said of an entry that the target refused.
pub fn refusal(error: &ServerError) -> String {
    format!("{REFUSED} {error}.")
}

/// Notes refused entries in the ledger, and takes what needs them out of the rest.
async fn leave_out(
    conn: &mut Conn,
    (batch, rest): (&[&Entry], &mut Vec<&Entry>),
    refused: BTreeMap<u32, String>,
    restored: &mut Restored,
) -> Result<(), Error> {
    let known: Vec<&Entry> = batch.iter().filter(|e| refused.contains_key(&e.dump_id)).chain(rest.iter()).copied().collect();
    let mut reasons = refused;
    filter::cascade(&known, &mut reasons);
    rest.retain(|entry| !reasons.contains_key(&entry.dump_id));
    let new = reasons.iter().filter(|(id, _)| !restored.refused.contains_key(id));
    let notes: Vec<String> = new.map(|(id, reason)| ledger::note_refused(*id, reason)).collect();
    conn.query(&notes.join("; ")).await.map_err(|error| Side::Target.failed("noting what was refused", error))?;
    restored.refused.extend(reasons);
    Ok(())
}

/// Kinds without which rows would be lost or could not be written.
const ESSENTIAL: [&str; 6] = ["TABLE", "TABLE ATTACH", "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT", "SCHEMA"];

/// Refuses to go on without tables; all of them are named at once, with what to type.
fn stop_if_essential(entries: &[&Entry], refused: &BTreeMap<u32, String>) -> Result<(), Error> {
    let essential: Vec<(&Entry, &String)> = entries
        .iter()
        .filter(|entry| ESSENTIAL.contains(&entry.kind.as_str()))
        .filter_map(|entry| Some((*entry, refused.get(&entry.dump_id)?)))
        .collect();
    if essential.is_empty() {
        return Ok(());
    }
    let what = if essential.len() == 1 { "an object".to_owned() } else { format!("{} objects", essential.len()) };
    let mut report =
        Report::new("schema-refused", Exit::Target, format!("The target does not take {what} without which rows would be lost."));
    let said =
        |(entry, reason): &(&Entry, &String)| format!("{} {}: {reason}", sentence_case(&entry.kind), human_line(&entry.name));
    report.causes = essential.iter().map(said).collect();
    let roots = entries.iter().filter_map(|entry| Some((*entry, refused.get(&entry.dump_id)?)));
    let roots = roots.filter(|(entry, reason)| reason.starts_with(REFUSED) && !ESSENTIAL.contains(&entry.kind.as_str()));
    report.causes.extend(roots.take(ROOTS_MAX).map(|root| said(&root)));
    let tables = essential.iter().filter(|(entry, _)| entry.kind == "TABLE");
    let exclude: Vec<String> = tables.map(|(entry, _)| format!("--exclude {}", shell_word(&pattern(&entry.name)))).collect();
    let fix = if exclude.is_empty() {
        "Mend the causes and run the same command again.".to_owned()
    } else {
        format!("Mend the causes and run the same command again, or leave these tables out with {}.", exclude.join(" "))
    };
    Err(report.with_fix(fix).into())
}

fn sentence_case(kind: &str) -> String {
    let mut chars = kind.to_lowercase().chars().collect::<Vec<char>>();
    if let Some(first) = chars.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    chars.into_iter().collect()
}

/// The pattern of `--exclude` that selects an entry's table. An archive's list does not say where a schema's name ends; few have a dot in them.
fn pattern(name: &str) -> String {
    let part = |part: &str| {
        let is_plain = part.chars().all(|c| c.is_alphanumeric() || c == '_');
        if is_plain { part.to_owned() } else { format!("\"{}\"", part.replace('"', "\"\"")) }
    };
    name.split_once('.').map_or_else(|| part(name), |(schema, table)| format!("{}.{}", part(schema), part(table)))
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
