//! Comparing two databases at rest: every table, in one snapshot of each side.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::catalog::{Catalog, Table};
use super::drill::{Side, differences};
use super::plan::{
    Column, CtidRange, HashExpr, KeyedSql, Method, Sums, compare, from_clause, hash_plan, parse_sums, sums_sql, table_sql,
};
use crate::engine::event::{TableVerdict, Verdict};
use crate::pg::error::PgError;
use crate::pg::names::{QualifiedName, literal};
use crate::pg::types::Oid;

const ROLLBACK: &str = "rollback to savepoint verify";
/// How long one statement may take: one range, or one whole partitioned table.
const STATEMENT_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Bytes of a table that one statement reads, between these.
const RANGE_BYTES: std::ops::RangeInclusive<u64> = 32 << 20..=256 << 20;
/// A table below this size is small: statements for up to [`BATCH`] of them travel together, because the way there and back takes
/// longer than the work.
const SMALL_BYTES: u64 = 256 << 10;
const BATCH: usize = 32;

/// What to compare, and how.
pub struct Options<'a> {
    /// How.
    pub method: Method,
    /// Which tables of the source; a partitioned table is asked for by the names of its partitions and its own.
    pub include: &'a (dyn Fn(&QualifiedName) -> bool + Sync),
    /// Stops the comparison at the next statement.
    pub cancel: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Tables that are equal.
    pub matching: u64,
    /// Tables that differ.
    pub mismatching: u64,
    /// Tables that could not be compared.
    pub not_evaluated: u64,
    /// Rows of the source in tables that are equal.
    pub rows: u64,
}

