//! `neon-migrate copy`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::args::{ConnectionString, CopyArgs, Talk, Verify};
use super::ends::ends;
use super::{exit, log, render};
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
use crate::migration::preflight::{self, Address, End, Preflight, Purpose, ServerFacts};
use crate::migration::schema::archive::Keep;
use crate::migration::verify::Method;
use crate::pg::conninfo::{Conninfo, Environment, Host};
use crate::pg::error::PgError;
use crate::pg::tools::Search;

/// How many jobs are wanted for each core of this machine when a server is elsewhere.
const JOBS_PER_CORE: usize = 2;
/// How many there are at least when both servers are on this machine.
const JOBS_HERE_MIN: usize = 2;
/// The default number of jobs is between these.
const JOBS: std::ops::RangeInclusive<usize> = 4..=8;

/// Runs the command.
///
/// # Errors
/// What keeps it from beginning. What happens later is told by the renderer.
pub async fn run(args: CopyArgs, talk: &Talk) -> Result<Exit, Report> {
    let (source, target) = ends(&args.databases, args.machine.state_dir.as_deref())?;
    let options = preflight::Options {
        purpose: Purpose::Copy,
        scope: args.selection.scope(),
        jobs_wanted: args.jobs.unwrap_or_else(|| default_jobs(&source, &target)),
        resume: false,
        replace_target: args.replace_target.is_some(),
        allow_downgrade: args.allow_downgrade,
        tools: Search::new(args.machine.pg_bin_dir.clone()),
        wish: preflight::Wish::Once,
        source_address: Address::of(source.info()),
        target_address: Address::of(target.info()),
        with_platform: true,
    };
    let looking = render::Looking::start(talk);
    let mut looked = look(&source, &target, &options).await?;
    let root = state::root(args.machine.state_dir.as_deref())?;
    let dir = state::migration_dir(&root, &identity(&looked.facts.source), &identity(&looked.facts.target));
    let migration = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let ours = is_ours(&target, &migration).await?;
    let content = looked.facts.target_content.as_ref();
    let holds_all = content.is_some_and(|content| content.objects_total > 0 && !content.own_schema);
    let all_but_ended = holds_all && args.replace_target.is_none() && once::is_all_but_ended(&history(&dir)?);
    if ours || all_but_ended {
        // Whether the target is ours was just looked at, and is not to be guessed from what it holds.
        looked.findings.retain(|finding| !matches!(finding.code.as_str(), "I1" | "I4"));
    } else if args.resume {
        return Err(nothing_to_resume(&looked.facts.target.database));
    }
    drop(looking);
    let replace_target = match &args.replace_target {
        Some(typed) => confirm_replacement(typed, &looked.facts.target)?,
        None => false,
    };
    let cx = Cx::open(&dir).await?;
    log::open(cx.dir());
    let _signals = exit::handle_signals(&cx)
        .map_err(|error| Report::new("internal", Exit::Bug, "Signals cannot be handled.").with_cause(format!("{error}.")))?;
    let renderer = render::start(&cx, talk)?;
    let request = Request {
        source: source.of_migration(&migration),
        target: target.of_migration(&migration),
        migration,
        scope: args.selection.scope(),
        keep: Keep { owners: args.keep_owners, grants: args.keep_grants },
        method: method(args.verify),
        jobs: looked.facts.jobs.max(1),
        split_bytes: args.split_above.map(|size| size.0),
        dry_run: args.dry_run,
        replace_target,
    };
    let work = work(&cx, &request, &looked, Standing { all_but_ended, is_resumed: ours && !replace_target });
    // Whatever is being waited for: who asks twice to stop is not made to wait for it.
    let result = cx.cancel().run_until_cancelled(work).await.unwrap_or(Err(Error::Interrupted));
    let (exit, report) = match result {
        Ok(()) => once::exit(&cx.view()?),
        Err(error) => {
            let report = error.report();
            (report.exit, Some(report))
        }
    };
    cx.finish(exit, report).await?;
    renderer.finish().await;
    Ok(exit)
}

/// Where an earlier run of the same migration stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// It did everything, and was killed before it could say so.
    all_but_ended: bool,
    /// It left something to go on with.
    is_resumed: bool,
}

/// Tells what was found, and runs the copy if nothing stands in its way.
async fn work(cx: &Cx, request: &Request, looked: &Preflight, standing: Standing) -> Result<(), Error> {
    let blocked = looked.refusal();
    if !standing.is_resumed && !standing.all_but_ended && blocked.is_none() {
        cx.begin_anew().await?;
    }
    cx.emit(EventKind::RunStarted {
        command: "copy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        source: request.source.info().label(),
        target: request.target.info().label(),
    })
    .await?;
    cx.phase(Phase::Preflight, async {
        for finding in &looked.findings {
            cx.emit(EventKind::FindingRaised { finding: finding.clone() }).await?;
        }
        blocked.map_or(Ok(()), |report| Err(Error::from(report)))
    })
    .await?;
    if standing.all_but_ended {
        let message = "An earlier run did everything, and was killed before it could say so.".to_owned();
        cx.emit(EventKind::Notice { message, warning: false }).await?;
        return once::end(cx, request, looked).await;
    }
    once::run(cx, request, looked).await
}

/// What earlier runs of the migration in `dir` did.
fn history(dir: &Path) -> Result<View, Report> {
    let mut view = View::default();
    if dir.join(journal::FILE).exists() {
        History::open(dir)?.read(|event| view.apply(&event))?;
    }
    Ok(view)
}

