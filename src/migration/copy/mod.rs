//! The copy of all rows, and what is built on them, in rounds.
//!
//! Each round begins with what the ledger on the target says, so that it does not matter how the last one ended: a lost connection, a target that
//! crashed and forgot its last commits, or this program killed. The end result is always one consistent state of the source: all rows of all
//! tables as one snapshot shows them. A snapshot cannot outlive its session, so after a loss
//!
//! * a new snapshot is taken (a new *generation*),
//! * tables that were finished in an older one are compared with it: those that are equal are carried over, because what they hold is also what the new
//!   snapshot shows; those that the application changed meanwhile are emptied and copied again, and named,
//! * tables of which only some ranges were committed are emptied and copied again: ranges of two snapshots do not make one table.
//!
//! Commits are not waited for on the target's disk, so that a server that crashes forgets the last of them, and workers that have no connection at
//! that moment do not notice. Therefore each round has a *witness*: a session that reads the ledger first, is open as long as the round lasts, and
//! makes everything durable at its end by a commit that is waited for (WAL is flushed in order). A crash ends every session; so if the witness's
//! commit succeeds, nothing was forgotten between, and if it does not, the next round reads what is left.

mod compare;
pub mod plan;
pub mod schedule;
pub mod snapshot;
mod worker;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use self::plan::{BuildCost, CtidRange, Cutting, Group};
use self::schedule::{GroupPlan, Schedule};
use self::snapshot::Snapshot;
pub(super) use self::worker::lock;
use self::worker::{GroupWork, Purpose, Round, finished_mark};
use super::ends::{Source, Target, in_time};
use super::error::{Error, Side};
use super::index::Build;
use super::large_objects;
use super::ledger::{self, Found, Ledger};
use super::schema::archive::Keep;
use super::shapes::Shapes;
use super::verify::{Catalog, HashExpr, Method, Sums, hash_plan};
use crate::engine::crash;
use crate::engine::event::{EventKind, PlannedTable};
use crate::engine::retry::{Attempts, Backoff};
use crate::engine::step::{Cx, ToReport};
use crate::pg::catalog::Table;
use crate::pg::names::human;
use crate::pg::types::{Oid, ServerVersion};
use crate::pg::wire::Conn;

/// The ledger's milestone: all rows are there, as of one snapshot.
const DATA_MARK: &str = "data";
/// The ledger's milestone: the number of the latest snapshot.
const SNAPSHOT_MARK: &str = "snapshot";

/// What is to be copied, and how.
#[derive(Debug)]
pub struct Copy {
    /// The context.
    pub cx: Cx,
    /// The source.
    pub source: Source,
    /// The target.
    pub target: Target,
    /// The migration's id.
    pub migration: String,
    /// The target's version.
    pub target_version: ServerVersion,
    /// The tables with rows.
    pub tables: Arc<Vec<Table>>,
    /// The same as the comparison sees them.
    pub compared: Arc<Catalog>,
    /// Whether both sides store text in different encodings.
    pub encodings_differ: bool,
    /// How tables are compared; not at all if there is none.
    pub method: Option<Method>,
    /// The indexes and constraints that are built on the tables.
    pub builds: Vec<Build>,
    /// How many other entries follow.
    pub post_data: u64,
    /// How many connections work at once on each side.
    pub jobs: u32,
    /// From which size on a table is cut into ranges, in bytes; by the plan if the person said nothing.
    pub split_bytes: Option<u64>,
    /// How each table was cut by this process.
    pub cuts: Mutex<HashMap<Oid, Vec<CtidRange>>>,
    /// What of ownership and rights is carried over.
    pub keep: Keep,
    /// In which generation each table was compared by this process.
    pub verified: Arc<Mutex<HashMap<Oid, u32>>>,
    /// The tables as they were when the schema was read.
    pub shapes: Arc<Shapes>,
}

