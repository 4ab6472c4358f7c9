//! Step 1: what a migration would meet.
//!
//! A look belongs to the process: [`run`] makes it in a task and notes what it is told in [`Inner`], and [`draw`] shows what stands there. There is one
//! look at a time. A look that was cancelled, or is not the one of now, notes nothing any more ([`change_of`]).

mod draw;
mod run;

use std::sync::{Mutex, MutexGuard};

use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::app::{App, lock};
use super::connection::{Typed, Wrong, understood_html};
use super::guard::Visitor;
use super::page::{self, Part, Standing, Step, StepState, Wanted, after};
use crate::engine::checkup::{Checkup, Headline, Outcome, Status};
use crate::engine::finding::Severity;
use crate::engine::report::Report;
use crate::migration::ends::Source;
use crate::migration::preflight::session::With;
use crate::show::checkup_file;
use crate::show::numbers::count;

/// What the step knows.
#[derive(Debug, Default)]
pub struct State(Mutex<Inner>);

/// What the source is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compared {
    /// What Neon publishes.
    #[default]
    Neon,
    /// Nothing; another Postgres is compared in step 2.
    Nothing,
}

impl Compared {
    fn with(self) -> With<'static> {
        match self {
            Compared::Neon => With::Neon,
            Compared::Nothing => With::Nothing,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// The source of the last look, whether it was reached or not.
    tried: Option<Source>,
    compared: Compared,
    /// Why the source cannot be used.
    wrong: Option<Wrong>,
    /// How often a source was reached.
    accepted: u64,
    work: Option<Work>,
    /// The last whole report.
    checkup: Option<Checkup>,
    /// Why the last look did not come to its end.
    failed: Option<Report>,
    /// What the last look came to, where the report itself does not say it.
    said: Option<String>,
}

/// A look that goes on.
#[derive(Debug)]
struct Work {
    /// The only check that is made; nothing for all of them.
    code: Option<String>,
    cancel: CancellationToken,
    is_connected: bool,
    /// How many checks there are; nothing before it is known.
    total: usize,
    headlines: Vec<Headline>,
    outcomes: Vec<Outcome>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}

/// Changes what the step knows, and what is shown of it.
fn change<T>(app: &App, change: impl FnOnce(&mut Inner) -> T) -> T {
    let result = change(&mut app.check.lock());
    app.touch();
    result
}

/// Changes it for a look, unless that was cancelled.
fn change_of(app: &App, cancel: &CancellationToken, of: impl FnOnce(&mut Inner)) {
    change(app, |inner| {
        if !cancel.is_cancelled() {
            of(inner);
        }
    });
}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/check/parse", post(parse))
        .route("/check/run", post(begin))
        .route("/check/again", post(again))
        .route("/check/cancel", post(cancel))
        .route("/check/{file}", get(download))
}

/// Where it stands.
pub fn standing(app: &App) -> Standing {
    let inner = app.check.lock();
    match (&inner.work, &inner.checkup) {
        (Some(work), _) => Standing::new(StepState::Running, work.words()),
        (None, _) if inner.failed.is_some() => Standing::new(StepState::Failed, "Not finished"),
        (None, _) if inner.wrong.is_some() => Standing::new(StepState::Failed, "Look at the connection string"),
        (None, Some(checkup)) => of_report(checkup),
        (None, None) => Standing::new(StepState::ToCome, ""),
    }
}

fn of_report(checkup: &Checkup) -> Standing {
    let of = |severity, one, many| (checkup.findings(severity).count() as u64, one, many);
    let (blockers, one, many) = of(Severity::Blocker, "blocker", "blockers");
    if blockers > 0 {
        return Standing::new(StepState::Attention, count(blockers, one, many));
    }
    match of(Severity::Warning, "warning", "warnings") {
        (0, ..) => Standing::new(StepState::Done, "Ready"),
        (n, one, many) => Standing::new(StepState::Done, format!("Ready, {}", count(n, one, many))),
    }
}

impl Work {
    fn words(&self) -> String {
        match (&self.code, self.is_connected, self.total) {
            (Some(code), ..) => format!("Checking {code} again"),
            (None, false, _) => "Connecting".to_owned(),
            (None, true, 0) => "Beginning".to_owned(),
            (None, true, total) => format!("{} of {total} checks", self.outcomes.len()),
        }
    }
}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, _wanted: &Wanted) -> Result<Vec<Part>, Report> {
    draw::parts(app, visitor)
}

