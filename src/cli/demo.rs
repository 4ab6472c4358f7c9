//! `neon-migrate demo`: a sample database to try things on.

use super::args::DemoCommand;
use super::exit;
use crate::demo::load::{LoadError, load};
use crate::engine::report::{Exit, Report};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::error::PgError;
use crate::pg::sql;

/// Runs the command.
pub async fn run(command: &DemoCommand, quiet: bool) -> Result<Exit, Report> {
    let DemoCommand::Load { source, scale } = command;
    let info = Conninfo::parse(source.expose(), &Environment::of_process())
        .map_err(|error| Report::new(error.code(), Exit::Usage, error.to_string()))?;
    let client = sql::connect(&info, "neon-migrate demo").await.map_err(not_connected)?;
    let stop = exit::stop_on_signal()?;
    let size = load(&client, *scale, &stop, |done| {
        if !quiet {
            anstream::println!("[{:>2}/{}] {}, {:.1} s", done.number, done.of, done.batch.title, done.took.as_secs_f64());
        }
    })
    .await
    .map_err(|error| not_loaded(&error))?;
    anstream::println!("The sample shop is in {}: {} MB.", info.label(), size / 1_000_000);
    Ok(Exit::Done)
}

fn not_connected(error: PgError) -> Report {
    match error {
        PgError::Connect(error) => Report::new(error.code(), Exit::Source, error.what()).with_fix(error.fix()),
        error => Report::new("source-lost", Exit::Source, "The database could not be used.").with_cause(format!("{error}.")),
    }
}

fn not_loaded(error: &LoadError) -> Report {
    let again = "Make an empty database for it, for example with `create database shop`, and name that one.";
    match error {
        LoadError::NotEmpty => Report::new("demo-not-empty", Exit::Blockers, error.to_string()).with_fix(again),
        LoadError::Stopped => Report::new("interrupted", Exit::Interrupted, error.to_string()).with_fix(again),
        LoadError::Failed { error: cause, .. } => {
            Report::new("demo-failed", Exit::Source, error.to_string()).with_cause(format!("{cause}.")).with_fix(again)
        }
    }
}