impl Copy {
    /// Copies everything and builds what belongs to the tables. `snapshot` is the one that the schema was read in, if it is still there.
    ///
    /// # Errors
    /// What could not be mended by trying again.
    pub async fn run(&self, mut snapshot: Option<Snapshot>) -> Result<(), Error> {
        let backoff = Backoff::server();
        let mut attempts = Attempts::new(backoff);
        let (mut generation, mut progress) = (0, 0);
        loop {
            let again = attempts.failed() > 0;
            let round = async {
                if again {
                    // What the last round began may still be running there, and may yet be committed.
                    self.target.end_orphans().await?;
                }
                self.round(&mut snapshot, &mut generation, &mut progress_of(&mut attempts, &mut progress)).await
            };
            let error = match round.await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(pause) = attempts.pause().filter(|_| error.is_transient()) else { return Err(error) };
            if matches!(error, Error::SnapshotLost { .. } | Error::Rewritten { .. }) {
                snapshot = None;
            }
            let report = error.to_report();
            let reason =
                std::iter::once(&report.message).chain(report.causes.first()).map(String::as_str).collect::<Vec<_>>().join(" ");
            self.cx
                .emit(EventKind::Retrying {
                    what: "copying the data".to_owned(),
                    attempt: attempts.failed(),
                    attempts_max: backoff.attempts_max,
                    delay_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    reason,
                })
                .await?;
            if self.cx.stop().run_until_cancelled(attempts.wait(pause)).await.is_none() {
                return Err(Error::Interrupted);
            }
        }
    }

    /// One round: reads the ledger, and does what it says is left.
    async fn round(
        &self,
        snapshot: &mut Option<Snapshot>,
        generation: &mut u32,
        on_progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), Error> {
        let mut witness = self.target.wire().await?;
        let mut ledger = self.read_ledger(&mut witness).await?;
        if ledger.has_crashed {
            self.settle_crash(&mut witness, &ledger).await?;
            ledger = self.read_ledger(&mut witness).await?;
        }
        on_progress(ledger.parts.values().map(BTreeMap::len).sum::<usize>() + ledger.entries.len() + ledger.marks.len());
        if ledger.marks.contains_key(DATA_MARK) {
            self.build_only(&ledger).await?;
        } else {
            self.hold_snapshot(&mut witness, &ledger, snapshot, generation).await?;
            let Some(held) = snapshot.as_ref() else { return Err(Error::Interrupted) };
            if self.settle_older(&ledger, held, *generation).await? {
                ledger = self.read_ledger(&mut witness).await?;
            }
            self.copy_round(&ledger, snapshot, *generation, &mut witness).await?;
        }
        ledger::make_durable(&mut witness)
            .await
            .map_err(|error| Side::Target.failed("making all rows and indexes durable", error))?;
        witness.close().await;
        Ok(())
    }

    async fn read_ledger(&self, conn: &mut Conn) -> Result<Ledger, Error> {
        let found = ledger::read(conn, &self.migration).await;
        let failed = |error| Side::Target.failed("reading the ledger", error);
        match found.map_err(failed)? {
            Found::Ours(ledger) => {
                ledger::forget_unconfirmed(conn).await.map_err(failed)?;
                Ok(ledger)
            }
            Found::Nothing | Found::Foreign { .. } => Err(ledger_gone().into()),
        }
    }

    /// After a crash of the target unlogged tables are empty: they are to be copied again.
    async fn settle_crash(&self, witness: &mut Conn, ledger: &Ledger) -> Result<(), Error> {
        let emptied = self.tables.iter().filter(|table| table.unlogged && ledger.parts.contains_key(&table.oid));
        let (oids, names): (Vec<Oid>, Vec<String>) = emptied.map(|table| (table.oid, table.name.human())).unzip();
        let mut sql = format!("begin; {}", ledger::AWAKE);
        if !oids.is_empty() {
            if ledger.marks.contains_key(DATA_MARK) {
                return Err(unlogged_emptied(&names).into());
            }
            let finished: Vec<String> = oids.iter().map(|oid| finished_mark(*oid)).collect();
            sql.push_str(&format!("; {}; {}", ledger::forget_parts(&oids), ledger::forget_marks(&finished)));
            let message =
                format!("The target crashed, which empties unlogged tables; they are copied again: {}.", names.join(", "));
            self.cx.emit(EventKind::Notice { message, warning: true }).await?;
        }
        sql.push_str("; commit");
        witness.query(&sql).await.map(drop).map_err(|error| Side::Target.failed("emptying tables that are copied again", error))
    }

