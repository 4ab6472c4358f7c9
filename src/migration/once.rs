//! The one-time copy, from the first look to the certificate.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::copy::snapshot::Snapshot;
use super::copy::{self, Copy};
use super::ends::{Source, Target, in_time};
use super::error::{Error, Side};
use super::inventory::{self, Inventory};
use super::ledger::{self, Found, Ledger};
use super::post::Post;
use super::preflight::Preflight;
use super::schema::archive::{self, Archive, Keep};
use super::schema::filter::{self, LeftOut, Unwanted};
use super::schema::restore;
use super::schema::script::Entry;
use super::scope::Scope;
use super::shapes::{Shapes, changed_since};
use super::verify::{Catalog, Method};
use super::{index, replace, sequences, verify};
use crate::engine::crash;
use crate::engine::event::{EventKind, Outcome, Verdict};
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::retry::{Backoff, retry};
use crate::engine::step::Cx;
use crate::engine::view::{State, View};
use crate::pg::bridge::Bridge;
use crate::pg::catalog::{self, ForeignKey, Index, Table};
use crate::pg::names::QualifiedName;
use crate::pg::tools::Tools;
use crate::pg::types::Oid;
use crate::pg::wire::Conn;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source.
    pub source: Source,
    /// The target.
    pub target: Target,
    /// The migration's id.
    pub migration: String,
    /// Which tables.
    pub scope: Scope,
    /// What of ownership and rights is carried over.
    pub keep: Keep,
    /// How tables are compared; not at all if there is none.
    pub method: Option<Method>,
    /// How many connections work at once on each side.
    pub jobs: u32,
    /// From which size on a table is cut into ranges, in bytes.
    pub split_bytes: Option<u64>,
    /// Show the plan and write nothing.
    pub dry_run: bool,
    /// Remove everything from the target first; this was confirmed.
    pub replace_target: bool,
}

/// Runs a one-time copy that preflight has nothing against.
///
/// # Errors
/// What keeps the copy from its end. Differences are no error: they are told, and [`exit`] finds them.
pub async fn run(cx: &Cx, request: &Request, looked: &Preflight) -> Result<(), Error> {
    let copy = Once { cx, request, looked };
    let tools = looked.tools.as_ref().ok_or_else(|| Report::new("no-pg-dump", Exit::Blockers, "No usable pg_dump was found."))?;
    copy.ready().await?;
    let schema = cx.phase(Phase::Schema, copy.again("creating the schema", async || copy.schema(tools).await)).await?;
    let Some(schema) = schema else { return Ok(()) };
    let Schema { prepared, snapshot } = schema;
    cx.phase(Phase::Copy, copy.data(&prepared, snapshot)).await?;
    cx.phase(Phase::Index, copy.post(&prepared)).await?;
    cx.phase(Phase::Verify, copy.again("comparing what both sides hold", async || copy.inventory(&prepared).await)).await?;
    cx.phase(Phase::Cleanup, copy.again("removing the migration's own records", async || copy.cleanup().await)).await
}

/// Whether an earlier run did everything but for saying so: nothing but the end of its cleanup, which takes the ledger away, was left to do.
pub fn is_all_but_ended(history: &View) -> bool {
    let state = |phase: Phase| history.phases.iter().find(|view| view.phase == phase).map(|view| view.state);
    state(Phase::Verify) == Some(State::Done) && (state(Phase::Cleanup) != Some(State::Done) || history.ended.is_none())
}

/// Ends a migration that [`is_all_but_ended`].
///
/// # Errors
/// A target that cannot be asked, or files that cannot be removed.
pub async fn end(cx: &Cx, request: &Request, looked: &Preflight) -> Result<(), Error> {
    let copy = Once { cx, request, looked };
    cx.phase(Phase::Cleanup, copy.again("removing the migration's own records", async || copy.cleanup().await)).await
}

