//! What a worker does: one job after the other, on one connection to each side.
//!
//! A job that fails ends the whole round: no further job is handed out, the others are finished, and the round is planned anew from what the ledger says.
//! So there is one way back from every failure, be it a lost connection or a target that crashed and forgot its last commits.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::plan::{self, CtidRange, Group};
use super::schedule::{Job, Schedule};
use crate::engine::crash;
use crate::engine::event::{EventKind, TableState};
use crate::engine::step::Cx;
use crate::migration::ends::{Source, Target, begin_in, snapshot_error};
use crate::migration::error::{Error, Side};
use crate::migration::index::{self, Build};
use crate::migration::ledger::{self, Part};
use crate::migration::schema::restore;
use crate::migration::schema::script::Entry;
use crate::migration::verify::{Catalog, HashExpr, Sums};
use crate::pg::catalog::Table;
use crate::pg::error::PgError;
use crate::pg::pump::{self, Pass, PumpError};
use crate::pg::types::{Oid, ServerVersion, SnapshotId};
use crate::pg::wire::Conn;

/// A group, what is known of it and what is being learnt.
#[derive(Debug)]
pub struct GroupWork {
    /// Its tables and ranges.
    pub group: Group,
    /// The indexes that are still to be built.
    pub builds: Vec<Build>,
    /// Rows and bytes that are committed, for each table.
    pub copied: Mutex<Vec<(u64, u64)>>,
    /// How many ranges are still to be copied.
    pub parts_left: Mutex<usize>,
    /// Whether the first range was begun.
    pub begun: AtomicBool,
    /// What was summed up so far on both sides, for each table, and over how many ranges.
    pub sums: Mutex<Vec<[Sums; 2]>>,
    /// How many ranges are still to be compared.
    pub verifies_left: Mutex<usize>,
    /// The target's pages, once they are known.
    pub target_pages: tokio::sync::OnceCell<u64>,
}

impl GroupWork {
    /// Whether its rows are written frozen and known to be visible, in the transaction that empties the table: vacuum has nothing to do then.
    fn is_frozen(&self) -> bool {
        self.group.tables.len() == 1 && !self.group.is_split()
    }

    /// Whether vacuum is worth its time: a small table is read whole sooner than its visibility map is made.
    fn is_worth_a_vacuum(&self) -> bool {
        self.group.is_split()
    }
}

/// The ledger's milestone for a table whose constraints are attached and whose statistics are gathered.
pub(super) fn finished_mark(table: Oid) -> String {
    format!("finished {table}")
}

/// Whether a round copies, or finds out which finished tables a new snapshot shows unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The verdicts are the migration's.
    Copy,
    /// Tables that differ are only noted, to be copied again.
    Reconcile,
}

/// Everything that the workers of a round share.
#[derive(Debug)]
pub struct Round {
    /// The context.
    pub cx: Cx,
    /// The source.
    pub source: Source,
    /// The target.
    pub target: Target,
    /// The target's version.
    pub target_version: ServerVersion,
    /// What the round is for.
    pub purpose: Purpose,
    /// All tables of the migration.
    pub tables: Arc<Vec<Table>>,
    /// How each of them is compared.
    pub hashes: Arc<Vec<HashExpr>>,
    /// The source's tables as the comparison sees them.
    pub compared: Arc<Catalog>,
    /// Whether both sides store text in different encodings.
    pub encodings_differ: bool,
    /// The groups.
    pub groups: Vec<GroupWork>,
    /// The order of jobs.
    pub schedule: Schedule,
    /// The snapshot that rows are read in.
    pub snapshot: SnapshotId,
    /// Its number.
    pub generation: u32,
    /// Tables that differ, by position.
    pub differing: Mutex<Vec<usize>>,
    /// In which generation each table was compared.
    pub verified: Arc<Mutex<HashMap<Oid, u32>>>,
    /// Entries that were created in one go, or refused: there is nothing to attach for them.
    pub settled: Mutex<BTreeSet<u32>>,
}

/// The two connections of a worker, made when they are needed.
#[derive(Debug, Default)]
pub(super) struct Hands {
    source: Option<Conn>,
    target: Option<Conn>,
}

impl Hands {
    pub(super) async fn source(&mut self, source: &Source) -> Result<&mut Conn, Error> {
        if self.source.as_ref().is_none_or(|conn| !conn.is_idle()) {
            self.source = Some(source.wire().await?);
        }
        self.source.as_mut().ok_or(Error::Interrupted)
    }