    /// Takes a new snapshot if the last one is lost, and numbers it. Its number is never one that was used before: large objects and
    /// comparisons are remembered by it.
    async fn hold_snapshot(
        &self,
        witness: &mut Conn,
        ledger: &Ledger,
        snapshot: &mut Option<Snapshot>,
        generation: &mut u32,
    ) -> Result<(), Error> {
        if snapshot.as_ref().is_none_or(Snapshot::is_lost) {
            let taken = Snapshot::take(&self.source).await?;
            let source = self.source.sql_in(&taken.id).await?;
            let now = in_time(Side::Source, "reading the columns of all tables", Shapes::read(&source)).await?;
            self.shapes.check(&now, self.tables.iter().map(|table| table.oid))?;
            *snapshot = Some(taken);
        } else if *generation > 0 {
            return Ok(());
        }
        let Some(held) = snapshot.as_ref() else { return Err(Error::Interrupted) };
        let noted = ledger.marks.get(SNAPSHOT_MARK).and_then(|number| number.parse().ok()).unwrap_or(0);
        let used = ledger.parts.values().flat_map(|parts| parts.values()).map(|part| part.generation).max().unwrap_or(0);
        *generation = noted.max(used).max(*generation) + 1;
        let note = ledger::note_mark(SNAPSHOT_MARK, &generation.to_string());
        witness.query(&note).await.map_err(|error| Side::Target.failed("noting the snapshot", error))?;
        self.cx.emit(EventKind::SnapshotTaken { generation: *generation, lsn: held.lsn.to_string() }).await?;
        crash::point("snapshot.taken");
        Ok(())
    }

    /// Carries finished tables of older snapshots over into this one, or empties them. True if anything had to be settled.
    async fn settle_older(&self, ledger: &Ledger, snapshot: &Snapshot, generation: u32) -> Result<bool, Error> {
        let (mut finished, mut emptied) = (Vec::new(), Vec::new());
        for (position, table) in self.tables.iter().enumerate() {
            let Some(parts) = ledger.parts.get(&table.oid) else { continue };
            if parts.values().all(|part| part.generation == generation) {
                continue;
            }
            let same = parts.values().map(|part| part.generation).collect::<BTreeSet<_>>().len() == 1;
            if is_complete(ledger, table.oid) && same { finished.push(position) } else { emptied.push(position) }
        }
        if finished.is_empty() && emptied.is_empty() {
            return Ok(false);
        }
        let changed = self.reconcile(&finished, snapshot, generation).await?;
        if !changed.is_empty() {
            let names: Vec<String> = changed.iter().map(|position| self.tables[*position].name.human()).collect();
            let message =
                format!("The application changed tables since they were copied; they are copied again: {}.", names.join(", "));
            self.cx.emit(EventKind::Notice { message, warning: false }).await?;
        }
        let kept: Vec<Oid> = finished.iter().filter(|p| !changed.contains(p)).map(|p| self.tables[*p].oid).collect();
        emptied.extend(changed);
        let mut sql = String::from("begin");
        for position in &emptied {
            let table = &self.tables[*position];
            sql.push_str(&match &table.config_condition {
                None if table.is_root => format!("; truncate {}", table.name),
                None => format!("; truncate only {}", table.name),
                Some(condition) => format!("; delete from only {} {condition}", table.name),
            });
        }
        let oids: Vec<Oid> = emptied.iter().map(|position| self.tables[*position].oid).collect();
        if !oids.is_empty() {
            let finished: Vec<String> = oids.iter().map(|oid| finished_mark(*oid)).collect();
            sql.push_str(&format!("; {}; {}", ledger::forget_parts(&oids), ledger::forget_marks(&finished)));
        }
        if !kept.is_empty() {
            sql.push_str(&format!("; {}", ledger::carry_parts(&kept, generation)));
        }
        sql.push_str("; commit");
        crash::point("resume.reconciled");
        let mut conn = self.target.wire().await?;
        conn.query(&sql).await.map_err(|error| Side::Target.failed("emptying tables that are copied again", error))?;
        conn.close().await;
        crash::point("resume.settled");
        Ok(true)
    }

