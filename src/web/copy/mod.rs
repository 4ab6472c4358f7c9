//! Step 3: the rows. The copy runs in this process, or somebody gets the lines that do it by hand.
//!
//! What is shown of a copy is the engine's view of it ([`super::live`]) and nothing else, so that a copy of this process, of another one and of the
//! past look the same; [`work`] begins and pauses, [`form`] is what can be chosen, [`super::commands`] has the lines, [`tables`], [`chart`] and [`end`] draw.

mod chart;
mod end;
mod form;
mod moving;
mod tables;
mod ways;
mod work;

use std::sync::Mutex;

use axum::Router;
use axum::routing::post;

use self::form::Typed;
use self::work::Job;
use super::app::{App, lock};
use super::commands;
use super::guard::Visitor;
use super::live::{Origin, Shown};
use super::page::{Part, Standing, StepState, Wanted};
use crate::engine::event::EventIndex;
use crate::engine::phase::Phase;
use crate::engine::report::{Exit, Report};
use crate::migration::run::copy::Options;
use crate::show::numbers::percent;

/// What the step knows.
#[derive(Debug, Default)]
pub struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    job: Job,
    typed: Typed,
    /// What kept the last copy from beginning.
    report: Option<Box<Report>>,
    /// What the last copy of this process was asked for, and between which ends: it goes on with the same.
    last: Option<(Pair, Options)>,
}

/// The two ends as people read them.
type Pair = (String, String);

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/copy/start", post(work::start))
        .route("/copy/confirm", post(work::confirm))
        .route("/copy/cancel", post(work::cancel))
        .route("/copy/pause", post(work::pause))
        .route("/copy/resume", post(work::resume))
}

/// What the shown migration is, for this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Nothing,
    /// This process works on it.
    Ours,
    /// Another process does.
    Elsewhere(Option<u32>),
    /// It stopped before its end, and can go on.
    Stopped,
    /// It showed its plan.
    Planned,
    /// It came to its end.
    Ended,
    /// It did not begin, or cannot go on by itself.
    Failed,
}

fn stage(shown: &Shown) -> Stage {
    let view = &shown.view;
    let Some(run) = &view.run else { return Stage::Nothing };
    match shown.origin {
        _ if run.command != "copy" => Stage::Nothing,
        Origin::Own if view.ended.is_none() => Stage::Ours,
        Origin::Elsewhere { pid } if view.ended.is_none() => Stage::Elsewhere(pid),
        Origin::Recording if view.ended.is_none() => Stage::Ours,
        _ => match view.ended.as_ref().map(|ended| ended.exit) {
            None => Stage::Stopped,
            Some(Exit::Done) if view.phase(Phase::Copy).is_none() && !is_old_end(shown) => Stage::Planned,
            Some(Exit::Done | Exit::Mismatch) => Stage::Ended,
            Some(_) if view.snapshot.is_some() || !view.tables.is_empty() => Stage::Stopped,
            Some(_) => Stage::Failed,
        },
    }
}

/// Whether the run only said the end of an earlier one.
fn is_old_end(shown: &Shown) -> bool {
    shown.view.phase(Phase::Cleanup).is_some()
}

/// Where it stands.
pub fn standing(app: &App) -> Standing {
    let working = match &lock(&app.copy.0).job {
        Job::Looking => Some(Standing::new(StepState::Running, "Looking at both ends")),
        Job::Confirm(_) => Some(Standing::new(StepState::Waiting, "Waits for your word")),
        Job::Idle | Job::Running(_) => None,
    };
    working.unwrap_or_else(|| app.live.read(of_shown))
}

fn of_shown(shown: &Shown) -> Standing {
    let view = &shown.view;
    match stage(shown) {
        Stage::Nothing => Standing::new(StepState::ToCome, ""),
        Stage::Ours | Stage::Elsewhere(_) => {
            let fraction = view.progress.as_ref().and_then(|progress| progress.fraction);
            let words = view.phases_running().last().map_or("Beginning", |phase| phase.phase.title());
            let words = fraction.map_or_else(|| words.to_owned(), |fraction| format!("{words}, {}", percent(fraction)));
            Standing::new(StepState::Running, words)
        }
        Stage::Stopped => Standing::new(StepState::Attention, "Stopped on the way"),
        Stage::Planned => Standing::new(StepState::Waiting, "Planned, not begun"),
        Stage::Ended if view.ended.as_ref().is_some_and(|ended| ended.exit == Exit::Done) => {
            Standing::new(StepState::Done, "Moved")
        }
        Stage::Ended => Standing::new(StepState::Attention, "The two sides differ"),
        Stage::Failed => Standing::new(StepState::Failed, "It did not begin"),
    }
}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    let ends = app.ends();
    let inner = lock(&app.copy.0);
    app.live.read(|shown| {
        let stage = stage(shown);
        Ok(vec![
            ways::now(visitor, &inner, shown, stage, &ends)?,
            end::end(shown, stage)?,
            moving::progress(visitor, &inner, shown, stage)?,
            chart::chart(shown)?,
            tables::tables(shown, wanted)?,
            moving::log(shown)?,
            ways::ways(app, visitor, &inner, shown, (stage, &ends))?,
            by_hand(app, visitor, wanted, stage)?,
        ])
    })
}

/// The lines; while a copy runs there is nothing to do by hand.
fn by_hand(app: &App, visitor: &Visitor, wanted: &Wanted, stage: Stage) -> Result<Part, Report> {
    match stage {
        Stage::Ours | Stage::Elsewhere(_) => Ok(Part { id: "hand", html: String::new() }),
        _ => commands::part(app, visitor, wanted),
    }
}

/// The tables that changed after the event `seen`, as JSON for the table of tables, and the event that is seen then.
pub fn rows(app: &App, seen: EventIndex) -> (Option<String>, EventIndex) {
    app.live.read(|shown| (tables::changed(shown, seen), shown.view.index))
}