/// Why nothing, or not everything, was compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The source failed.
    #[error("the source could not be read: {0}")]
    Source(#[source] PgError),
    /// The target failed.
    #[error("the target could not be read: {0}")]
    Target(#[source] PgError),
    /// No session was given for a side.
    #[error("no connection was given to compare with")]
    NoSessions,
    /// Interrupted.
    #[error("the comparison was interrupted")]
    Cancelled,
}

/// Compares all tables of two databases that nobody writes to, or whose writes after the start are not to count.
///
/// Each side's sessions (as many as are to work at once, at least one) share one snapshot, taken here; they must not be in a
/// transaction, and are used up. `on_table` is called once for each table, when its verdict is known; a table that is only on the
/// target has a verdict too.
pub async fn run<C: Borrow<Client> + Sync>(
    source: Vec<C>,
    target: Vec<C>,
    options: &Options<'_>,
    on_table: impl Fn(TableVerdict) + Send + Sync,
) -> Result<Summary, VerifyError> {
    if source.is_empty() || target.is_empty() {
        return Err(VerifyError::NoSessions);
    }
    let (a, b) = tokio::join!(open(&source), open(&target));
    let (source_catalog, target_catalog) = (a.map_err(VerifyError::Source)?, b.map_err(VerifyError::Target)?);
    let jobs = source.len().max(target.len()) as u64;
    let plan = Plan::new(&source_catalog, &target_catalog, options, jobs);
    let mut summary = Summary::default();
    let mut report = |verdict: TableVerdict| {
        summary.add(&verdict);
        on_table(verdict);
    };
    plan.skipped.iter().cloned().for_each(&mut report);
    let queues = (Mutex::new(plan.pieces(0)), Mutex::new(plan.pieces(1)));
    let (sender, receiver) = mpsc::channel(64);
    let workers = async {
        let source_side = source.iter().map(|client| work(client.borrow(), 0, &queues.0, sender.clone(), options.cancel));
        let target_side = target.iter().map(|client| work(client.borrow(), 1, &queues.1, sender.clone(), options.cancel));
        tokio::join!(join_all(source_side), join_all(target_side));
        drop(sender);
    };
    let ((), mismatches) = tokio::join!(workers, collect(&plan, receiver, options.cancel, &mut report));
    for mut verdict in mismatches {
        tokio::select! {
            () = options.cancel.cancelled() => break,
            () = explain(&plan, (alive(&source), alive(&target)), &mut verdict) => report(verdict),
        }
    }
    if options.cancel.is_cancelled() { Err(VerifyError::Cancelled) } else { Ok(summary) }
}

/// A session that still lives; the first one if none does, to say why.
fn alive<C: Borrow<Client>>(clients: &[C]) -> &Client {
    clients.iter().map(Borrow::borrow).find(|client: &&Client| !client.is_closed()).unwrap_or_else(|| clients[0].borrow())
}

impl Summary {
    fn add(&mut self, verdict: &TableVerdict) {
        match verdict.verdict {
            Verdict::Match => {
                self.matching += 1;
                self.rows += verdict.source_rows;
            }
            Verdict::Mismatch => self.mismatching += 1,
            Verdict::Hot | Verdict::NotEvaluated => self.not_evaluated += 1,
        }
    }
}

/// Puts all sessions in one snapshot and reads the catalog in it. The savepoint keeps the snapshot through failing statements.
async fn open<C: Borrow<Client>>(clients: &[C]) -> Result<Catalog, PgError> {
    const BEGIN: &str = "begin isolation level repeatable read, read only;";
    let Some((first, others)) = clients.split_first() else { return Ok(Catalog::default()) };
    let first = first.borrow();
    first.batch_execute(&format!("{} {BEGIN}", super::session_sql())).await?;
    let snapshot: String = first.query_one("select pg_export_snapshot()", &[]).await?.try_get(0)?;
    first.batch_execute("savepoint verify").await?;
    let import = format!("{} {BEGIN} set transaction snapshot {}; savepoint verify", super::session_sql(), literal(&snapshot));
    futures_util::future::try_join_all(others.iter().map(|client| client.borrow().batch_execute(&import))).await?;
    Catalog::load(first).await
}

/// One table as both sides have it.
struct Entry {
    id: Oid,
    names: [QualifiedName; 2],
    pages: [u64; 2],
    bytes: u64,
    only: bool,
    condition: Option<String>,
    expr: HashExpr,
    key: Vec<Column>,
}

/// One statement of the comparison.
#[derive(Debug)]
struct Piece {
    entry: usize,
    sql: String,
    /// So small that several are sent at once.
    small: bool,
}

struct Plan {
    entries: Vec<Entry>,
    skipped: Vec<TableVerdict>,
    encodings_differ: bool,
    range_pages: u32,
}

impl Plan {
    fn new(source: &Catalog, target: &Catalog, options: &Options<'_>, jobs: u64) -> Plan {
        let encodings_differ = source.encoding != target.encoding;
        let total: u64 = source.tables.iter().map(|table| table.bytes).sum();
        let bytes = (total / (jobs * 4)).clamp(*RANGE_BYTES.start(), *RANGE_BYTES.end());
        let range_pages = u32::try_from(bytes / 8192).unwrap_or(u32::MAX);
        let mut plan = Plan { entries: Vec::new(), skipped: Vec::new(), encodings_differ, range_pages };
        let on_target: HashMap<&QualifiedName, &Table> = target.tables.iter().map(|table| (&table.name, table)).collect();
        let whole = compared_as_whole(source, target);
        let by_oid: HashMap<Oid, &Table> = source.tables.iter().map(|table| (table.oid, table)).collect();
        let mut seen = HashSet::new();
        for table in source.tables.iter().filter(|table| (options.include)(&table.name)) {
            seen.insert(&table.name);
            let is_whole = whole.contains(&table.name);
            let covered = ancestors(table, &by_oid).any(|parent| whole.contains(&parent.name) && (options.include)(&parent.name));
            if covered || (table.relkind == 'p' && !is_whole) {
                continue;
            }
            match on_target.get(&table.name) {
                _ if table.relkind == 'f' => plan.skip(table, "It is a foreign table: its rows are not in this database."),
                _ if table.relkind == 'm' => plan.skip(table, "It is a materialized view: its rows follow from other tables."),
                None => plan.skip(table, "The target has no such table."),
                Some(other) if !matches!(other.relkind, 'r' | 'p') => plan.skip(table, "On the target it is not a table."),
                Some(other) => plan.entries.push(entry(table, other, source, options.method, encodings_differ)),
            }
        }
        let target_by_oid: HashMap<Oid, &Table> = target.tables.iter().map(|table| (table.oid, table)).collect();
        for table in target.tables.iter().filter(|table| table.relkind == 'r' && !seen.contains(&table.name)) {
            let covered = ancestors(table, &target_by_oid).any(|parent| whole.contains(&parent.name));
            if !covered && (options.include)(&table.name) && table.condition.is_none() {
                plan.skip(table, "Only the target has this table.");
            }
        }
        plan.entries.sort_by_key(|entry| std::cmp::Reverse(entry.bytes));
        plan
    }

    fn skip(&mut self, table: &Table, reason: &str) {
        self.skipped.push(not_evaluated(table.oid, &table.name, reason.to_owned()));
    }

    /// The statements for one side, the largest table first.
    fn pieces(&self, side: usize) -> VecDeque<Piece> {
        let mut pieces = VecDeque::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let name = &entry.names[side];
            if let Some(condition) = &entry.condition {
                let sql = sums_sql(&from_clause(name, entry.only, &[format!("({condition})")]), &entry.expr);
                pieces.push_back(Piece { entry: index, sql, small: false });
                continue;
            }
            let ranges = CtidRange::split(entry.pages[side], self.range_pages);
            let small = entry.only && entry.bytes < SMALL_BYTES;
            pieces.extend(ranges.into_iter().map(|range| {
                let range = entry.only.then_some(range);
                Piece { entry: index, sql: table_sql(name, entry.only, &entry.expr, range), small }
            }));
        }
        pieces
    }
}

