//! The log of a run: JSON lines in the migration's directory, always on, for the day when something went wrong and nobody watched.
//!
//! What may be in it is what may be in errors: no secret and no row value. Only this program's own records are kept; what libraries say is not
//! ours to vouch for. With `-v` and `-vv` the same records go to standard error too.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::engine::event::{Event, EventKind};

/// The file in a migration's directory.
pub const FILE: &str = "run.log";
/// What was logged before the migration's directory was known is kept up to this size, in bytes.
const EARLY_MAX: usize = 64 * 1024;

static SINK: Mutex<Sink> = Mutex::new(Sink::Early(Vec::new()));

enum Sink {
    Early(Vec<u8>),
    File(File),
}

/// Begins to log. `verbose` is how often `-v` was given.
pub fn start(verbose: u8) {
    let ours = |level: Level| Targets::new().with_target("neon_migrate", level);
    let file = fmt::layer().json().with_writer(|| ToFile).with_filter(ours(Level::DEBUG));
    let said = (verbose > 0).then(|| {
        let level = if verbose > 1 { Level::DEBUG } else { Level::INFO };
        fmt::layer().compact().with_target(false).with_ansi(false).with_writer(io::stderr).with_filter(ours(level))
    });
    // A second start in one process changes nothing.
    let _ = tracing_subscriber::registry().with(file).with(said).try_init();
}

/// Logs to the migration's directory from here on, which exists by now. A run whose log cannot be written goes on: its journal can.
pub fn open(dir: &Path) {
    let Ok(mut file) = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(FILE)) else { return };
    let mut sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
    if let Sink::Early(early) = &*sink {
        let _ = file.write_all(early);
    }
    *sink = Sink::File(file);
}

/// Logs that something happened. The journal has all of it; here is what tells the story beside the records of connections.
pub fn event(event: &Event) {
    match &event.kind {
        EventKind::RunStarted { command, version, pid, source, target } => {
            tracing::info!(index = event.index, command, version, pid, source, target, "a run began");
        }
        EventKind::PhaseStarted { phase } => tracing::info!(index = event.index, ?phase, "a phase began"),
        EventKind::PhaseFinished { phase } => tracing::info!(index = event.index, ?phase, "a phase ended"),
        EventKind::StepStarted { step, .. } => tracing::debug!(index = event.index, step, "a step began"),
        EventKind::StepFinished { step, message, .. } => tracing::debug!(index = event.index, step, message, "a step ended"),
        EventKind::StepFailed { step, report } => {
            tracing::error!(index = event.index, step, code = report.code, causes = ?report.causes, "{}", report.message);
        }
        EventKind::Retrying { what, attempt, reason, .. } => {
            tracing::warn!(index = event.index, what, attempt, reason, "it is tried again");
        }
        EventKind::FindingRaised { finding } => {
            tracing::info!(index = event.index, code = finding.code, severity = ?finding.severity, "{}", finding.sentence);
        }
        EventKind::Notice { message, .. } => tracing::info!(index = event.index, "{message}"),
        EventKind::RunFinished { exit, report: Some(report) } => {
            tracing::error!(index = event.index, ?exit, code = report.code, causes = ?report.causes, "{}", report.message);
        }
        EventKind::RunFinished { exit, report: None } => tracing::info!(index = event.index, ?exit, "the run ended"),
        _ => (),
    }
}

struct ToFile;

impl Write for ToFile {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        match &mut *SINK.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::File(file) => file.write_all(record)?,
            Sink::Early(early) if early.len() + record.len() <= EARLY_MAX => early.extend_from_slice(record),
            Sink::Early(_) => (),
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
