//! `neon-migrate verify`: two databases at rest, compared.

use super::args::{Talk, VerifyArgs};
use super::copy::method;
use super::ends::ends;
use super::{exit, log, render};
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::migration::run::verify;

/// Runs the command.
///
/// # Errors
/// What keeps it from beginning. What happens later is told by the renderer.
pub async fn run(args: VerifyArgs, talk: &Talk) -> Result<Exit, Report> {
    let (source, target) = ends(&args.databases, args.state_dir.as_deref())?;
    let options = verify::Options { scope: args.selection.scope(), method: method(args.verify), jobs: args.jobs };
    let looking = render::Looking::start(talk);
    let root = state::root(args.state_dir.as_deref())?;
    let prepared = verify::prepare(&source, &target, options, &root).await?;
    drop(looking);
    let cx = prepared.open().await?;
    log::open(cx.dir());
    let _signals = exit::handle_signals(&cx)?;
    let renderer = render::start(&cx, talk)?;
    let exit = prepared.run(&cx).await?;
    renderer.finish().await;
    Ok(exit)
}
