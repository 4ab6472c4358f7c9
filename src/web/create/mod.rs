//! Step 2: the target. A Neon project that fits the source, or a database that exists.
//!
//! [`form`] is what can be chosen, [`account`] the key and whose it is, [`project`] the way from the form by a summary to a project that is ready,
//! [`existing`] a database that somebody names, with the checks of the pair, and `draw` what all of that looks like. What is asked of a server is asked
//! by tasks of the process; the pages show what they have learnt.

pub mod account;
mod draw;
pub mod existing;
pub mod form;
pub mod project;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::Router;
use axum::routing::post;

use self::account::Known;
use self::existing::Pair;
use self::form::Typed;
use self::project::Stage;
use super::app::{App, lock};
use super::guard::Visitor;
use super::page::{Part, Standing, StepState, Wanted};
use crate::engine::checkup::{Checkup, Estimate};
use crate::engine::finding::Severity;
use crate::engine::report::Report;
use crate::migration::provision::projects::{SavedProject, kept_connection, latest_for};
use crate::migration::provision::{self, SourceFacts};

/// Something that is asked of somebody else.
#[derive(Debug, Default)]
enum Asked<T> {
    #[default]
    NotYet,
    Asking,
    Known(Box<T>),
    Failed(Box<Report>),
}

impl<T> Asked<T> {
    fn of(answer: Result<T, Report>) -> Asked<T> {
        match answer {
            Ok(known) => Asked::Known(Box::new(known)),
            Err(report) => Asked::Failed(Box::new(report)),
        }
    }

    fn known(&self) -> Option<&T> {
        if let Asked::Known(known) = self { Some(known) } else { None }
    }

    fn report(&self) -> Option<&Report> {
        if let Asked::Failed(report) = self { Some(report) } else { None }
    }

    fn is_asking(&self) -> bool {
        matches!(self, Asked::Asking)
    }
}

/// The two ways to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    #[default]
    New,
    Existing,
}

/// What the source says, and what was created for it before.
#[derive(Debug, Default)]
struct OfSource {
    label: String,
    facts: Asked<SourceFacts>,
    earlier: Option<Earlier>,
}

/// A project that was created for this source.
#[derive(Debug)]
struct Earlier {
    project: SavedProject,
    /// Its connection string is kept with the password.
    is_kept: bool,
}

/// What the step knows.
#[derive(Debug, Default)]
pub struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    source: OfSource,
    account: Asked<Known>,
    way: Way,
    typed: Typed,
    /// What is wrong with what was typed, by field.
    errors: BTreeMap<&'static str, String>,
    stage: Stage,
    /// How often a summary was shown: the button of an old one creates nothing.
    summaries: u64,
    /// What a call to Neon waits for, while it is tried again.
    trouble: Option<String>,
    pair: Pair,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

/// Changes what the step knows, and what is shown of it.
fn change<T>(app: &App, change: impl FnOnce(&mut Inner) -> T) -> T {
    let result = change(&mut app.create.lock());
    app.touch();
    result
}

impl State {
    /// How long a copy between the pair is likely to take, if its checks have told.
    pub fn estimate(&self) -> Option<Estimate> {
        self.lock().pair.looking.known()?.checkup.as_ref()?.estimate.clone()
    }
}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/create/source", post(again))
        .route("/create/key", post(account::enter))
        .route("/create/key/forget", post(account::forget))
        .route("/create/review", post(project::review))
        .route("/create/change", post(project::change_something))
        .route("/create/project", post(project::create))
        .route("/create/earlier", post(existing::earlier))
        .route("/create/target", post(existing::enter))
        .route("/create/target/check", post(existing::check_again))
        .route("/create/target/forget", post(existing::forget))
}

/// Where it stands.
pub fn standing(app: &App) -> Standing {
    let target = app.ends().target.map(|target| target.info().label());
    let inner = app.create.lock();
    match &inner.stage {
        Stage::Creating(progress) => return Standing::new(StepState::Running, progress.words()),
        Stage::Planning => return Standing::new(StepState::Running, "Asking Neon"),
        _ => (),
    }
    if inner.pair.looking.is_asking() {
        return Standing::new(StepState::Running, "Checking the pair");
    }
    if let Some(label) = target {
        return of_target(&inner, label);
    }
    match &inner.stage {
        Stage::Failed(_) => Standing::new(StepState::Failed, "Not created"),
        Stage::Summary(_) => Standing::new(StepState::Waiting, ""),
        _ if inner.pair.looking.report().is_some() => Standing::new(StepState::Failed, "Not usable"),
        _ if inner.account.is_asking() => Standing::new(StepState::Running, "Checking the API key"),
        _ if inner.source.facts.is_asking() => Standing::new(StepState::Running, "Asking the source"),
        _ => Standing::new(StepState::ToCome, ""),
    }
}

fn of_target(inner: &Inner, label: String) -> Standing {
    let looked = inner.pair.looking.known().and_then(|looked| looked.checkup.as_ref());
    let blockers = looked.map_or(0, |checkup| checkup.findings(Severity::Blocker).count());
    match blockers {
        _ if inner.pair.looking.report().is_some() => Standing::new(StepState::Attention, "Not reached"),
        0 => Standing::new(StepState::Done, label),
        1 => Standing::new(StepState::Attention, "1 blocker"),
        n => Standing::new(StepState::Attention, format!("{n} blockers")),
    }
}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    if visitor.may_act() {
        ask_source(app);
        account::look_at_given(app);
        existing::look_at_given(app);
    }
    draw::parts(app, visitor, wanted)
}

/// `POST /create/source`: asks the source again.
async fn again(axum::extract::State(app): axum::extract::State<App>, headers: axum::http::HeaderMap) -> axum::response::Response {
    change(&app, |inner| inner.source = OfSource::default());
    ask_source(&app);
    super::page::after(&headers, super::page::Step::Create)
}

/// Looks at the report of the two databases together, if there is one.
pub fn with_checkup<T>(app: &App, look: impl FnOnce(&Checkup) -> T) -> Option<T> {
    let inner = app.create.lock();
    inner.pair.looking.known().and_then(|looked| looked.checkup.as_ref()).map(look)
}

/// Asks the source once, or once more when it is another.
fn ask_source(app: &App) {
    let Some(source) = app.ends().source else {
        app.create.lock().source = OfSource::default();
        return;
    };
    let label = source.info().label();
    {
        let mut inner = app.create.lock();
        if inner.source.label == label {
            return;
        }
        inner.source = OfSource { label: label.clone(), facts: Asked::Asking, earlier: earlier(app, &label) };
    }
    let (asking, stop) = (app.clone(), app.stop().clone());
    app.spawn(async move {
        let Some(answer) = stop.run_until_cancelled(provision::ask(&source)).await else { return };
        change(&asking, |inner| {
            if inner.source.label == label {
                inner.source.facts = Asked::of(answer.map_err(|error| error.report()));
            }
        });
    });
}

fn earlier(app: &App, source: &str) -> Option<Earlier> {
    let root = &app.options.state_root;
    let project = latest_for(root, source)?;
    let is_kept = kept_connection(root, &project.id).is_some();
    Some(Earlier { project, is_kept })
}
