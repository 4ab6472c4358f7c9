//! `neon-migrate report`: a whole migration as a file, and its recording for a bug report.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::args::{Output, Talk};
use super::render::{print_err, text::Line};
use super::status;
use crate::engine::lock::Owner;
use crate::engine::report::{Exit, Report};
use crate::show::bundle::{self, BundleError};
use crate::show::form::{self, Form};
use crate::show::migration_report::MigrationReport;

/// What `report` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  neon-migrate report                          the migration worked on last, as Markdown
  neon-migrate report --file migration.html    for the archive, to open in a browser

  For a bug report; look into the file before you send it:
    neon-migrate report --bundle migration.jsonl
    neon-migrate ui --replay migration.jsonl")]
pub struct ReportArgs {
    /// Which migration [default: the one that was worked on last]
    pub migration: Option<String>,

    /// Write the report to this file; its ending tells the form: .html, .md or .json; may be repeated
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,

    /// Write a recording to this file, JSON lines, for a bug report or a replay
    ///
    /// It has every event. The names and addresses of both ends, definitions, and everything that a server said are taken out, so that
    /// nothing is in it that a row may have held. Names of schemas, tables and other objects stay.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,

    /// Where the state of migrations is kept [default: ~/.local/state/neon-migrate]
    #[arg(long, value_name = "DIR", env = "NEON_MIGRATE_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// There is no such migration, its journal cannot be read, or a file cannot be written.
pub fn run(args: &ReportArgs, talk: &Talk) -> Result<Exit, Report> {
    form::writable(&args.file)?;
    let dir = status::find(args.state_dir.as_deref(), args.migration.as_deref())?;
    let (view, owner) = status::load(&dir)?;
    let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
    let report = MigrationReport { name: &name, view: &view, running: owner != Owner::Nobody, at: Timestamp::now() };
    for path in &args.file {
        form::write(path, &report.write(Form::of(path).unwrap_or(Form::Html))?)?;
        written(talk, "report", path);
    }
    if let Some(path) = &args.bundle {
        record(&dir, path).map_err(|error| error.report(&path.display().to_string()))?;
        written(talk, "recording", path);
    }
    if args.file.is_empty() && args.bundle.is_none() {
        let form = if talk.output == Output::Json { Form::Json } else { Form::Markdown };
        anstream::print!("{}", report.write(form)?);
    }
    Ok(Exit::Done)
}

fn record(dir: &Path, path: &Path) -> Result<(), BundleError> {
    bundle::write(dir, &mut BufWriter::new(File::create(path)?))
}

fn written(talk: &Talk, what: &str, path: &Path) {
    if !talk.quiet {
        print_err(&[Line::new(format!("The {what} was written to ")).text(path.display()).text(".")]);
    }
}