/// Parses a connection string, and says what in it was passed over.
pub(super) fn parse(text: &ConnectionString, side: Side) -> Result<Conninfo, Report> {
    let info = Conninfo::parse(text.expose(), &Environment::of_process()).map_err(|error| {
        let text = error.to_string();
        let text = ["The connection string could not be read: ", "The connection string could not be used: "]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .map_or_else(|| in_a_sentence(&text), str::to_owned);
        Report::new(error.code(), Exit::Usage, format!("The {}'s connection string cannot be used: {text}", side.name()))
            .with_fix("Mend it; these are the forms that are understood:\n  postgresql://user@host:5432/database?sslmode=require\n  'host=… port=5432 user=… dbname=… sslmode=require'\n  service=name")
    })?;
    for notice in info.notices() {
        anstream::eprintln!("{}: {notice}", side.name());
    }
    Ok(info)
}

/// Connects to both ends, twice each, and looks at them.
pub(super) async fn look(source: &Source, target: &Target, options: &preflight::Options) -> Result<Preflight, Report> {
    // One after the other: a wrong password is tried once, and no account gets locked for it.
    let sessions = async {
        let (source_first, target_first) = tokio::try_join!(source.sql(), target.sql())?;
        let (source_second, target_second) = tokio::try_join!(source.sql(), target.sql())?;
        Ok((source_first, source_second, target_first, target_second))
    };
    let (source_first, source_second, target_first, target_second) = sessions.await.map_err(not_begun)?;
    let (source_hint, target_hint) = (source.info().is_pooled_hint(), target.info().is_pooled_hint());
    let source_end = End { client: &source_first, second: Some(&source_second), pooled: source_hint.as_ref() };
    let target_end = End { client: &target_first, second: Some(&target_second), pooled: target_hint.as_ref() };
    preflight::run(source_end, target_end, options).await.map_err(|failure| failure.report())
}

/// What calms a person whose command did not even begin.
const NOTHING_WRITTEN: &str = "Nothing was written.";

/// A sentence as the second half of another one.
fn in_a_sentence(sentence: &str) -> String {
    let first = sentence.split(' ').next().unwrap_or_default();
    // The name of a host or a user stays as it is.
    if matches!(first, "The" | "There" | "Nothing" | "What" | "User" | "No" | "None") {
        let (head, tail) = sentence.split_at(1);
        head.to_lowercase() + tail
    } else {
        sentence.to_owned()
    }
}

/// A failure before anything was done is that side's, not a pause.
pub(super) fn not_begun(error: Error) -> Report {
    let mut report = error.report();
    if let Error::Pg { side, doing, error } = &error {
        report.exit = if *side == Side::Source { Exit::Source } else { Exit::Target };
        if let PgError::Connect(dial) = error {
            report.code = dial.code().to_owned();
            report.message = format!("The {} cannot be connected to: {}", side.name(), in_a_sentence(dial.what()));
            report.causes = Vec::new();
            report.fix = Some(format!("{NOTHING_WRITTEN} {}", dial.fix()));
        } else {
            report.message = format!("The {} could not be looked at: {doing} failed.", side.name());
            report.fix = Some(format!("{NOTHING_WRITTEN} See that the server is up and answers, then run the same command again."));
        }
    }
    report
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

/// The name of the database, typed, is what allows its content to be removed.
fn confirm_replacement(typed: &str, target: &ServerFacts) -> Result<bool, Report> {
    let database = &target.database;
    let refused = || {
        Report::new(
            "not-confirmed",
            Exit::Usage,
            format!("The target's content was not removed: its name, {database}, was not given."),
        )
        .with_fix(format!(
            "Give the name of the database whose content may go: --replace-target='{}'",
            database.replace('\'', "'\\''")
        ))
    };
    if !typed.is_empty() {
        return if typed == database { Ok(true) } else { Err(refused()) };
    }
    if !std::io::stdin().is_terminal() {
        return Err(refused());
    }
    anstream::eprint!("Everything in the database {database} on the target will be removed. Type its name to go on: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim_end_matches(['\r', '\n']) == database { Ok(true) } else { Err(refused()) }
}

fn nothing_to_resume(database: &str) -> Report {
    Report::new(
        "nothing-to-resume",
        Exit::Blockers,
        format!("The target {database} holds no unfinished migration from this source."),
    )
    .with_fix("Leave --resume out to begin one. A migration that was begun on another machine, or with another --state-dir, goes on only from there.")
}

/// The default number of jobs. Sessions with servers elsewhere wait for the network more than they work, so that there are more of them than cores;
/// servers on this machine share its cores with us, and more sessions than cores only take time from the longest one.
pub(super) fn default_jobs(source: &Source, target: &Target) -> u32 {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let jobs = if is_here(source.info()) && is_here(target.info()) {
        cores.clamp(JOBS_HERE_MIN, *JOBS.end())
    } else {
        (cores * JOBS_PER_CORE).clamp(*JOBS.start(), *JOBS.end())
    };
    u32::try_from(jobs).unwrap_or(4)
}

/// Whether a server is on this machine, as far as its address tells.
fn is_here(info: &Conninfo) -> bool {
    let local = |name: &str| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    info.endpoints().iter().all(|endpoint| match &endpoint.host {
        Host::Socket(_) => true,
        Host::Name(name) => local(name),
    })
}

/// How tables are compared.
pub(super) fn method(verify: Verify) -> Option<Method> {
    match verify {
        Verify::None => None,
        Verify::Counts => Some(Method::Counts),
        Verify::Hash => Some(Method::Hash),
        Verify::Strict => Some(Method::Strict),
    }
}