/// How the process ends after a copy that came to its end: by what was found.
pub fn exit(view: &crate::engine::view::View) -> (Exit, Option<Report>) {
    let differing: Vec<&str> = view.verdicts().filter(|v| v.verdict == Verdict::Mismatch).map(|v| v.name.as_str()).collect();
    if !differing.is_empty() {
        let report = Report::new("rows-differ", Exit::Mismatch, format!("Rows differ in {}: {}.", count(differing.len(), "table"), differing.join(", ")))
            .with_fix("The keys of up to 20 such rows are named above. See who wrote to the target, mend those rows or start over with --replace-target, and compare again:\nneon-migrate verify");
        return (Exit::Mismatch, Some(report));
    }
    let unexplained = view.inventory.as_ref().map_or(0, |inventory| inventory.differences.len());
    if unexplained > 0 {
        let message = format!("{} on the two sides, and nothing explains why.", differs(unexplained));
        let report = Report::new("objects-differ", Exit::Mismatch, message).with_fix(
            "What differs is named above. Create or change it on the target by hand, then compare again:\nneon-migrate verify",
        );
        return (Exit::Mismatch, Some(report));
    }
    (Exit::Done, None)
}

fn were(objects: usize) -> String {
    if objects == 1 { "1 object was".to_owned() } else { format!("{objects} objects were") }
}

fn differs(count: usize) -> String {
    if count == 1 { "1 object is not the same".to_owned() } else { format!("{count} objects are not the same") }
}

fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

struct Once<'a> {
    cx: &'a Cx,
    request: &'a Request,
    looked: &'a Preflight,
}

/// What later phases need of the schema.
struct Prepared {
    archive: Archive,
    left_out: Vec<LeftOut>,
    tables: Vec<Table>,
    indexes: Vec<Index>,
    foreign_keys: Vec<ForeignKey>,
    compared: Catalog,
    shapes: Arc<Shapes>,
}

/// What the source's catalogs say.
struct Catalogs {
    tables: Vec<Table>,
    indexes: Vec<Index>,
    foreign_keys: Vec<ForeignKey>,
    compared: Catalog,
}

struct Schema {
    prepared: Prepared,
    snapshot: Option<Snapshot>,
}

impl Prepared {
    fn is_out(&self, entry: &Entry) -> bool {
        self.left_out.iter().any(|out| out.dump_id == entry.dump_id)
    }

    /// What follows the rows and needs something that the target refused.
    fn dependents(&self, refused: &BTreeMap<u32, String>) -> Vec<LeftOut> {
        let entries: Vec<&Entry> = self.archive.pre_data.iter().chain(&self.archive.post_data).collect();
        let mut reasons = refused.clone();
        filter::cascade(&entries, &mut reasons);
        let is_new = |entry: &&Entry| !refused.contains_key(&entry.dump_id) && !self.is_out(entry);
        let left_out = |entry: &Entry| {
            let reason = reasons.remove(&entry.dump_id)?;
            Some(LeftOut { dump_id: entry.dump_id, kind: entry.kind.clone(), name: entry.name.clone(), reason })
        };
        self.archive.post_data.iter().filter(is_new).filter_map(left_out).collect()
    }
}

