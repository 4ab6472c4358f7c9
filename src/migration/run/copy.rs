//! A one-time copy, from its two ends to its end.

use std::path::{Path, PathBuf};

use super::{begin, default_jobs, finish, look, not_begun, tell};
use crate::engine::event::EventKind;
use crate::engine::journal::{self, History};
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::engine::step::Cx;
use crate::engine::view::View;
use crate::migration::ends::{Source, Target};
use crate::migration::error::{Error, Side};
use crate::migration::ledger::{self, Found};
use crate::migration::once::{self, Request};
use crate::migration::preflight::{self, Address, Preflight, Purpose, ServerFacts};
use crate::migration::schema::archive::Keep;
use crate::migration::scope::Scope;
use crate::migration::verify::Method;
use crate::pg::tools::Search;

/// What is asked for, beside the two ends.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which tables.
    pub scope: Scope,
    /// What of ownership and rights is carried over.
    pub keep: Keep,
    /// How tables are compared; not at all if there is none.
    pub method: Option<Method>,
    /// How many connections work at once on each side; by both servers and this machine if it is not said.
    pub jobs: Option<u32>,
    /// From which size on a table is cut into ranges, in bytes.
    pub split_bytes: Option<u64>,
    /// Show the plan and write nothing.
    pub dry_run: bool,
    /// There has to be something to go on with.
    pub resume: bool,
    /// What the target holds is to be removed; it is once that is confirmed ([`Prepared::confirm`]).
    pub replace_target: bool,
    /// A target of an older major than the source is accepted.
    pub allow_downgrade: bool,
    /// Where to look for pg_dump and pg_restore.
    pub tools: Search,
}

/// Where an earlier run of the same migration stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// It did everything, and was killed before it could say so.
    all_but_ended: bool,
    /// It left its ledger on the target.
    ours: bool,
}

/// A copy whose ends have been looked at. Nothing has been written.
#[derive(Debug)]
pub struct Prepared {
    request: Request,
    looked: Preflight,
    standing: Standing,
    dir: PathBuf,
    wants_replacement: bool,
}

/// Looks at both ends, and whether an earlier run left something to go on with.
///
/// # Errors
/// An end that cannot be looked at; nothing to go on with where that is insisted on.
pub async fn prepare(source: &Source, target: &Target, options: Options, root: &Path) -> Result<Prepared, Report> {
    let mut looked = look(source, target, &preflight_options(source, target, &options)).await?;
    let dir = state::migration_dir(root, &identity(&looked.facts.source), &identity(&looked.facts.target));
    let migration = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let ours = is_ours(target, &migration).await?;
    let content = looked.facts.target_content.as_ref();
    let holds_all = content.is_some_and(|content| content.objects_total > 0 && !content.own_schema);
    let all_but_ended = holds_all && !options.replace_target && once::is_all_but_ended(&history(&dir)?);
    if ours || all_but_ended {
        // Whether the target is ours was just looked at, and is not to be guessed from what it holds.
        looked.findings.retain(|finding| !matches!(finding.code.as_str(), "I1" | "I4"));
    } else if options.resume {
        return Err(nothing_to_resume(&looked.facts.target.database));
    }
    let request = Request {
        source: source.clone().of_migration(&migration),
        target: target.clone().of_migration(&migration),
        migration,
        scope: options.scope,
        keep: options.keep,
        method: options.method,
        jobs: looked.facts.jobs.max(1),
        split_bytes: options.split_bytes,
        dry_run: options.dry_run,
        replace_target: false,
    };
    let standing = Standing { all_but_ended, ours };
    Ok(Prepared { request, looked, standing, dir, wants_replacement: options.replace_target })
}

fn preflight_options(source: &Source, target: &Target, options: &Options) -> preflight::Options {
    preflight::Options {
        purpose: Purpose::Copy,
        scope: options.scope.clone(),
        jobs_wanted: options.jobs.unwrap_or_else(|| default_jobs(source, target)),
        resume: false,
        replace_target: options.replace_target,
        allow_downgrade: options.allow_downgrade,
        tools: options.tools.clone(),
        wish: preflight::Wish::Once,
        source_address: Address::of(source.info()),
        target_address: Address::of(target.info()),
        with_platform: true,
    }
}