    /// Compares finished tables with a new snapshot; gives those that differ.
    async fn reconcile(&self, finished: &[usize], snapshot: &Snapshot, generation: u32) -> Result<Vec<usize>, Error> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let message = format!("{} were copied by an earlier run. They are compared with a new snapshot.", tables(finished.len()));
        self.cx.emit(EventKind::Notice { message, warning: false }).await?;
        let groups = self.cut(finished);
        let works: Vec<GroupWork> = groups.into_iter().map(|group| group_work(group, Vec::new())).collect();
        let verifies = |work: &GroupWork| GroupPlan { verifies: (0..work.group.ranges.len()).collect(), ..GroupPlan::default() };
        let plans = works.iter().map(verifies).collect();
        // A count would take a changed row for an unchanged one.
        let method = self.method.filter(|method| *method != Method::Counts).unwrap_or(Method::Hash);
        let round = self.new_round(Purpose::Reconcile, works, plans, Some(method), snapshot, generation);
        self.run_workers(&round).await?;
        Ok(std::mem::take(&mut *lock(&round.differing)))
    }

    /// Copies what is left, and builds what it can.
    async fn copy_round(
        &self,
        ledger: &Ledger,
        snapshot: &mut Option<Snapshot>,
        generation: u32,
        witness: &mut Conn,
    ) -> Result<(), Error> {
        let Some(held) = snapshot.as_ref() else { return Err(Error::Interrupted) };
        let groups = self.groups(ledger);
        self.announce(&groups, ledger).await?;
        let works: Vec<GroupWork> = groups.into_iter().map(|group| self.with_builds(group, ledger)).collect();
        let plans: Vec<GroupPlan> =
            works.iter().map(|work| self.group_plan(work, ledger, self.is_to_verify(work, generation))).collect();
        for (work, plan) in works.iter().zip(&plans) {
            *lock(&work.parts_left) = plan.copies.len();
            self.count_committed(work, ledger);
        }
        let round = self.new_round(Purpose::Copy, works, plans, self.method, held, generation);
        let id = held.id.clone();
        let objects = large_objects::Copy {
            cx: &self.cx,
            source: &self.source,
            target: &self.target,
            snapshot: &id,
            generation,
            keep: self.keep,
        };
        let objects = async {
            let done = objects.run(ledger).await;
            if done.is_err() {
                round.schedule.stop();
            }
            done
        };
        let release = async {
            tokio::select! {
                () = round.schedule.data_done().cancelled() => {}
                () = round.schedule.stopped().cancelled() => {}
            }
        };
        let data = async {
            let (objects, ()) = tokio::join!(objects, release);
            objects?;
            if round.schedule.data_done().is_cancelled() {
                self.data_is_there(snapshot, generation, witness).await?;
            }
            Ok(())
        };
        let workers = self.run_workers(&round);
        let (data, workers) = tokio::join!(data, workers);
        workers.and(data)
    }

    /// Whether a group is still to be compared in this generation.
    fn is_to_verify(&self, work: &GroupWork, generation: u32) -> bool {
        let verified = lock(&self.verified);
        let open = |position: &usize| verified.get(&self.tables[*position].oid) != Some(&generation);
        self.method.is_some() && work.group.tables.iter().any(open)
    }

    /// Notes that all rows are there, and gives the snapshot up.
    async fn data_is_there(&self, snapshot: &mut Option<Snapshot>, generation: u32, witness: &mut Conn) -> Result<(), Error> {
        let sql =
            format!("begin; set local synchronous_commit = on; {}; commit", ledger::note_mark(DATA_MARK, &generation.to_string()));
        crash::point("copy.before-data-mark");
        witness.query(&sql).await.map_err(|error| Side::Target.failed("noting that all rows are there", error))?;
        crash::point("copy.data-mark");
        *snapshot = None;
        self.cx.emit(EventKind::SnapshotReleased { generation }).await?;
        Ok(())
    }

    /// Builds what an earlier run left unbuilt, when all rows are there.
    async fn build_only(&self, ledger: &Ledger) -> Result<(), Error> {
        let groups = self.groups(ledger);
        self.announce(&groups, ledger).await?;
        let works: Vec<GroupWork> = groups.into_iter().map(|group| self.with_builds(group, ledger)).collect();
        let plans = works.iter().map(|work| self.group_plan(work, ledger, false)).collect();
        let round = self.round_of(Purpose::Copy, works, plans, None, crate::pg::types::SnapshotId(String::new()), 0);
        self.run_workers(&round).await
    }

    /// The groups. Tables that are there already do not share one with tables that are not, whatever their sizes were when they were copied.
    fn groups(&self, ledger: &Ledger) -> Vec<Group> {
        let complete = |position: &usize| is_complete(ledger, self.tables[*position].oid);
        let (there, missing): (Vec<usize>, Vec<usize>) = (0..self.tables.len()).partition(complete);
        let mut groups = self.cut(&missing);
        groups.extend(self.cut(&there));
        groups
    }

    /// Some tables, in groups; large ones cut.
    fn cut(&self, wanted: &[usize]) -> Vec<Group> {
        let mut costs: HashMap<Oid, BuildCost> = HashMap::new();
        for build in &self.builds {
            let cost = costs.entry(build.table).or_default();
            cost.longest = cost.longest.max(build.cost);
            cost.total += build.cost;
        }
        let cutting = Cutting { jobs: self.jobs, above: self.split_bytes };
        let mut groups = plan::groups(&self.tables, wanted, cutting, &|table| costs.get(&table.oid).copied().unwrap_or_default());
        // Ranges that are committed are known by their number: a table is cut once and for all.
        let mut cuts = lock(&self.cuts);
        for group in &mut groups {
            if let [position] = group.tables.as_slice() {
                group.ranges.clone_from(cuts.entry(self.tables[*position].oid).or_insert_with(|| group.ranges.clone()));
            }
        }
        groups
    }

    fn with_builds(&self, group: Group, ledger: &Ledger) -> GroupWork {
        let oids: BTreeSet<Oid> = group.tables.iter().map(|position| self.tables[*position].oid).collect();
        let open = |build: &&Build| {
            let id = build.entry.dump_id;
            oids.contains(&build.table) && !ledger.entries.contains(&id) && !ledger.refused.contains_key(&id)
        };
        let builds = self.builds.iter().filter(open).cloned().collect();
        group_work(group, builds)
    }

    fn group_plan(&self, work: &GroupWork, ledger: &Ledger, verify: bool) -> GroupPlan {
        let complete = work.group.tables.iter().all(|position| is_complete(ledger, self.tables[*position].oid));
        let committed = |part: &usize| {
            let oid = self.tables[work.group.tables[0]].oid;
            // Only ranges of a large table are committed one by one, and all in one process: it cuts the table the same way every time.
            ledger.parts.get(&oid).is_some_and(|parts| u32::try_from(*part).is_ok_and(|part| parts.contains_key(&part)))
        };
        let copies: Vec<usize> = (0..work.group.ranges.len()).filter(|part| !complete && !committed(part)).collect();
        let bytes: u64 = work.group.tables.iter().map(|position| self.tables[*position].table_bytes).sum();
        let unbuilt = |(_, build): &(usize, &Build)| !ledger.marks.contains_key(&build.mark());
        let open: Vec<(usize, &Build)> = work.builds.iter().enumerate().filter(unbuilt).collect();
        let together = work.group.tables.len() > 1;
        let (builds, build_costs) = if together && !open.is_empty() {
            let cost = open.iter().map(|(_, build)| build.cost).sum();
            (vec![open.into_iter().map(|(position, _)| position).collect()], vec![cost])
        } else {
            open.into_iter().map(|(position, build)| (vec![position], build.cost)).unzip()
        };
        GroupPlan {
            // What was compared before it was copied again has to be compared again, too.
            verifies: if verify || !copies.is_empty() && self.method.is_some() {
                (0..work.group.ranges.len()).collect()
            } else {
                Vec::new()
            },
            copy_cost: bytes / work.group.ranges.len().max(1) as u64,
            finish: work.group.tables.iter().any(|position| !ledger.marks.contains_key(&finished_mark(self.tables[*position].oid))),
            copies,
            builds,
            build_costs,
        }
    }

    /// Counts what earlier rounds have committed.
    fn count_committed(&self, work: &GroupWork, ledger: &Ledger) {
        for (position, copied) in work.group.tables.iter().zip(lock(&work.copied).iter_mut()) {
            let oid = self.tables[*position].oid;
            for part in ledger.parts.get(&oid).into_iter().flat_map(|parts| parts.values()) {
                copied.0 += part.rows;
                copied.1 += part.bytes;
            }
        }
    }

    /// Says what would be done.
    ///
    /// # Errors
    /// A journal that cannot be written.
    pub async fn announce_all(&self) -> Result<(), Error> {
        let ledger = Ledger::default();
        self.announce(&self.groups(&ledger), &ledger).await
    }

    /// Says what will be done.
    async fn announce(&self, groups: &[Group], ledger: &Ledger) -> Result<(), Error> {
        let mut builds_of: HashMap<Oid, u32> = HashMap::new();
        for build in &self.builds {
            *builds_of.entry(build.table).or_default() += 1;
        }
        let mut planned = Vec::with_capacity(self.tables.len());
        for group in groups {
            for position in &group.tables {
                let table = &self.tables[*position];
                planned.push(PlannedTable {
                    id: table.oid,
                    name: table.name.human(),
                    rows_estimate: table.rows_estimate,
                    bytes_estimate: table.table_bytes,
                    parts: u32::try_from(group.ranges.len()).unwrap_or(u32::MAX),
                    format: if plan::is_binary(table) { "binary" } else { "text" }.to_owned(),
                    indexes: builds_of.get(&table.oid).copied().unwrap_or(0),
                });
            }
        }
        planned.sort_by_key(|table| std::cmp::Reverse(table.bytes_estimate));
        let post_data = self.post_data + self.builds.len() as u64;
        let done = ledger.entries.len();
        tracing::debug!(tables = planned.len(), done, "the plan was made");
        self.cx.emit(EventKind::PlanMade { tables: planned, post_data, jobs: self.jobs }).await?;
        Ok(())
    }

    fn new_round(
        &self,
        purpose: Purpose,
        groups: Vec<GroupWork>,
        plans: Vec<GroupPlan>,
        method: Option<Method>,
        snapshot: &Snapshot,
        generation: u32,
    ) -> Arc<Round> {
        self.round_of(purpose, groups, plans, method, snapshot.id.clone(), generation)
    }

    fn round_of(
        &self,
        purpose: Purpose,
        groups: Vec<GroupWork>,
        plans: Vec<GroupPlan>,
        method: Option<Method>,
        snapshot: crate::pg::types::SnapshotId,
        generation: u32,
    ) -> Arc<Round> {
        let method = method.unwrap_or(Method::Counts);
        let hash = |table: &Table| hash_plan(self.compared.columns(table.oid), method, self.encodings_differ);
        let hashes: Vec<HashExpr> = self.tables.iter().map(hash).collect();
        Arc::new(Round {
            cx: self.cx.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            target_version: self.target_version,
            purpose,
            tables: Arc::clone(&self.tables),
            hashes: Arc::new(hashes),
            compared: Arc::clone(&self.compared),
            encodings_differ: self.encodings_differ,
            groups,
            schedule: Schedule::new(plans, self.jobs),
            snapshot,
            generation,
            differing: Mutex::default(),
            verified: Arc::clone(&self.verified),
            settled: Mutex::default(),
        })
    }

    /// Runs the workers of a round to their end; gives the first failure.
    async fn run_workers(&self, round: &Arc<Round>) -> Result<(), Error> {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.jobs.max(1) {
            let round = Arc::clone(round);
            workers.spawn(async move { worker::work(&round).await });
        }
        let mut result = Ok(());
        while let Some(ended) = workers.join_next().await {
            let ended = ended.unwrap_or_else(|panic| {
                round.schedule.stop();
                Err(crate::engine::report::Report::new(
                    "internal",
                    crate::engine::report::Exit::Bug,
                    "A worker failed in a way that was not foreseen.",
                )
                .with_cause(human(&panic.to_string()))
                .into())
            });
            // A failure that stands for good says more than a lost connection that came of it.
            match (&result, &ended) {
                (Ok(()), _) => result = ended,
                (Err(first), Err(second)) if first.is_transient() && !second.is_transient() => result = ended,
                _ => {}
            }
        }
        result
    }
}

