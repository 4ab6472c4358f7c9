//! `neon-migrate check`.

mod args;
mod file;

use std::path::Path;

pub use self::args::CheckArgs;
use super::args::{ConnectionString, Output, Talk};
use super::ends::{created_target, parse};
use super::render;
use crate::engine::checkup::Checkup;
use crate::engine::report::{Exit, Report};
use crate::migration::ends::{Source, Target};
use crate::migration::error::Side;
use crate::migration::preflight::session::{Session, With};
use crate::migration::preflight::{self, Address, Against, Labels, Options, Place, Subject, Wish};
use crate::migration::run::not_begun;
use crate::pg::tools::Search;
use crate::show::form;

/// How many jobs are reckoned with unless somebody says so.
const JOBS: u32 = 4;

/// Runs the command.
///
/// # Errors
/// An end cannot be connected to, a connection was lost, or a file cannot be read or written.
pub async fn run(args: CheckArgs, talk: &Talk) -> Result<Exit, Report> {
    if let Some(code) = &args.explain {
        return explain(code);
    }
    if args.only_metadata {
        anstream::print!("{}", preflight::metadata_script());
        return Ok(Exit::Done);
    }
    form::writable(&args.report)?;
    let mut checkup = match &args.from_file {
        Some(file) => of_file(&args, file).await?,
        None => of_source(&args, talk).await?,
    };
    if checkup.target.is_none() {
        offer_created(&mut checkup, args.machine.state_dir.as_deref());
    }
    for path in &args.report {
        file::write(&checkup, path)?;
    }
    if talk.output == Output::Json {
        render::checkup::print_json(&checkup);
    } else {
        render::checkup::print(&checkup, talk.quiet, &args.report);
    }
    Ok(if checkup.is_blocked() { Exit::Blockers } else { Exit::Done })
}

/// Where a project was created for the source already, the plan goes on with it.
fn offer_created(checkup: &mut Checkup, state_dir: Option<&Path>) {
    let Some((sentence, command)) = created_target(&checkup.source.label, state_dir) else { return };
    for step in checkup.plan.iter_mut().filter(|step| step.command.as_deref() == Some("neon-migrate create-project")) {
        "Go on with the project that there is".clone_into(&mut step.title);
        step.sentence.clone_from(&sentence);
        step.command = Some(command.clone());
    }
}

fn explain(code: &str) -> Result<Exit, Report> {
    let all = preflight::explanations();
    let wanted: Vec<_> = all.iter().filter(|one| code == "all" || one.code.eq_ignore_ascii_case(code)).collect();
    if wanted.is_empty() {
        let codes: Vec<&str> = all.iter().map(|one| one.code).collect();
        let why = format!("There is no check {code:?}.");
        return Err(Report::new("unknown-check", Exit::Usage, why).with_fix(format!("These are there: {}.", codes.join(" "))));
    }
    for one in wanted {
        render::checkup::print_explanation(one.code, one.title, one.text);
    }
    Ok(Exit::Done)
}

fn options(args: &CheckArgs, source: Option<Address>) -> Options {
    let wish = match (args.live, args.once) {
        (true, _) => Wish::Live,
        (_, true) => Wish::Once,
        _ => Wish::Open,
    };
    Options {
        wish,
        scope: args.selection.scope(),
        jobs_wanted: args.jobs.unwrap_or(JOBS),
        tools: Search::new(args.machine.pg_bin_dir.clone()),
        source_address: source,
        with_platform: args.with_platform,
        ..Options::check()
    }
}

fn source_string(args: &CheckArgs) -> Option<&ConnectionString> {
    args.position.as_ref().or(args.source.as_ref())
}

async fn of_source(args: &CheckArgs, talk: &Talk) -> Result<Checkup, Report> {
    let Some(source) = source_string(args) else {
        let fix = "Name the source: neon-migrate check postgresql://user@host/database, or put it into NEON_MIGRATE_SOURCE.";
        return Err(Report::new("no-source", Exit::Usage, "There is no source to check.").with_fix(fix));
    };
    let source = Source::new(parse(source, Side::Source)?);
    let target = match args.target.as_ref().filter(|_| !args.neon) {
        Some(target) => Some(Target::new(parse(target, Side::Target)?)),
        None => None,
    };
    let looking = render::Looking::start(talk);
    let with = match &target {
        Some(target) => With::Target(target),
        None if args.neon => With::Neon,
        None => With::Nothing,
    };
    let session = Session::open(&source, with, options(args, None)).await.map_err(not_begun)?;
    let checkup = session.check(&preflight::quietly).await;
    drop(looking);
    checkup.map_err(|failure| failure.report())
}

async fn of_file(args: &CheckArgs, path: &Path) -> Result<Checkup, Report> {
    let metadata = file::read(path)?;
    // What the source is called there tells its provider and region; nothing is connected to.
    let info = match source_string(args) {
        Some(source) => Some(parse(source, Side::Source)?),
        None => None,
    };
    let options = options(args, info.as_ref().and_then(Address::of));
    let labels = Labels { source: path.display().to_string(), target: None };
    let against = if args.neon { Against::Neon } else { Against::Nothing };
    let subject = Subject { source: Place::File(&metadata), against, labels: &labels, options: &options };
    preflight::checkup(subject, &preflight::quietly).await.map_err(|_| not_whole(path))
}

/// What every report needs is not in the file.
fn not_whole(path: &Path) -> Report {
    Report::new("metadata-file", Exit::Usage, format!("{} does not say enough to be evaluated.", path.display()))
        .with_cause("It lacks the answer to a question that every report needs: it failed there, or the script is that of another version.")
        .with_fix("Print the script with this version (neon-migrate check --only-metadata), run it again with psql, and look at the errors that psql shows.")
}