impl Once<'_> {
    /// Does something again, with pauses, as long as it fails in a way that may pass.
    async fn again<T>(&self, what: &str, work: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        retry(self.cx, what, &Backoff::server(), Error::is_transient, |attempt| {
            let work = &work;
            async move {
                if attempt > 1 && !self.request.dry_run {
                    // What the last attempt began may still be running there, and may yet be committed.
                    self.request.target.end_orphans().await?;
                }
                work().await
            }
        })
        .await
    }

    async fn read_ledger(&self, conn: &mut Conn) -> Result<Found, Error> {
        let found = ledger::read(conn, &self.request.migration).await;
        found.map_err(|error| Side::Target.failed("reading the ledger", error))
    }

    /// The ledger, which must be there by now.
    async fn own_ledger(&self, conn: &mut Conn) -> Result<Ledger, Error> {
        match self.read_ledger(conn).await? {
            Found::Ours(ledger) => {
                let forgotten = ledger::forget_unconfirmed(conn).await;
                forgotten.map_err(|error| Side::Target.failed("reading the ledger", error))?;
                Ok(ledger)
            }
            Found::Nothing | Found::Foreign { .. } => Err(copy::ledger_gone().into()),
        }
    }

    /// Ends what an earlier run left running, and looks at the ledger; without one, the target is made ready.
    async fn ready(&self) -> Result<(), Error> {
        let request = self.request;
        if request.dry_run {
            return Ok(());
        }
        let mut conn = request.target.wire().await?;
        let is_ours = matches!(self.read_ledger(&mut conn).await?, Found::Ours(_));
        conn.close().await;
        if is_ours && !request.replace_target && !archive::exists(self.cx.dir()) {
            // Its sessions may be those of a run on another machine, which is left alone.
            return Err(archive_gone().into());
        }
        request.target.end_orphans().await?;
        request.source.end_orphans().await?;
        let mut conn = request.target.wire().await?;
        let found = self.read_ledger(&mut conn).await?;
        conn.close().await;
        let ledger = match found {
            Found::Ours(ledger) if !request.replace_target => Some(ledger),
            Found::Nothing if !request.replace_target => None,
            Found::Foreign { .. } if !request.replace_target => return Err(foreign().into()),
            _ => {
                let work = async {
                    let removed = replace::everything(&request.target).await?;
                    let message = format!("{} removed from the target.", were(removed));
                    self.cx.emit(EventKind::Notice { message, warning: false }).await?;
                    Ok::<_, Error>(((), Outcome::Success, String::new()))
                };
                self.cx.step("schema.replace", Phase::Schema, "Removing what the target holds", work).await?;
                None
            }
        };
        if ledger.is_none() {
            archive::remove(self.cx.dir())?;
        }
        Ok(())
    }

    /// Reads the source's schema and creates what must be there before the rows. Nothing for a dry run, which ends here.
    async fn schema(&self, tools: &Tools) -> Result<Option<Schema>, Error> {
        let dir = self.cx.dir();
        let snapshot = if archive::exists(dir) { None } else { Some(Snapshot::take(&self.request.source).await?) };
        let archive = async {
            if let Some(snapshot) = &snapshot {
                self.dump(tools, snapshot).await?;
            }
            archive::read(tools, self.request.keep, dir, self.cx.cancel()).await
        };
        let catalogs = in_time(Side::Source, "reading the catalogs", self.catalogs(snapshot.as_ref()));
        let (archive, catalogs) = tokio::try_join!(archive, catalogs)?;
        let mut prepared = self.prepare(archive, catalogs)?;
        self.tell_left_out(&prepared.left_out).await?;
        if self.request.dry_run {
            archive::remove(dir)?;
            self.plan(&prepared).announce_all().await?;
            return Ok(None);
        }
        let refused = self.create_schema(&prepared).await?;
        let dependents = prepared.dependents(&refused);
        self.tell_left_out(&dependents).await?;
        prepared.left_out.extend(dependents);
        Ok(Some(Schema { prepared, snapshot }))
    }

    async fn tell_left_out(&self, left_out: &[LeftOut]) -> Result<(), Error> {
        for out in left_out {
            let (kind, name, reason) = (out.kind.clone(), out.name.clone(), out.reason.clone());
            self.cx.emit(EventKind::LeftOut { kind, name, reason }).await?;
        }
        Ok(())
    }

    /// Has pg_dump write the schema that a snapshot shows.
    async fn dump(&self, tools: &Tools, snapshot: &Snapshot) -> Result<(), Error> {
        let work = async {
            let source = self.request.source.sql_in(&snapshot.id).await?;
            Shapes::read(&source).await?.store(self.cx.dir())?;
            drop(source);
            let info = self.request.source.info().clone();
            let bridge = Bridge::start(info, self.cx.dir(), self.cx.cancel().clone())
                .map_err(|error| Side::Source.failed("opening the bridge for pg_dump", error))?;
            archive::dump(tools, &bridge, &snapshot.id, self.cx.dir(), self.cx.cancel()).await?;
            Ok::<_, Error>(((), Outcome::Success, String::new()))
        };
        self.cx.step("schema.dump", Phase::Schema, "Reading the source's schema with pg_dump", work).await?;
        crash::point("schema.dumped");
        Ok(())
    }

    /// Reads the source's catalogs.
    async fn catalogs(&self, snapshot: Option<&Snapshot>) -> Result<Catalogs, Error> {
        let source = match snapshot {
            Some(snapshot) => self.request.source.sql_in(&snapshot.id).await?,
            None => self.request.source.sql().await?,
        };
        let failed = |error| Side::Source.failed("reading the catalogs", error);
        Ok(Catalogs {
            tables: catalog::tables(&source).await.map_err(failed)?,
            indexes: catalog::indexes(&source).await.map_err(failed)?,
            foreign_keys: catalog::foreign_keys(&source).await.map_err(failed)?,
            compared: Catalog::load(&source).await.map_err(failed)?,
        })
    }

    /// Decides what is left out.
    fn prepare(&self, archive: Archive, catalogs: Catalogs) -> Result<Prepared, Error> {
        let Catalogs { tables, indexes, foreign_keys, compared } = catalogs;
        let unwanted = self.unwanted(&compared);
        let entries: Vec<&Entry> = archive.pre_data.iter().chain(&archive.post_data).collect();
        let left_out = filter::left_out(&entries, &unwanted);
        let entries_of: HashSet<Oid> = entries.iter().filter(|e| e.kind == "TABLE").map(|e| e.oid).collect();
        let out: HashSet<u32> = left_out.iter().map(|out| out.dump_id).collect();
        let gone: HashSet<Oid> = entries.iter().filter(|e| e.kind == "TABLE" && out.contains(&e.dump_id)).map(|e| e.oid).collect();
        let (tables, unknown): (Vec<Table>, Vec<Table>) = tables
            .into_iter()
            .filter(|table| !gone.contains(&table.oid))
            .filter(|table| self.request.scope.matches(table.name.schema.as_str(), table.name.name.as_str()))
            .partition(|table| entries_of.contains(&table.oid) || table.config_condition.is_some());
        if let Some(table) = unknown.first() {
            let name = table.name.human();
            return Err(changed_since(format!("The table {name} was created on the source after its schema was read.")).into());
        }
        let known: HashSet<Oid> = tables.iter().map(|table| table.oid).collect();
        if let Some(entry) = entries.iter().find(|e| is_dropped(e, &out, &known, &compared)) {
            return Err(
                changed_since(format!("The table {} was dropped on the source after its schema was read.", entry.name)).into()
            );
        }
        let shapes = Arc::new(Shapes::load(self.cx.dir())?);
        Ok(Prepared { archive, left_out, tables, indexes, foreign_keys, compared, shapes })
    }

    fn unwanted(&self, compared: &Catalog) -> Unwanted {
        let scope = &self.request.scope;
        let excluded = compared.tables.iter().filter(|t| !scope.matches(t.name.schema.as_str(), t.name.name.as_str()));
        Unwanted {
            excluded_relations: excluded.map(|table| table.oid).collect(),
            excluded_schemas: HashSet::new(),
            missing_extensions: self.looked.facts.missing_extensions.iter().cloned().collect(),
            event_triggers: !self.looked.facts.target.can.create_event_triggers,
        }
    }

    /// Gives what the target refused, now or in an earlier run, with its reasons.
    async fn create_schema(&self, prepared: &Prepared) -> Result<BTreeMap<u32, String>, Error> {
        let work = async {
            let mut conn = self.request.target.wire().await?;
            if matches!(self.read_ledger(&mut conn).await?, Found::Nothing) {
                let created = ledger::create(&mut conn, &self.request.migration).await;
                created.map_err(|error| Side::Target.failed("creating the ledger", error))?;
            }
            crash::point("schema.ledger-created");
            let ledger = self.own_ledger(&mut conn).await?;
            let is_open =
                |entry: &&Entry| !prepared.is_out(entry) && !is_for_the_end(entry) && !ledger.refused.contains_key(&entry.dump_id);
            let entries: Vec<&Entry> = prepared.archive.pre_data.iter().filter(is_open).collect();
            let restored = restore::create_all(&self.request.target, self.request.jobs, &entries, &ledger.entries).await?;
            // The session was open all the while: if it still is, the server has forgotten nothing.
            ledger::make_durable(&mut conn).await.map_err(|error| Side::Target.failed("making the schema durable", error))?;
            conn.close().await;
            for entry in &entries {
                if let Some(reason) = restored.refused.get(&entry.dump_id) {
                    let (kind, name, reason) = (entry.kind.clone(), entry.name.clone(), reason.clone());
                    self.cx.emit(EventKind::LeftOut { kind, name, reason }).await?;
                }
            }
            let created = entries.len() - restored.refused.len();
            let mut refused = ledger.refused;
            refused.extend(restored.refused);
            Ok::<_, Error>((refused, Outcome::Success, format!("{created} definitions are on the target.")))
        };
        let refused = self.cx.step("schema.create", Phase::Schema, "Creating tables, types and functions", work).await?;
        crash::point("schema.created");
        Ok(refused)
    }

    fn plan(&self, prepared: &Prepared) -> Copy {
        let request = self.request;
        let open: Vec<&Entry> = prepared.archive.post_data.iter().filter(|entry| !prepared.is_out(entry)).collect();
        let builds = index::builds(&open, &prepared.indexes, &prepared.tables);
        let post_data = (open.len() - builds.len()) as u64;
        let facts = &self.looked.facts;
        Copy {
            cx: self.cx.clone(),
            source: request.source.clone(),
            target: request.target.clone(),
            migration: request.migration.clone(),
            target_version: facts.target.version,
            tables: Arc::new(prepared.tables.clone()),
            compared: Arc::new(prepared.compared.clone()),
            encodings_differ: facts.source.encoding != facts.target.encoding,
            method: request.method,
            builds,
            post_data,
            jobs: request.jobs,
            split_bytes: request.split_bytes,
            cuts: Mutex::default(),
            keep: request.keep,
            verified: Arc::default(),
            shapes: Arc::clone(&prepared.shapes),
        }
    }

    /// Copies all rows, builds the indexes, and brings the sequences up.
    async fn data(&self, prepared: &Prepared, snapshot: Option<Snapshot>) -> Result<(), Error> {
        self.plan(prepared).run(snapshot).await?;
        self.cx.safe_point()?;
        let skipped: HashSet<Oid> = self.sequences_left_out(prepared);
        self.again("setting sequences", async || self.sequences(&skipped).await).await
    }

    async fn sequences(&self, skipped: &HashSet<Oid>) -> Result<(), Error> {
        let wanted = |oid: Oid, _: &QualifiedName| !skipped.contains(&oid);
        let work = async {
            let number = sequences::copy(&self.request.source, &self.request.target, &wanted).await?;
            Ok::<_, Error>(((), Outcome::Success, format!("{} stand where they stand on the source.", count(number, "sequence"))))
        };
        self.cx.step("copy.sequences", Phase::Copy, "Setting sequences", work).await
    }

    /// Sequences that are not on the target: left out as such, or with the table that they are an identity of.
    fn sequences_left_out(&self, prepared: &Prepared) -> HashSet<Oid> {
        let pre_data = &prepared.archive.pre_data;
        let here: HashSet<Oid> = pre_data.iter().filter(|e| e.kind == "SEQUENCE" && !prepared.is_out(e)).map(|e| e.oid).collect();
        pre_data.iter().filter(|e| e.kind == "SEQUENCE" && !here.contains(&e.oid)).map(|e| e.oid).collect()
    }

    /// Creates everything that follows the rows.
    async fn post(&self, prepared: &Prepared) -> Result<(), Error> {
        let built: BTreeSet<u32> = self.plan(prepared).builds.iter().map(|build| build.entry.dump_id).collect();
        let late = prepared.archive.pre_data.iter().filter(|entry| is_for_the_end(entry));
        let entries = prepared.archive.post_data.iter().filter(|entry| !built.contains(&entry.dump_id)).chain(late);
        let foreign_keys: HashMap<Oid, ForeignKey> = prepared.foreign_keys.iter().map(|key| (key.oid, key.clone())).collect();
        let here: HashSet<Oid> =
            prepared.archive.pre_data.iter().filter(|e| e.kind == "TABLE" && !prepared.is_out(e)).map(|e| e.oid).collect();
        let is_root = |table: &&verify::Table| table.relkind == 'p' && table.parent.is_none() && here.contains(&table.oid);
        let roots = prepared.compared.tables.iter().filter(is_root).map(|table| table.name.clone());
        let post = Post {
            cx: self.cx,
            roots: roots.collect(),
            target: &self.request.target,
            target_version: self.looked.facts.target.version,
            entries: entries.filter(|entry| !prepared.is_out(entry)).collect(),
            foreign_keys,
            jobs: self.request.jobs,
        };
        self.again("creating what follows the rows", async || {
            let mut conn = self.request.target.wire().await?;
            let ledger = self.own_ledger(&mut conn).await?;
            refuse_emptied(&ledger, prepared)?;
            post.run(&ledger, conn).await
        })
        .await
    }

    /// Compares what both sides hold, object by object.
    async fn inventory(&self, prepared: &Prepared) -> Result<(), Error> {
        let on_source = async {
            let client = self.request.source.sql().await?;
            let load = async { Inventory::load(&client).await.map_err(|error| Side::Source.failed("listing all objects", error)) };
            in_time(Side::Source, "listing all objects", load).await
        };
        let on_target = async {
            let client = self.request.target.sql().await?;
            let load = async { Inventory::load(&client).await.map_err(|error| Side::Target.failed("listing all objects", error)) };
            in_time(Side::Target, "listing all objects", load).await
        };
        let (source, target) = tokio::try_join!(on_source, on_target)?;
        let keep = self.request.keep;
        let options = inventory::Options { owners: keep.owners, grants: keep.grants, tablespaces: false, sequence_values: false };
        let compared = inventory::compare(&source, &target, options);
        let announced = self.announced(prepared).await?;
        let settled = inventory::settle(&compared, &announced, keep.grants);
        self.cx
            .emit(EventKind::InventoryCompared {
                objects: compared.objects,
                differences: settled.unexplained,
                explained: settled.explained,
                not_compared: compared.not_compared,
            })
            .await?;
        Ok(())
    }

    /// What was announced to be left out: by the plan, and by the target as long as it may not have it.
    async fn announced(&self, prepared: &Prepared) -> Result<Vec<inventory::LeftOut>, Error> {
        let mut conn = self.request.target.wire().await?;
        let ledger = self.own_ledger(&mut conn).await?;
        conn.close().await;
        refuse_emptied(&ledger, prepared)?;
        let refused = ledger.refused;
        let mut announced: Vec<inventory::LeftOut> = prepared.left_out.iter().map(announcement).collect();
        for entry in prepared.archive.pre_data.iter().chain(&prepared.archive.post_data) {
            // What the role may not create was to be expected of a managed target; any other refusal is a difference that nobody announced.
            let reason = refused.get(&entry.dump_id).filter(|reason| reason.contains("42501") || reason.starts_with("It needs "));
            if let Some(reason) = reason {
                announced.push(inventory::LeftOut { kind: entry.kind.clone(), name: entry.name.clone(), reason: reason.clone() });
            }
        }
        for index in prepared.indexes.iter().filter(|index| !index.is_valid && !index.is_partitioned) {
            let reason = "It is invalid on the source, where a build failed; drop it there or build it again.".to_owned();
            announced.push(inventory::LeftOut { kind: "INDEX".to_owned(), name: index.name.human(), reason });
        }
        Ok(announced)
    }

    /// Makes everything durable and removes what was ours.
    async fn cleanup(&self) -> Result<(), Error> {
        let work = async {
            let mut conn = self.request.target.wire().await?;
            crash::point("cleanup.before");
            // An earlier attempt may have removed it without hearing of its success.
            if matches!(self.read_ledger(&mut conn).await?, Found::Ours(_)) {
                ledger::remove(&mut conn).await.map_err(|error| Side::Target.failed("removing the ledger", error))?;
            }
            conn.close().await;
            crash::point("cleanup.ledger-removed");
            archive::remove(self.cx.dir())?;
            crash::point("cleanup.files-removed");
            Ok::<_, Error>(((), Outcome::Success, String::new()))
        };
        self.cx.step("cleanup", Phase::Cleanup, "Removing the migration's own records", work).await
    }
}