    pub(super) async fn target(&mut self, target: &Target) -> Result<&mut Conn, Error> {
        if self.target.as_ref().is_none_or(|conn| !conn.is_idle()) {
            self.target = Some(target.wire().await?);
        }
        self.target.as_mut().ok_or(Error::Interrupted)
    }

    /// Both connections at once.
    pub(super) async fn both(&mut self, round: &Round) -> Result<(&mut Conn, &mut Conn), Error> {
        self.source(&round.source).await?;
        self.target(&round.target).await?;
        match (&mut self.source, &mut self.target) {
            (Some(source), Some(target)) => Ok((source, target)),
            _ => Err(Error::Interrupted),
        }
    }
}

/// Works until there is nothing left to do.
///
/// # Errors
/// The first failure, after which no further job is handed out to anyone.
pub async fn work(round: &Round) -> Result<(), Error> {
    let mut hands = Hands::default();
    loop {
        let next = tokio::select! {
            job = round.schedule.next() => job,
            () = round.cx.stop().cancelled() => None,
        };
        let Some(job) = next else {
            return round.cx.safe_point().map_err(|report| {
                round.schedule.stop();
                Error::from(report)
            });
        };
        let done = tokio::select! {
            done = round.job(&mut hands, &job) => done,
            () = round.cx.cancel().cancelled() => Err(Error::Interrupted),
        };
        if let Err(error) = done {
            round.schedule.stop();
            return Err(error);
        }
        round.schedule.finished(&job);
        if round.schedule.data_done().is_cancelled() {
            // The snapshot is given up as soon as nobody is in it.
            if let Some(source) = hands.source.take() {
                source.close().await;
            }
        }
    }
}

impl Round {
    async fn job(&self, hands: &mut Hands, job: &Job) -> Result<(), Error> {
        match job {
            Job::Copy { group, part } => self.copy(hands, &self.groups[*group], *part).await,
            Job::Verify { group, part } => self.verify(hands, &self.groups[*group], *part).await,
            Job::Build { group, builds } => self.build(hands, &self.groups[*group], builds).await,
            Job::Finish { group } => self.finish(hands, &self.groups[*group]).await,
        }
    }

    pub(super) fn tables_of<'a>(&'a self, work: &'a GroupWork) -> impl Iterator<Item = &'a Table> {
        work.group.tables.iter().map(|position| &self.tables[*position])
    }

    /// The words for a group: the table's name, or how many there are.
    pub(super) fn title(&self, work: &GroupWork) -> String {
        match work.group.tables.as_slice() {
            [one] => self.tables[*one].name.human(),
            many => format!("{} small tables", many.len()),
        }
    }

    /// Copies one range, and notes it in the transaction that holds its rows.
    async fn copy(&self, hands: &mut Hands, work: &GroupWork, part: usize) -> Result<(), Error> {
        let range = work.group.ranges[part];
        let title = self.title(work);
        if work.group.tables.len() == 1 && !work.begun.swap(true, Ordering::Relaxed) {
            for table in self.tables_of(work) {
                self.cx.emit(EventKind::Table { id: table.oid, state: TableState::Copying, rows: 0, bytes: 0 }).await?;
            }
        }
        let counters: Vec<_> = self.tables_of(work).map(|table| self.cx.board().table(table.oid)).collect();
        let progress = |index: usize, frames: u64, bytes: u64| counters[index].add(frames, bytes);
        let pass = self.pass(work, range);
        let (source, target) = hands.both(self).await?;
        let passed = match pump::run(source, target, &pass, &progress).await {
            Ok(passed) => passed,
            Err(PumpError::Source(error)) => return Err(snapshot_error(&format!("copying {title}"), error)),
            Err(error @ PumpError::Counts { index, .. }) => {
                let name = self.tables_of(work).nth(index).map_or_else(String::new, |t| t.name.human());
                return Err(Error::from_pump(error, &name));
            }
            Err(error) => return Err(Error::from_pump(error, &title)),
        };
        self.refuse_rewritten(passed.source_answers.iter().rfind(|a| a.tag.starts_with("SELECT")))?;
        crash::point("copy.before-commit");
        let parts = u32::try_from(work.group.ranges.len()).unwrap_or(u32::MAX);
        let number = u32::try_from(part).unwrap_or(u32::MAX);
        let note = |(table, copied): (&Table, &pump::Copied)| {
            let part = Part { parts, generation: self.generation, rows: copied.rows, bytes: copied.bytes };
            (table.oid, number, part)
        };
        let notes: Vec<(Oid, u32, Part)> = self.tables_of(work).zip(&passed.copied).map(note).collect();
        let commit = format!("{}; commit", ledger::note_parts(&notes));
        target.query(&commit).await.map_err(|error| Side::Target.failed(format!("copying {title}"), error))?;
        crash::point("copy.after-commit");
        self.copied(work, &passed.copied).await
    }

