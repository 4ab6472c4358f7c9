//! What follows the rows and their indexes: triggers, rules, policies, foreign keys, grants, materialized views, event triggers.
//!
//! Foreign keys are first added `not valid`, which needs only a moment's lock on both tables, and then validated side by side: `validate constraint` does not
//! keep others from the tables. One that is not valid on the source stays so. Event triggers come last, because from then on they see what we do.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::ends::Target;
use super::error::{Error, Side};
use super::ledger::{self, Ledger};
use super::schema::restore;
use super::schema::script::Entry;
use crate::engine::crash;
use crate::engine::event::EventKind;
use crate::engine::step::Cx;
use crate::pg::catalog::ForeignKey;
use crate::pg::error::PgError;
use crate::pg::names::QualifiedName;
use crate::pg::types::{Oid, ServerVersion};
use crate::pg::wire::Conn;

/// The ledger's milestone: partitioned tables have statistics.
const STATISTICS_MARK: &str = "statistics";
/// How many foreign keys are added in one transaction; each locks two tables.
const ADD_BATCH: usize = 50;

/// What is created when all rows and indexes are there.
pub struct Post<'a> {
    /// The context.
    pub cx: &'a Cx,
    /// The target.
    pub target: &'a Target,
    /// Its version.
    pub target_version: ServerVersion,
    /// The entries, in the archive's order.
    pub entries: Vec<&'a Entry>,
    /// The source's foreign keys, by oid.
    pub foreign_keys: HashMap<Oid, ForeignKey>,
    /// The partitioned tables that are no partitions themselves.
    pub roots: Vec<QualifiedName>,
    /// How many constraints are validated at once.
    pub jobs: u32,
}

/// The order of what pg_restore does in passes of its own.
fn pass(entry: &Entry) -> u8 {
    match entry.kind.as_str() {
        "ACL" | "DEFAULT ACL" => 1,
        "MATERIALIZED VIEW DATA" => 2,
        "EVENT TRIGGER" => 3,
        "COMMENT" if entry.name.starts_with("EVENT TRIGGER ") => 3,
        _ => 0,
    }
}

