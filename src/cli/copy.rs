//! `neon-migrate copy`.

use std::io::{BufRead, IsTerminal, Write};

use super::args::{CopyArgs, Talk, Verify};
use super::ends::ends;
use super::{exit, log, render};
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::migration::run::copy::{self, not_confirmed};
use crate::migration::schema::archive::Keep;
use crate::migration::verify::Method;
use crate::pg::tools::Search;

/// Runs the command.
///
/// # Errors
/// What keeps it from beginning. What happens later is told by the renderer.
pub async fn run(args: CopyArgs, talk: &Talk) -> Result<Exit, Report> {
    let (source, target) = ends(&args.databases, args.machine.state_dir.as_deref())?;
    let looking = render::Looking::start(talk);
    let root = state::root(args.machine.state_dir.as_deref())?;
    let mut prepared = copy::prepare(&source, &target, options(&args), &root).await?;
    drop(looking);
    if let (Some(typed), Some(database)) = (&args.replace_target, prepared.to_confirm()) {
        let name = if typed.is_empty() { ask_name(database)? } else { typed.clone() };
        prepared.confirm(&name)?;
    }
    let cx = prepared.open().await?;
    log::open(cx.dir());
    let _signals = exit::handle_signals(&cx)?;
    let renderer = render::start(&cx, talk)?;
    let exit = prepared.run(&cx).await?;
    renderer.finish().await;
    Ok(exit)
}

fn options(args: &CopyArgs) -> copy::Options {
    copy::Options {
        scope: args.selection.scope(),
        keep: Keep { owners: args.keep_owners, grants: args.keep_grants },
        method: method(args.verify),
        jobs: args.jobs,
        split_bytes: args.split_above.map(|size| size.0),
        dry_run: args.dry_run,
        resume: args.resume,
        replace_target: args.replace_target.is_some(),
        allow_downgrade: args.allow_downgrade,
        tools: Search::new(args.machine.pg_bin_dir.clone()),
    }
}

/// Asks for the name of the database whose content is to go.
fn ask_name(database: &str) -> Result<String, Report> {
    if !std::io::stdin().is_terminal() {
        return Err(not_confirmed(database));
    }
    anstream::eprint!("Everything in the database {database} on the target will be removed. Type its name to go on: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|_| not_confirmed(database))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
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