/// Starts the schedule of attempts anew whenever more is committed than before.
fn progress_of<'a>(attempts: &'a mut Attempts, progress: &'a mut usize) -> impl FnMut(usize) + Send + 'a {
    move |now| {
        if now > *progress {
            *progress = now;
            attempts.begin_anew();
        }
    }
}

/// Whether all ranges of a table are committed.
fn is_complete(ledger: &Ledger, table: Oid) -> bool {
    let Some(parts) = ledger.parts.get(&table) else { return false };
    parts.values().all(|part| part.parts as usize == parts.len())
}

fn tables(count: usize) -> String {
    if count == 1 { "1 table".to_owned() } else { format!("{count} tables") }
}

/// What is told when a crash of the target has emptied unlogged tables after the snapshot that they were copied in was given up.
pub(super) fn unlogged_emptied(names: &[String]) -> crate::engine::report::Report {
    let message = format!(
        "The target crashed after all rows were copied, and its recovery has emptied the unlogged tables {}.",
        names.join(", ")
    );
    crate::engine::report::Report::new("unlogged-emptied", crate::engine::report::Exit::Target, message)
        .with_fix("Start over with --replace-target, or leave these tables out with --exclude: a crash may empty them at any time.")
}

/// What is told when the target's ledger was taken away.
pub(super) fn ledger_gone() -> crate::engine::report::Report {
    crate::engine::report::Report::new(
        "ledger-gone",
        crate::engine::report::Exit::Target,
        "The ledger of this migration, the schema neon_migrate, is not on the target any more.",
    )
    .with_fix("Somebody removed it or replaced the database. Start over with --replace-target.")
}

fn group_work(group: Group, builds: Vec<Build>) -> GroupWork {
    let tables = group.tables.len();
    let parts = group.ranges.len();
    GroupWork {
        group,
        builds,
        copied: Mutex::new(vec![(0, 0); tables]),
        parts_left: Mutex::new(parts),
        begun: AtomicBool::new(false),
        sums: Mutex::new(vec![[Sums::default(); 2]; tables]),
        verifies_left: Mutex::new(parts),
        target_pages: tokio::sync::OnceCell::new(),
    }
}