fn ancestors<'a>(table: &Table, by_oid: &'a HashMap<Oid, &'a Table>) -> impl Iterator<Item = &'a Table> {
    let up = |oid: Option<Oid>| oid.and_then(|oid| by_oid.get(&oid).copied());
    std::iter::successors(up(table.parent), move |table| up(table.parent))
}

/// Partitioned tables of the source that are partitioned otherwise on the target (or not at all): they are compared as one, not
/// by partition, and so are those whose rows are hashed to other partitions there. The same holds for a plain table of the source that is partitioned on the target.
fn compared_as_whole(source: &Catalog, target: &Catalog) -> HashSet<QualifiedName> {
    let (of_source, of_target) = (leaves(source), leaves(target));
    let differ = |table: &&Table| {
        of_target.get(&table.name).is_some_and(|other| table.is_rehashed || of_source.get(&table.name) != Some(other))
    };
    let roots = source.tables.iter().filter(|table| table.parent.is_none() && matches!(table.relkind, 'r' | 'p'));
    roots.filter(differ).map(|table| table.name.clone()).collect()
}

/// The leaf partitions below each root, by name; a plain table has itself.
fn leaves(catalog: &Catalog) -> HashMap<QualifiedName, HashSet<QualifiedName>> {
    let by_oid: HashMap<Oid, &Table> = catalog.tables.iter().map(|table| (table.oid, table)).collect();
    let mut leaves: HashMap<QualifiedName, HashSet<QualifiedName>> = HashMap::new();
    for table in catalog.tables.iter().filter(|table| table.relkind != 'm') {
        let root = ancestors(table, &by_oid).last().unwrap_or(table);
        let below = leaves.entry(root.name.clone()).or_default();
        if table.relkind != 'p' {
            below.insert(table.name.clone());
        }
    }
    leaves
}

fn entry(table: &Table, other: &Table, source: &Catalog, method: Method, encodings_differ: bool) -> Entry {
    let only = table.relkind == 'r' && other.relkind == 'r';
    Entry {
        id: table.oid,
        names: [table.name.clone(), other.name.clone()],
        pages: if only { [table.pages, other.pages] } else { [0, 0] },
        bytes: table.bytes.max(other.bytes),
        only,
        condition: table.condition.clone(),
        expr: hash_plan(source.columns(table.oid), method, encodings_differ),
        key: source.key(table),
    }
}

fn not_evaluated(id: Oid, name: &QualifiedName, reason: String) -> TableVerdict {
    TableVerdict {
        id,
        name: name.human(),
        verdict: Verdict::NotEvaluated,
        method: "none".to_owned(),
        source_rows: 0,
        target_rows: 0,
        differences: Vec::new(),
        reason: Some(reason),
    }
}

/// What a worker found out: the piece's table, the side, and its sums or why there are none.
type Found = (usize, usize, Result<Sums, String>);

/// Takes pieces from the side's queue. A session that is lost leaves pieces behind for the others; `collect` sees those that
/// nobody did.
async fn work(
    client: &Client,
    side: usize,
    queue: &Mutex<VecDeque<Piece>>,
    sender: mpsc::Sender<Found>,
    cancel: &CancellationToken,
) {
    while !client.is_closed() {
        let batch = next_batch(queue);
        if batch.is_empty() {
            return;
        }
        let results = tokio::select! {
            () = cancel.cancelled() => return,
            results = run_batch(client, &batch) => results,
        };
        let hangs = results.iter().any(|result| matches!(result, Err(PgError::Timeout { .. })));
        for (piece, result) in batch.iter().zip(results) {
            let result = result.map_err(|error| format!("The {} could not be read: {error}.", ["source", "target"][side]));
            if sender.send((piece.entry, side, result)).await.is_err() {
                return;
            }
        }
        if hangs {
            return;
        }
    }
}

/// One piece, or several small ones.
fn next_batch(queue: &Mutex<VecDeque<Piece>>) -> Vec<Piece> {
    let mut queue = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let small = queue.iter().take(BATCH).take_while(|piece| piece.small).count();
    let count = small.max(1).min(queue.len());
    queue.drain(..count).collect()
}