/// Refuses to go on if a crash of the target has emptied unlogged tables after all was copied.
fn refuse_emptied(ledger: &Ledger, prepared: &Prepared) -> Result<(), Error> {
    let unlogged: Vec<String> = prepared.tables.iter().filter(|table| table.unlogged).map(|table| table.name.human()).collect();
    if ledger.has_crashed && !unlogged.is_empty() { Err(copy::unlogged_emptied(&unlogged).into()) } else { Ok(()) }
}

fn announcement(out: &LeftOut) -> inventory::LeftOut {
    inventory::LeftOut { kind: out.kind.clone(), name: out.name.clone(), reason: out.reason.clone() }
}

/// Grants may take rights from the role that copies, so they come last.
fn is_for_the_end(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "ACL" | "DEFAULT ACL")
}

/// A table of the archive that is wanted, has rows of its own, and is not on the source any more.
fn is_dropped(entry: &Entry, out: &HashSet<u32>, known: &HashSet<Oid>, compared: &Catalog) -> bool {
    entry.kind == "TABLE" && !out.contains(&entry.dump_id) && !known.contains(&entry.oid) && compared.table(entry.oid).is_none()
}

fn foreign() -> Report {
    Report::new(
        "target-not-empty",
        Exit::Blockers,
        "The target holds the records of another migration, in its schema neon_migrate.",
    )
    .with_fix("Go on with that one from the machine where it was begun, or begin anew with --replace-target.")
}

fn archive_gone() -> Report {
    Report::new(
        "state-gone",
        Exit::State,
        "The target holds an unfinished migration, and its files are not in the state directory any more.",
    )
    .with_fix("Begin anew with --replace-target.")
}
