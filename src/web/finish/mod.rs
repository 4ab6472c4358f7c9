//! Step 5: the end. Comparing once more, turning replication off, sequences, the new connection string, and the report of it all.

mod connection;
pub mod downloads;
mod draw;
mod off;
mod sequences;
mod verify;

use std::sync::{Mutex, MutexGuard};

use axum::Router;
use axum::routing::post;

use super::app::{App, lock};
use super::guard::Visitor;
use super::page::{Part, Standing, StepState, Wanted};
use crate::engine::report::{Exit, Report};

/// What the step knows.
#[derive(Debug, Default)]
pub struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The databases that the rest is about.
    pair: String,
    verify: verify::Stands,
    off: off::Stands,
    sequences: sequences::Stands,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

/// Changes what the step knows, and what is shown of it.
fn change<T>(app: &App, change: impl FnOnce(&mut Inner) -> T) -> T {
    let result = change(&mut app.finish.lock());
    app.touch();
    result
}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/finish/verify", post(verify::begin))
        .route("/finish/verify/stop", post(verify::stop))
        .route("/finish/off", post(off::run))
        .route("/finish/off/look", post(off::look_again))
        .route("/finish/sequences", post(sequences::bring))
        .route("/finish/sequences/compare", post(sequences::compare))
        .route("/finish/password", post(connection::reveal))
}

/// Where it stands.
pub fn standing(app: &App) -> Standing {
    let inner = app.finish.lock();
    if inner.verify.is_running() {
        return Standing::new(StepState::Running, "Comparing");
    }
    if matches!(inner.off, off::Stands::Running(_)) {
        return Standing::new(StepState::Running, "Turning replication off");
    }
    if inner.sequences.is_busy() {
        return Standing::new(StepState::Running, "Sequences");
    }
    if matches!(inner.off, off::Stands::Failed(..)) {
        return Standing::new(StepState::Attention, "Replication is not off");
    }
    match inner.verify.view().and_then(|view| view.ended.as_ref()).map(|ended| ended.exit) {
        Some(Exit::Done) => Standing::new(StepState::Done, "Compared"),
        Some(Exit::Mismatch) => Standing::new(StepState::Attention, "The two sides differ"),
        Some(_) => Standing::new(StepState::Attention, "The comparison stopped"),
        None => Standing::new(StepState::ToCome, ""),
    }
}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    forget_others(app);
    off::look_once(app);
    draw::parts(app, visitor, wanted)
}

/// What was learnt of other databases is not shown as if it were about these.
fn forget_others(app: &App) {
    let ends = app.ends();
    let label = |label: Option<String>| label.unwrap_or_default();
    let source = label(ends.source.map(|source| source.info().label()));
    let target = label(ends.target.map(|target| target.info().label()));
    let pair = format!("{source}\n{target}");
    let mut inner = app.finish.lock();
    let is_busy = inner.verify.is_running() || inner.sequences.is_busy() || matches!(inner.off, off::Stands::Running(_));
    if inner.pair != pair && !is_busy {
        *inner = Inner { pair, ..Inner::default() };
    }
}