    /// The scripts that move one range of a group.
    fn pass(&self, work: &GroupWork, range: CtidRange) -> Pass {
        let mut source_sql = begin_in(&self.snapshot);
        let mut target_sql = String::from("begin");
        // A table that is emptied in the same transaction can be filled with rows that are frozen and known to be visible: vacuum has nothing to do.
        let freeze = work.is_frozen() && self.tables_of(work).all(|t| t.config_condition.is_none() && !t.is_root);
        for table in self.tables_of(work) {
            source_sql.push_str("; ");
            source_sql.push_str(&plan::copy_out(table, range));
            if freeze {
                target_sql.push_str(&format!("; truncate only {}", table.name));
            }
            target_sql.push_str("; ");
            target_sql.push_str(&plan::copy_in(table, freeze));
        }
        source_sql.push_str(&format!("; {}; commit", self.rewritten_sql(work)));
        Pass { source_sql, target_sql, copies: work.group.tables.len() }
    }

    /// The statement that [`Round::refuse_rewritten`] looks at.
    pub(super) fn rewritten_sql(&self, work: &GroupWork) -> String {
        let oids: Vec<String> = self.tables_of(work).map(|t| t.oid.to_string()).collect();
        format!(
            "select relname from pg_catalog.pg_class where oid in ({}) and relfilenode <> pg_catalog.pg_relation_filenode(oid)",
            oids.join(", ")
        )
    }

    /// Refuses rows of a table that was truncated or rewritten after the snapshot: it looks empty then, or may miss rows, to a transaction with an older
    /// snapshot (Postgres documentation, "Caveats" of concurrency control). In the snapshot, `pg_class` still has the old file; the function
    /// gives the present one.
    pub(super) fn refuse_rewritten(&self, answer: Option<&crate::pg::wire::Answer>) -> Result<(), Error> {
        match answer.and_then(|answer| answer.rows.first()?.first().cloned().flatten()) {
            None => Ok(()),
            Some(name) => Err(Error::Rewritten { doing: format!("copying {}", crate::pg::names::human(&name)) }),
        }
    }

    /// Tells of rows that are committed.
    async fn copied(&self, work: &GroupWork, copied: &[pump::Copied]) -> Result<(), Error> {
        let totals = {
            let mut totals = lock(&work.copied);
            for (total, copied) in totals.iter_mut().zip(copied) {
                total.0 += copied.rows;
                total.1 += copied.bytes;
            }
            let mut left = lock(&work.parts_left);
            *left = left.saturating_sub(1);
            if *left > 0 {
                return Ok(());
            }
            totals.clone()
        };
        let told = self.tables_of(work).zip(totals);
        let told = told.map(|(table, (rows, bytes))| EventKind::Table { id: table.oid, state: TableState::Copied, rows, bytes });
        self.cx.emit_all(told.collect()).await.map_err(Error::from)
    }

    /// Builds indexes: those of small tables together, one of a large table alone.
    async fn build(&self, hands: &mut Hands, work: &GroupWork, positions: &[usize]) -> Result<(), Error> {
        let builds: Vec<&Build> = positions.iter().map(|position| &work.builds[*position]).collect();
        let target = hands.target(&self.target).await?;
        crash::point("index.before");
        if let ([build], [_]) = (builds.as_slice(), work.group.tables.as_slice()) {
            return self.build_one(target, build).await;
        }
        let entries: Vec<_> = builds.iter().map(|build| &build.entry).collect();
        self.restore_entries(target, &entries).await
    }

