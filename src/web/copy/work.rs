//! Begins a copy in this process, pauses it, and goes on with it. The process ends it at a safe point when it is to end itself.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::Pair;
use super::form::Typed;
use crate::engine::event::EventKind;
use crate::engine::report::{Exit, Report};
use crate::engine::step::Cx;
use crate::migration::run::copy::{self, Options, Prepared};
use crate::pg::tools::Search;
use crate::web::app::{App, Ends, lock};
use crate::web::live;
use crate::web::page::{self, Step};

/// What this process does.
#[derive(Debug, Default)]
pub enum Job {
    /// Nothing.
    #[default]
    Idle,
    /// Both ends are looked at.
    Looking,
    /// The name of the target has to be typed, or everything stays.
    Confirm(Box<Waiting>),
    /// It copies.
    Running(Cx),
}

/// A copy that waits for somebody's word.
#[derive(Debug)]
pub struct Waiting {
    pub prepared: Prepared,
    /// What was wrong with the name that was typed.
    pub error: Option<String>,
}

impl Job {
    pub fn is_idle(&self) -> bool {
        matches!(self, Job::Idle)
    }

    pub fn is_stopping(&self) -> bool {
        matches!(self, Job::Running(cx) if cx.stop().is_cancelled())
    }
}

/// The two ends as people read them, if both are known.
pub fn pair(ends: &Ends) -> Option<Pair> {
    Some((ends.source.as_ref()?.info().label(), ends.target.as_ref()?.info().label()))
}

/// `POST /copy/start`.
pub async fn start(State(app): State<App>, headers: HeaderMap, Form(mut typed): Form<Typed>) -> Response {
    let options = typed.options(Search::new(app.options.pg_bin_dir.clone()));
    lock(&app.copy.0).typed = typed;
    match options {
        Some(options) => begin(&app, options),
        None => app.touch(),
    }
    page::after(&headers, Step::Copy)
}

/// `POST /copy/resume`: with what the copy was begun with.
pub async fn resume(State(app): State<App>, headers: HeaderMap) -> Response {
    let ends = pair(&app.ends());
    let last = lock(&app.copy.0).last.clone();
    match last.filter(|(between, _)| Some(between) == ends.as_ref()) {
        Some((_, options)) => begin(&app, Options { replace_target: false, dry_run: false, ..options }),
        None => refuse(&app, unknown_choices()),
    }
    page::after(&headers, Step::Copy)
}

/// How a copy is to stop.
#[derive(Debug, Deserialize)]
pub struct Pause {
    #[serde(default)]
    at_once: bool,
}

/// What the log says of a copy that does not come to a safe point first.
const AT_ONCE: &str = "Stopping at once: connections are dropped. What is finished is kept.";

/// `POST /copy/pause`: at the next safe point, or at once, as a second Ctrl-C does.
pub async fn pause(State(app): State<App>, headers: HeaderMap, Form(pause): Form<Pause>) -> Response {
    let running = if let Job::Running(cx) = &lock(&app.copy.0).job { Some(cx.clone()) } else { None };
    if let Some(cx) = running {
        cx.stop().cancel();
        if pause.at_once {
            // A journal that fails ends the run by itself.
            let _ = cx.emit(EventKind::Notice { message: AT_ONCE.to_owned(), warning: true }).await;
            cx.cancel().cancel();
        }
    }
    app.touch();
    page::after(&headers, Step::Copy)
}

/// The name that was typed.
#[derive(Debug, Deserialize)]
pub struct Confirmation {
    name: String,
}

/// `POST /copy/confirm`.
pub async fn confirm(State(app): State<App>, headers: HeaderMap, Form(typed): Form<Confirmation>) -> Response {
    if let Some(prepared) = confirmed(&app, &typed.name) {
        apart(&app, move |app| async move { run(&app, &prepared).await });
    }
    app.touch();
    page::after(&headers, Step::Copy)
}

/// The copy that waits for this name; nothing for another name, which is said, and nothing if other databases were named since it was looked at.
fn confirmed(app: &App, name: &str) -> Option<Prepared> {
    let named = pair(&app.ends());
    let mut inner = lock(&app.copy.0);
    if matches!(inner.job, Job::Confirm(_)) && inner.last.as_ref().map(|(between, _)| between) != named.as_ref() {
        drop(inner);
        let why = "Other databases were named since both ends were looked at. Nothing was removed.";
        refuse(app, Report::new("not-confirmed", Exit::Usage, why).with_fix("Press Copy again: it looks at those of now."));
        return None;
    }
    match std::mem::replace(&mut inner.job, Job::Looking) {
        Job::Confirm(mut waiting) => match waiting.prepared.confirm(name) {
            Ok(()) => return Some(waiting.prepared),
            Err(_) => {
                waiting.error = Some("That is not the name of the target's database. Nothing was removed.".to_owned());
                inner.job = Job::Confirm(waiting);
            }
        },
        other => inner.job = other,
    }
    None
}