impl Post<'_> {
    /// Creates what the ledger does not have yet. `conn` is the session that has read the ledger, open all the while, so that its last commit tells whether
    /// the server has forgotten anything.
    ///
    /// # Errors
    /// A failure of the target. What it refuses is told and noted instead.
    pub async fn run(&self, ledger: &Ledger, mut conn: Conn) -> Result<(), Error> {
        let open = |entry: &&&Entry| !ledger.entries.contains(&entry.dump_id) && !ledger.refused.contains_key(&entry.dump_id);
        let open: Vec<&Entry> = self.entries.iter().filter(open).copied().collect();
        let (keys, others): (Vec<&Entry>, Vec<&Entry>) = open.into_iter().partition(|entry| self.foreign_key(entry).is_some());
        let key_ids: BTreeSet<u32> = keys.iter().map(|entry| entry.dump_id).collect();
        let needs_key = |entry: &&Entry| entry.depends_on.iter().any(|id| key_ids.contains(id));
        let (late, others): (Vec<&Entry>, Vec<&Entry>) = others.into_iter().partition(needs_key);
        let in_pass = |wanted: u8| others.iter().copied().filter(move |entry| pass(entry) == wanted).collect::<Vec<&Entry>>();

        self.create(&mut conn, &in_pass(0)).await?;
        self.gather_statistics(&mut conn, ledger).await?;
        self.add_keys(&mut conn, &keys, ledger).await?;
        self.validate_keys(&keys).await?;
        self.create(&mut conn, &late).await?;
        for later in 1..=3 {
            self.create(&mut conn, &in_pass(later)).await?;
            crash::point("post.pass");
        }
        ledger::make_durable(&mut conn).await.map_err(|error| Side::Target.failed("making everything durable", error))?;
        conn.close().await;
        Ok(())
    }

    /// Gathers statistics of partitioned tables as wholes: foreign keys that are validated next, and the first queries, need them.
    async fn gather_statistics(&self, conn: &mut Conn, ledger: &Ledger) -> Result<(), Error> {
        if ledger.marks.contains_key(STATISTICS_MARK) {
            return Ok(());
        }
        let statement = if self.target_version.major() >= 18 { "analyze only" } else { "analyze" };
        let failed = |error| Side::Target.failed("gathering statistics of partitioned tables", error);
        for root in &self.roots {
            self.cx.safe_point()?;
            conn.query(&format!("{statement} {root}")).await.map_err(failed)?;
        }
        conn.query(&ledger::note_mark(STATISTICS_MARK, "")).await.map(drop).map_err(failed)
    }

    fn foreign_key(&self, entry: &Entry) -> Option<&ForeignKey> {
        let key = self.foreign_keys.get(&entry.oid).filter(|_| entry.kind == "FK CONSTRAINT")?;
        // Partitioned tables took no `not valid` before 18, and what is not valid on the source is not validated: the archive's statement will do.
        (key.is_valid && !key.is_partitioned).then_some(key)
    }

    async fn create(&self, conn: &mut Conn, entries: &[&Entry]) -> Result<(), Error> {
        for entry in entries.iter().filter(|entry| pass(entry) == 2) {
            let (id, kind, name) = (entry.dump_id, "MATERIALIZED VIEW".to_owned(), entry.name.clone());
            self.cx.emit(EventKind::BuildStarted { id, kind, name }).await?;
        }
        let restored = restore::create(conn, entries, &BTreeSet::new(), &|_| crash::point("post.batch")).await?;
        self.tell(entries, &restored.refused).await
    }

    async fn tell(&self, entries: &[&Entry], refused: &BTreeMap<u32, String>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            if let Some(reason) = refused.get(&entry.dump_id) {
                let (kind, name, reason) = (entry.kind.clone(), entry.name.clone(), reason.clone());
                self.cx.emit(EventKind::LeftOut { kind, name, reason }).await?;
            }
        }
        self.cx.emit(EventKind::BuildFinished { ids: entries.iter().map(|entry| entry.dump_id).collect() }).await?;
        self.cx.safe_point().map_err(Error::from)
    }

    /// Adds foreign keys without looking at rows.
    async fn add_keys(&self, conn: &mut Conn, keys: &[&Entry], ledger: &Ledger) -> Result<(), Error> {
        let added = |entry: &&&Entry| ledger.marks.contains_key(&added_mark(entry));
        let missing: Vec<&Entry> = keys.iter().filter(|entry| !added(entry)).copied().collect();
        for batch in missing.chunks(ADD_BATCH) {
            match self.add_together(conn, batch).await {
                Ok(()) => {}
                Err(PgError::Server(error)) if !PgError::Server(error.clone()).is_transient() => {
                    rollback(conn).await?;
                    for entry in batch {
                        if self.add_together(conn, &[entry]).await.is_err() {
                            rollback(conn).await?;
                            // The archive's own statement says what is refused, and is noted like any other.
                            self.create(conn, &[entry]).await?;
                        }
                    }
                }
                Err(error) => return Err(Side::Target.failed("adding foreign keys", error)),
            }
            self.cx.safe_point()?;
        }
        crash::point("post.keys-added");
        Ok(())
    }

    async fn add_together(&self, conn: &mut Conn, entries: &[&Entry]) -> Result<(), PgError> {
        let mut sql = String::from("begin");
        for entry in entries {
            let Some(key) = self.foreign_key(entry) else { continue };
            sql.push_str(&format!(
                "; alter table only {} add constraint {} {} not valid; {}",
                key.table,
                key.name,
                key.definition,
                ledger::note_mark(&added_mark(entry), "added")
            ));
        }
        sql.push_str("; commit");
        conn.query(&sql).await.map(drop)
    }

    /// Validates foreign keys side by side, those of the largest tables first.
    async fn validate_keys(&self, keys: &[&Entry]) -> Result<(), Error> {
        let mut conn = self.target.wire().await?;
        let sql = "select name from neon_migrate.mark where name like 'key added %'; select dump_id from neon_migrate.entry";
        let answers = conn.query(sql).await.map_err(|error| Side::Target.failed("reading the ledger", error))?;
        let texts = |answer: usize| -> BTreeSet<String> {
            answers.get(answer).into_iter().flat_map(|a| &a.rows).filter_map(|row| row.first()?.clone()).collect()
        };
        let (added, done) = (texts(0), texts(1));
        let is_open = |entry: &&&Entry| added.contains(&added_mark(entry)) && !done.contains(&entry.dump_id.to_string());
        let mut open: Vec<&Entry> = keys.iter().filter(is_open).copied().collect();
        open.sort_by_key(|entry| std::cmp::Reverse(self.foreign_key(entry).map_or(0, |key| key.table_bytes)));
        let queue: Arc<Mutex<VecDeque<&Entry>>> = Arc::new(Mutex::new(open.into()));
        let workers = (0..self.jobs.max(1)).map(|_| self.validate(Arc::clone(&queue)));
        futures_util::future::try_join_all(workers).await.map(drop)
    }

    async fn validate(&self, queue: Arc<Mutex<VecDeque<&Entry>>>) -> Result<(), Error> {
        let mut conn = None;
        loop {
            let Some(entry) = super::copy::lock(&queue).pop_front() else { return Ok(()) };
            let Some(key) = self.foreign_key(entry) else { continue };
            self.cx.safe_point()?;
            let conn = match &mut conn {
                Some(conn) => conn,
                None => conn.insert(self.target.wire().await?),
            };
            let (id, kind, name) = (entry.dump_id, "FOREIGN KEY".to_owned(), entry.name.clone());
            self.cx.emit(EventKind::BuildStarted { id, kind: kind.clone(), name: name.clone() }).await?;
            let note = ledger::note_entries(&[id]);
            let sql = format!("begin; alter table only {} validate constraint {}; {note}; commit", key.table, key.name);
            match conn.query(&sql).await {
                Ok(_) => crash::point("post.key-validated"),
                Err(PgError::Server(error)) if error.sqlstate == "23503" => {
                    let reason = "The source holds rows that refer to rows that do not exist, although it says that the constraint is valid. \
                        The constraint is on the target, not validated.";
                    rollback(conn).await?;
                    let noted = conn.query(&ledger::note_refused(id, reason)).await;
                    noted.map_err(|error| Side::Target.failed("validating foreign keys", error))?;
                    self.cx.emit(EventKind::LeftOut { kind, name, reason: reason.to_owned() }).await?;
                }
                Err(error) => return Err(Side::Target.failed(format!("validating the foreign key {}", entry.name), error)),
            }
            self.cx.emit(EventKind::BuildFinished { ids: vec![id] }).await?;
        }
    }
}

/// The ledger's milestone for a foreign key that was added and not yet validated.
fn added_mark(entry: &Entry) -> String {
    format!("key added {}", entry.dump_id)
}

async fn rollback(conn: &mut Conn) -> Result<(), Error> {
    conn.query("rollback").await.map(drop).map_err(|error| Side::Target.failed("creating what follows the rows", error))
}