    async fn build_one(&self, target: &mut Conn, build: &Build) -> Result<(), Error> {
        let started = EventKind::BuildStarted { id: build.entry.dump_id, kind: build.entry.kind.clone(), name: build.name.clone() };
        self.cx.emit(started).await?;
        let settings = index::settings(&build.access_method, self.target_version);
        let note = match &build.attach {
            None => ledger::note_entries(&[build.entry.dump_id]),
            Some(_) => ledger::note_mark(&build.mark(), "built"),
        };
        let sql = format!("begin; {settings}; {}\n; {note}; commit", build.create);
        match target.query(&sql).await {
            Ok(_) => {}
            Err(PgError::Server(error)) if !PgError::Server(error.clone()).is_transient() => {
                target.query("rollback").await.map_err(|error| Side::Target.failed("building an index", error))?;
                // The archive's own statement says by name what is refused, and is noted like any other.
                self.restore_entries(target, &[&build.entry]).await?;
            }
            Err(error) => return Err(Side::Target.failed(format!("building {}", build.name), error)),
        }
        crash::point("index.after-commit");
        self.cx.emit(EventKind::BuildFinished { ids: vec![build.entry.dump_id] }).await?;
        Ok(())
    }

    /// Attaches constraints, and gathers statistics, so that the first query is not a slow one.
    async fn finish(&self, hands: &mut Hands, work: &GroupWork) -> Result<(), Error> {
        let target = hands.target(&self.target).await?;
        self.attach(target, work).await?;
        // Up to 17 `analyze` of a partitioned table looks at its partitions too, and it is looked at later.
        let with_root = self.target_version.major() < 18;
        let analyzed: Vec<&Table> = self.tables_of(work).filter(|table| !(with_root && table.is_partition)).collect();
        let (analyze, vacuum) = if work.is_worth_a_vacuum() { ("vacuum (analyze)", "vacuum") } else { ("analyze", "") };
        let others: Vec<&Table> =
            self.tables_of(work).filter(|table| with_root && table.is_partition && !vacuum.is_empty()).collect();
        for (statement, tables) in [(analyze, analyzed), (vacuum, others)] {
            if !tables.is_empty() {
                let names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
                let done = target.query(&format!("{statement} {}", names.join(", "))).await;
                done.map_err(|error| Side::Target.failed(format!("gathering statistics of {}", self.title(work)), error))?;
            }
        }
        let marks: Vec<String> = self.tables_of(work).map(|table| finished_mark(table.oid)).collect();
        let noted = target.query(&ledger::note_marks(&marks)).await;
        noted.map(drop).map_err(|error| Side::Target.failed("noting what is finished", error))
    }

    /// Makes constraints of the indexes that were built for them.
    async fn attach(&self, target: &mut Conn, work: &GroupWork) -> Result<(), Error> {
        for build in &work.builds {
            let Some(attach) = &build.attach else { continue };
            let id = build.entry.dump_id;
            if lock(&self.settled).contains(&id) {
                continue;
            }
            let failed = |error| Side::Target.failed(format!("attaching {}", build.name), error);
            match target.query(&format!("begin; {attach}; {}; commit", ledger::note_entries(&[id]))).await {
                Ok(_) => crash::point("index.attached"),
                Err(PgError::Server(error)) if !PgError::Server(error.clone()).is_transient() => {
                    let reason = restore::refusal(&error);
                    target.query(&format!("rollback; {}", ledger::note_refused(id, &reason))).await.map_err(failed)?;
                    let (kind, name) = (build.entry.kind.clone(), build.name.clone());
                    self.cx.emit(EventKind::LeftOut { kind, name, reason }).await?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Creates entries as the archive has them; what the target refuses is told.
    async fn restore_entries(&self, target: &mut Conn, entries: &[&Entry]) -> Result<(), Error> {
        let restored = restore::create(target, entries, &BTreeSet::new(), &|_| {}).await?;
        lock(&self.settled).extend(entries.iter().map(|entry| entry.dump_id));
        for entry in entries {
            if let Some(reason) = restored.refused.get(&entry.dump_id) {
                let (kind, name) = (entry.kind.clone(), entry.name.clone());
                self.cx.emit(EventKind::LeftOut { kind, name, reason: reason.clone() }).await?;
            }
        }
        self.cx.emit(EventKind::BuildFinished { ids: entries.iter().map(|e| e.dump_id).collect() }).await?;
        Ok(())
    }
}

/// Locks a mutex whose holders cannot leave it broken.
pub(in crate::migration) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