/// `POST /copy/cancel`: what waits for a word is dropped.
pub async fn cancel(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut inner = lock(&app.copy.0);
    if matches!(inner.job, Job::Confirm(_)) {
        inner.job = Job::Idle;
    }
    drop(inner);
    app.touch();
    page::after(&headers, Step::Copy)
}

fn refuse(app: &App, report: Report) {
    let mut inner = lock(&app.copy.0);
    inner.job = Job::Idle;
    inner.report = Some(Box::new(report));
    drop(inner);
    app.touch();
}

fn unknown_choices() -> Report {
    Report::new("copy-choices", Exit::Usage, "This process does not know what the copy was begun with.")
        .with_fix("Choose the same again below, and press Copy: it goes on where it was.")
}

fn begin(app: &App, options: Options) {
    let Ends { source: Some(source), target: Some(target), .. } = app.ends() else {
        let report = Report::new("no-ends", Exit::Usage, "The source or the target is not known.");
        return refuse(app, report.with_fix("Enter their connection strings in steps 1 and 2."));
    };
    let mut inner = lock(&app.copy.0);
    if !inner.job.is_idle() {
        return;
    }
    inner.job = Job::Looking;
    inner.report = None;
    inner.last = Some(((source.info().label(), target.info().label()), options.clone()));
    drop(inner);
    app.touch();
    apart(app, move |app| async move {
        let look = copy::prepare(&source, &target, options, &app.options.state_root);
        match app.stop().run_until_cancelled(look).await {
            None => lock(&app.copy.0).job = Job::Idle,
            Some(Err(report)) => refuse(&app, report),
            Some(Ok(prepared)) if prepared.to_confirm().is_some() => {
                lock(&app.copy.0).job = Job::Confirm(Box::new(Waiting { prepared, error: None }));
            }
            Some(Ok(prepared)) => run(&app, &prepared).await,
        }
    });
}

/// Does what belongs to the process; where it cannot be done, that is shown.
fn apart<F: Future<Output = ()>>(app: &App, work: impl FnOnce(App) -> F + Send + 'static) {
    let (here, fault) = (app.clone(), Fault(app.clone()));
    let guarded = move || async move {
        let _told = fault;
        work(here).await;
    };
    if let Err(error) = app.spawn_apart(guarded) {
        refuse(app, Report::new("internal", Exit::Bug, "The copy could not be begun.").with_cause(format!("{error}.")));
    }
}

/// Says so when the work ends by a fault of this program: the page would show it as running for ever.
struct Fault(App);

impl Drop for Fault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let report =
                Report::new("internal", Exit::Bug, "The copy was ended by a fault of this program; what it has finished is kept.");
            refuse(
                &self.0,
                report.with_fix("Resume it: it goes on from there. If it happens again, send us the recording that step 5 makes."),
            );
        }
    }
}

/// Runs a copy to its end, and shows it.
async fn run(app: &App, prepared: &Prepared) {
    let cx = match prepared.open().await {
        Ok(cx) => cx,
        Err(report) => return refuse(app, report),
    };
    if let Some(log) = &app.options.log {
        (log.open)(cx.dir());
    }
    lock(&app.copy.0).job = Job::Running(cx.clone());
    let ended = tokio_util::sync::CancellationToken::new();
    let work = async {
        let result = prepared.run(&cx).await;
        ended.cancel();
        result
    };
    let stop = async {
        // At a safe point; what is not there in time is dropped with the process, and goes on from its ledger.
        if ended.run_until_cancelled(app.stop().cancelled()).await.is_some() {
            cx.stop().cancel();
        }
    };
    let (result, shown, ()) = tokio::join!(work, live::follow_run(app, &cx), stop);
    // The migration is owned until nobody holds the context any more.
    drop(cx);
    let mut inner = lock(&app.copy.0);
    inner.job = Job::Idle;
    inner.report = result.err().or(shown.err()).map(Box::new);
}