/// Looks at the last report on the source of now, if there is one.
pub fn with_checkup<T>(app: &App, look: impl FnOnce(&Checkup) -> T) -> Option<T> {
    let label = app.ends().source?.info().label();
    let inner = lock(&app.check.0);
    inner.checkup.as_ref().filter(|checkup| checkup.source.label == label).map(look)
}

/// The source that is known: the one that was tried last, or that the process was started with.
fn known(app: &App) -> Option<Source> {
    let tried = app.check.lock().tried.clone();
    tried.or_else(|| app.ends().source)
}

/// `POST /check/parse`: what a connection string means, while it is typed. Nothing is kept of it.
async fn parse(Extract(app): Extract<App>, Form(typed): Form<Typed>) -> Response {
    let source = known(&app);
    let said = typed.understood(source.as_ref().map(Source::info));
    match understood_html(&said) {
        Ok(html) => Json(serde_json::json!({ "ok": said.is_ok(), "html": html })).into_response(),
        Err(report) => page::failed(&report),
    }
}

/// What the form of the source says beside the connection string.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    compared: Compared,
    #[serde(flatten)]
    typed: Typed,
}

/// `POST /check/run`: all checks, of the source that was typed.
async fn begin(Extract(app): Extract<App>, headers: HeaderMap, Form(asked): Form<Asked>) -> Response {
    let source = known(&app);
    let found = match asked.typed.is_empty() {
        true => Err(Wrong::empty()),
        false => asked.typed.conninfo(source.as_ref().map(Source::info)).map_err(|error| Wrong::of_text(&error)),
    };
    match found {
        Ok(info) => run::all(&app, Source::new(info), asked.compared),
        Err(wrong) => change(&app, |inner| inner.wrong = Some(wrong)),
    }
    after(&headers, Step::Check)
}

/// What is to be checked again.
#[derive(Deserialize)]
struct Again {
    /// A code; everything if there is none.
    code: Option<String>,
}

/// `POST /check/again`: one code, or everything, of the same source.
async fn again(Extract(app): Extract<App>, headers: HeaderMap, Form(Again { code }): Form<Again>) -> Response {
    match (code, known(&app)) {
        (Some(code), _) => run::one(&app, code),
        (None, Some(source)) => {
            let compared = app.check.lock().compared;
            run::all(&app, source, compared);
        }
        (None, None) => (),
    }
    after(&headers, Step::Check)
}

/// `POST /check/cancel`: ends the look; the report of before stays.
async fn cancel(Extract(app): Extract<App>, headers: HeaderMap) -> Response {
    change(&app, |inner| {
        if let Some(work) = inner.work.take() {
            work.cancel.cancel();
            inner.said = Some("The check was cancelled. Nothing was changed on the source.".to_owned());
        }
    });
    after(&headers, Step::Check)
}

/// `GET /check/report.{html,md,json}`.
async fn download(Extract(app): Extract<App>, Path(file): Path<String>) -> Response {
    let checkup = app.check.lock().checkup.clone();
    let (Some(extension), Some(checkup)) = (file.strip_prefix("report."), checkup) else {
        let why = "There is no such report. Run the checks first; then it can be downloaded as HTML, Markdown or JSON.";
        return page::refused(StatusCode::NOT_FOUND, why);
    };
    let (kind, text) = match extension {
        "html" => ("text/html; charset=utf-8", checkup_file::html(&checkup)),
        "md" => ("text/markdown; charset=utf-8", Ok(checkup_file::markdown(&checkup))),
        "json" => ("application/json", Ok(checkup_file::json(&checkup))),
        _ => return page::refused(StatusCode::NOT_FOUND, "The report is there as HTML, Markdown and JSON."),
    };
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let database: String = checkup.source.database.chars().filter(plain).take(60).collect();
    let name = format!("attachment; filename=\"check-{}.{extension}\"", if database.is_empty() { "source" } else { &database });
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)], text).into_response(),
        Err(report) => page::failed(&report),
    }
}

/// What one check came to.
fn result_words(code: &str, checkup: &Checkup) -> String {
    let of_code = || checkup.outcomes.iter().filter(|outcome| outcome.code == code);
    let found = of_code().map(|outcome| outcome.findings.len()).sum::<usize>() as u64;
    if of_code().any(|outcome| outcome.status == Status::NotEvaluated) {
        return format!("Check {code} was made again, and still could not look.");
    }
    match found {
        0 => format!("Check {code} was made again: it is in order now."),
        n => format!("Check {code} was made again, and {} there.", count(n, "finding is", "findings are")),
    }
}
