//! The two ends, as the command line names them; and the target that `create-project` made, where none is named.

use std::path::Path;

use super::args::{ConnectionString, Databases};
use crate::engine::report::{Exit, Report};
use crate::engine::state;
use crate::migration::ends::{Source, Target};
use crate::migration::error::Side;
use crate::migration::provision::projects::{kept_connection, latest_for};
use crate::migration::run;
use crate::pg::conninfo::Conninfo;

/// Both ends.
///
/// # Errors
/// A connection string that cannot be used; no target, with the one that may be meant.
pub(super) fn ends(databases: &Databases, state_dir: Option<&Path>) -> Result<(Source, Target), Report> {
    let source = Source::new(parse(&databases.source, Side::Source)?);
    let Some(target) = &databases.target else { return Err(no_target(&source.info().label(), state_dir)) };
    Ok((source, Target::new(parse(target, Side::Target)?)))
}

/// Parses a connection string, and says what in it was passed over.
pub(super) fn parse(text: &ConnectionString, side: Side) -> Result<Conninfo, Report> {
    let info = run::parse(text.expose(), side)?;
    for notice in info.notices() {
        anstream::eprintln!("{}: {notice}", side.name());
    }
    Ok(info)
}

/// A target is never guessed: what was created for this source is offered, and somebody says yes by pasting it.
fn no_target(source: &str, state_dir: Option<&Path>) -> Report {
    let report = Report::new("no-target", Exit::Usage, "No target was named.");
    match created_target(source, state_dir) {
        Some((sentence, command)) => report.with_cause(sentence).with_fix(format!("If it is the target, paste this and run the command again:\n{command}")),
        None => report.with_fix(
            "Name it with --target, or in NEON_MIGRATE_TARGET. If there is none yet, neon-migrate create-project makes one at Neon that fits the source.",
        ),
    }
}

/// The project that was created for a source: a sentence about it, and the line that makes it the target. A kept password stays in its file.
pub(super) fn created_target(source: &str, state_dir: Option<&Path>) -> Option<(String, String)> {
    let root = state::root(state_dir).ok()?;
    let project = latest_for(&root, source)?;
    let sentence = format!(
        "The Neon project {} ({}) was created for this source on {}.",
        crate::pg::names::human(&project.name),
        project.id,
        project.created_at.strftime("%-d %B %Y")
    );
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let command = match kept_connection(&root, &project.id) {
        Some(file) => format!("export NEON_MIGRATE_TARGET=\"$(cat {})\"", quoted(&file.display().to_string())),
        None => format!("export NEON_MIGRATE_TARGET={}", quoted(&project.connection?)),
    };
    Some((sentence, command))
}