impl Prepared {
    /// What was found at both ends.
    pub fn looked(&self) -> &Preflight {
        &self.looked
    }

    /// The name of the target's database, if typing it is what allows its content to be removed.
    pub fn to_confirm(&self) -> Option<&str> {
        (self.wants_replacement && !self.request.replace_target).then_some(self.looked.facts.target.database.as_str())
    }

    /// The name of the database, typed, is what allows its content to be removed.
    ///
    /// # Errors
    /// Another name.
    pub fn confirm(&mut self, typed: &str) -> Result<(), Report> {
        let Some(database) = self.to_confirm() else { return Ok(()) };
        if typed != database {
            return Err(not_confirmed(database));
        }
        self.request.replace_target = true;
        Ok(())
    }

    /// Becomes the owner of the migration and opens its journal.
    ///
    /// # Errors
    /// A replacement that was not confirmed; another process that works on the migration; a directory that cannot be used.
    pub async fn open(&self) -> Result<Cx, Report> {
        match self.to_confirm() {
            Some(database) => Err(not_confirmed(database)),
            None => Cx::open(&self.dir).await,
        }
    }

    /// Runs the copy to its end, whatever that is, and records it. It stops when `cx` says so.
    ///
    /// # Errors
    /// The journal cannot be written any more.
    pub async fn run(&self, cx: &Cx) -> Result<Exit, Report> {
        // Whatever is being waited for: who asks twice to stop is not made to wait for it.
        let result = cx.cancel().run_until_cancelled(self.work(cx)).await.unwrap_or(Err(Error::Interrupted));
        finish(cx, result.map_err(|error| error.report())).await
    }

    /// Tells what was found, and runs the copy if nothing stands in its way.
    async fn work(&self, cx: &Cx) -> Result<(), Error> {
        let (request, looked) = (&self.request, &self.looked);
        let is_resumed = self.standing.ours && !request.replace_target;
        if !is_resumed && !self.standing.all_but_ended && looked.refusal().is_none() {
            cx.begin_anew().await?;
        }
        begin(cx, "copy", &request.source, &request.target).await?;
        cx.phase(Phase::Preflight, tell(cx, looked)).await?;
        if self.standing.all_but_ended {
            let message = "An earlier run did everything, and was killed before it could say so.".to_owned();
            cx.emit(EventKind::Notice { message, warning: false }).await?;
            return once::end(cx, request, looked).await;
        }
        once::run(cx, request, looked).await
    }
}

/// What earlier runs of the migration in `dir` did.
fn history(dir: &Path) -> Result<View, Report> {
    let mut view = View::default();
    if dir.join(journal::FILE).exists() {
        History::open(dir)?.read(|event| view.apply(&event))?;
    }
    Ok(view)
}

/// What a database is, whatever its address: the cluster's identifier and the database's oid.
fn identity(facts: &ServerFacts) -> String {
    let cluster = facts.system_identifier.clone().unwrap_or_else(|| "unknown".to_owned());
    format!("{cluster}:{}/{}", facts.database_oid, facts.database)
}

/// Whether the target holds this migration's ledger.
async fn is_ours(target: &Target, migration: &str) -> Result<bool, Report> {
    let mut conn = target.wire().await.map_err(not_begun)?;
    let found = ledger::read(&mut conn, migration).await;
    conn.close().await;
    let found = found.map_err(|error| not_begun(Side::Target.failed("looking for an earlier migration", error)))?;
    Ok(matches!(found, Found::Ours(_)))
}

/// What the target holds may not go.
pub fn not_confirmed(database: &str) -> Report {
    Report::new("not-confirmed", Exit::Usage, format!("The target's content was not removed: its name, {database}, was not given."))
        .with_fix(format!(
            "Give the name of the database whose content may go: --replace-target='{}'",
            database.replace('\'', "'\\''")
        ))
}

fn nothing_to_resume(database: &str) -> Report {
    Report::new(
        "nothing-to-resume",
        Exit::Blockers,
        format!("The target {database} holds no unfinished migration from this source."),
    )
    .with_fix("Leave --resume out to begin one. A migration that was begun on another machine, or with another --state-dir, goes on only from there.")
}