/// Sends all statements at once. A failing one takes those behind it along; these are tried again one by one.
///
/// Going back to the savepoint gives up the locks as well: one transaction that holds a lock on each of 10,000 tables would fill
/// the server's lock table, for itself and for everybody else.
async fn run_batch(client: &Client, batch: &[Piece]) -> Vec<Result<Sums, PgError>> {
    let mut results = join_all(batch.iter().map(|piece| sums(client, &piece.sql))).await;
    let aborted = |result: &Result<Sums, PgError>| matches!(result, Err(error) if error.sqlstate() == Some("25P02"));
    // Where going back fails, the session is lost, and the next statement says so.
    let _ = client.batch_execute(ROLLBACK).await;
    for (piece, result) in batch.iter().zip(&mut results).filter(|(_, result)| aborted(result)) {
        *result = sums(client, &piece.sql).await;
        let _ = client.batch_execute(ROLLBACK).await;
    }
    results
}

async fn sums(client: &Client, sql: &str) -> Result<Sums, PgError> {
    let limit = PgError::Timeout { what: "summing up a table".to_owned(), limit_s: STATEMENT_LIMIT.as_secs() };
    let messages = tokio::time::timeout(STATEMENT_LIMIT, client.simple_query(sql)).await.map_err(|_| limit)??;
    let row = messages.iter().find_map(|m| if let SimpleQueryMessage::Row(row) = m { Some(row) } else { None });
    let sums = row.and_then(|row| parse_sums(row.get(0), row.get(1)));
    sums.ok_or_else(|| PgError::Protocol("sums that are not numbers".to_owned()))
}

/// A table on its way: what is summed up, and how many pieces are missing.
#[derive(Default)]
struct Tally {
    sums: [Sums; 2],
    missing: usize,
    reason: Option<String>,
}

/// Adds up what the workers find; reports tables as they are done, and gives back those that differ.
async fn collect(
    plan: &Plan,
    mut found: mpsc::Receiver<Found>,
    cancel: &CancellationToken,
    report: &mut impl FnMut(TableVerdict),
) -> Vec<TableVerdict> {
    let mut tallies: Vec<Tally> = plan.entries.iter().map(|_| Tally::default()).collect();
    for piece in plan.pieces(0).iter().chain(&plan.pieces(1)) {
        tallies[piece.entry].missing += 1;
    }
    let mut mismatches = Vec::new();
    while let Some((index, side, result)) = found.recv().await {
        let tally = &mut tallies[index];
        tally.missing -= 1;
        match result {
            Ok(sums) => tally.sums[side] += sums,
            Err(reason) => tally.reason = Some(reason),
        }
        if tally.missing == 0 {
            let verdict = verdict(&plan.entries[index], tally);
            if verdict.verdict == Verdict::Mismatch { mismatches.push(verdict) } else { report(verdict) }
        }
    }
    if cancel.is_cancelled() {
        return mismatches;
    }
    for (entry, tally) in plan.entries.iter().zip(&tallies).filter(|(_, tally)| tally.missing > 0) {
        let reason = tally.reason.clone().unwrap_or_else(|| "The connections were lost before it was compared.".to_owned());
        report(not_evaluated(entry.id, &entry.names[0], reason));
    }
    mismatches
}

fn verdict(entry: &Entry, tally: &Tally) -> TableVerdict {
    if let Some(reason) = &tally.reason {
        return not_evaluated(entry.id, &entry.names[0], reason.clone());
    }
    TableVerdict {
        id: entry.id,
        name: entry.names[0].human(),
        verdict: compare(tally.sums[0], tally.sums[1]),
        method: entry.expr.method.as_str().to_owned(),
        source_rows: tally.sums[0].rows,
        target_rows: tally.sums[1].rows,
        differences: Vec::new(),
        reason: None,
    }
}

/// Adds the differing rows to a mismatch. It stays a mismatch whatever comes of it.
async fn explain(plan: &Plan, clients: (&Client, &Client), verdict: &mut TableVerdict) {
    let Some(entry) = plan.entries.iter().find(|entry| entry.id == verdict.id) else { return };
    let Some(row) = entry.expr.row() else { return };
    let sql = |side: usize| KeyedSql {
        table: &entry.names[side],
        only: entry.only,
        condition: entry.condition.as_deref(),
        key: &entry.key,
        row,
        encodings_differ: plan.encodings_differ,
    };
    let (source, target) = (Side { client: clients.0, sql: sql(0) }, Side { client: clients.1, sql: sql(1) });
    let search = differences(&source, &target, verdict.source_rows.max(verdict.target_rows));
    match tokio::time::timeout(STATEMENT_LIMIT, search).await {
        Ok(Ok(found)) => {
            verdict.reason = found.capped.then(|| format!("More rows differ than the {} listed.", found.listed.len()));
            verdict.differences = found.listed;
        }
        Ok(Err(error)) => {
            verdict.reason = Some(format!("The differing rows could not be listed: {error}."));
            let _ = tokio::join!(clients.0.batch_execute(ROLLBACK), clients.1.batch_execute(ROLLBACK));
        }
        Err(_) => verdict.reason = Some(format!("The differing rows were not listed within {} s.", STATEMENT_LIMIT.as_secs())),
    }
}
