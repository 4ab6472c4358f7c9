//! The frame of every page: head, rail of steps, parts, and the small pages for those who are not let in.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::app::App;
use super::guard::{Role, Visitor};
pub use super::words::fix_parts;
use super::{assets, check, copy, create, finish, replay, replicate};
use crate::engine::report::{Exit, Report};

/// How often a page without scripts loads itself again while something goes on.
const REFRESH: Duration = Duration::from_secs(3);

/// The five steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// What a migration would meet.
    Check,
    /// The target.
    Create,
    /// The rows.
    Copy,
    /// Logical replication.
    Replicate,
    /// The end.
    Finish,
}

impl Step {
    /// In their order.
    pub const ALL: [Step; 5] = [Step::Check, Step::Create, Step::Copy, Step::Replicate, Step::Finish];

    /// Its name in paths.
    pub fn path(self) -> &'static str {
        match self {
            Step::Check => "check",
            Step::Create => "create",
            Step::Copy => "copy",
            Step::Replicate => "replicate",
            Step::Finish => "finish",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Step::Check => "Check compatibility",
            Step::Create => "Create a Neon project",
            Step::Copy => "Move data",
            Step::Replicate => "Set up logical replication",
            Step::Finish => "Finish",
        }
    }
}

/// Where a step stands, for the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    ToCome,
    /// At work.
    Running,
    /// It waits for somebody.
    Waiting,
    /// Done.
    Done,
    /// Done, or under way, with something to know.
    Attention,
    /// It failed.
    Failed,
    /// Nobody needs it here.
    NotNeeded,
}

/// A step in the rail: where it stands, and in a few words why.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Where it stands.
    pub state: StepState,
    /// A few words, such as `2 blockers`.
    pub words: String,
}

impl Standing {
    /// A standing with words.
    pub fn new(state: StepState, words: impl Into<String>) -> Standing {
        Standing { state, words: words.into() }
    }

    fn class(&self) -> &'static str {
        match self.state {
            StepState::ToCome => "to-come",
            StepState::Running => "running",
            StepState::Waiting => "waiting",
            StepState::Done => "done",
            StepState::Attention => "attention",
            StepState::Failed => "failed",
            StepState::NotNeeded => "not-needed",
        }
    }
}

/// A piece of a page that is drawn, and drawn again, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its id in the page: `part-` and this.
    pub id: &'static str,
    /// What it looks like.
    pub html: String,
}

impl Part {
    /// Draws a part.
    ///
    /// # Errors
    /// A fault of this program.
    pub fn new(id: &'static str, template: &impl Template) -> Result<Part, Report> {
        Ok(Part { id, html: draw(template)? })
    }
}

/// Draws a template.
///
/// # Errors
/// A fault of this program.
pub fn draw(template: &impl Template) -> Result<String, Report> {
    template
        .render()
        .map_err(|error| Report::new("internal", Exit::Bug, "A page could not be drawn.").with_cause(format!("{error}.")))
}

/// What the address of a page asks for beside the step, such as which tab is open.
pub type Wanted = std::collections::BTreeMap<String, String>;

/// The parts of a step, as things are now.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, step: Step, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    let mut parts = vec![rail(app, step)?, banner(app, visitor, step)?];
    if let Some(recorded) = replay::part(app, step)? {
        parts.push(recorded);
        return Ok(parts);
    }
    // Nobody can act on a recording, so no form that would is drawn.
    let watching = app.replay.is_some().then(|| Visitor { role: Role::Watcher, csrf: visitor.csrf.clone() });
    let visitor = watching.as_ref().unwrap_or(visitor);
    parts.extend(match step {
        Step::Check => check::parts(app, visitor, wanted)?,
        Step::Create => create::parts(app, visitor, wanted)?,
        Step::Copy => copy::parts(app, visitor, wanted)?,
        Step::Replicate => replicate::parts(app, visitor, wanted)?,
        Step::Finish => finish::parts(app, visitor, wanted)?,
    });
    Ok(parts)
}

fn standing(app: &App, step: Step) -> Standing {
    if let Some(recorded) = replay::standing(app, step) {
        return recorded;
    }
    match step {
        Step::Check => check::standing(app),
        Step::Create => create::standing(app),
        Step::Copy => copy::standing(app),
        Step::Replicate => replicate::standing(app),
        Step::Finish => finish::standing(app),
    }
}

#[derive(Template)]
#[template(path = "parts/rail.html")]
struct Rail {
    steps: Vec<(Step, Standing)>,
    current: Step,
}

fn rail(app: &App, current: Step) -> Result<Part, Report> {
    let steps = Step::ALL.into_iter().map(|step| (step, standing(app, step))).collect();
    Part::new("rail", &Rail { steps, current })
}

#[derive(Template)]
#[template(path = "parts/banner.html")]
struct Banner<'a> {
    visitor: &'a Visitor,
    source: Option<String>,
    target: Option<String>,
    recording: Option<String>,
}

fn banner(app: &App, visitor: &Visitor, step: Step) -> Result<Part, Report> {
    let ends = app.ends();
    let source = ends.source.map(|source| source.info().label());
    let target = ends.target.map(|target| target.info().label());
    let recording = replay::banner(app, visitor, step)?;
    Part::new("banner", &Banner { visitor, source, target, recording })
}

#[derive(Template)]
#[template(path = "layout.html")]
struct Layout<'a> {
    title: &'a str,
    step: Option<Step>,
    visitor: Option<&'a Visitor>,
    parts: Vec<Part>,
    /// Seconds until a page without scripts loads itself again.
    refresh: Option<u64>,
    /// The query of the address, for the event stream.
    query: String,
}

impl Layout<'_> {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// `GET /{step}`.
pub async fn show(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(step): Path<Step>,
    Query(wanted): Query<Wanted>,
) -> Response {
    // Asked first: what ends while the page is drawn is loaded once more, and not shown as running for ever.
    let is_watched = step == Step::Replicate && replicate::is_watchable(&app);
    let running = is_watched || Step::ALL.into_iter().any(|step| standing(&app, step).state == StepState::Running);
    let parts = match parts(&app, &visitor, step, &wanted) {
        Ok(parts) => parts,
        Err(report) => return failed(&report),
    };
    let refresh = running.then_some(REFRESH.as_secs());
    let layout = Layout { title: step.title(), step: Some(step), visitor: Some(&visitor), parts, refresh, query: encoded(&wanted) };
    html(StatusCode::OK, &layout)
}

/// A text as a word of an address.
pub fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What an address asks for, as its query.
pub fn encoded(wanted: &Wanted) -> String {
    wanted.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect::<Vec<_>>().join("&")
}

/// `GET /`: the step that comes next.
pub async fn home(State(app): State<App>) -> Redirect {
    let open = |step: &Step| !matches!(standing(&app, *step).state, StepState::Done | StepState::NotNeeded);
    let running = Step::ALL.into_iter().find(|step| standing(&app, *step).state == StepState::Running);
    let next = running.or_else(|| Step::ALL.into_iter().find(open)).unwrap_or(Step::Finish);
    Redirect::to(&format!("/{}", next.path()))
}

fn html(status: StatusCode, template: &impl Template) -> Response {
    match draw(template) {
        Ok(text) => (status, Html(text)).into_response(),
        Err(report) => (StatusCode::INTERNAL_SERVER_ERROR, report.message).into_response(),
    }
}

/// A page that says what went wrong in this program.
pub fn failed(report: &Report) -> Response {
    let body = report_html(report).unwrap_or_default();
    let part = Part { id: "failed", html: body };
    let layout =
        Layout { title: "Something went wrong", step: None, visitor: None, parts: vec![part], refresh: None, query: String::new() };
    html(StatusCode::INTERNAL_SERVER_ERROR, &layout)
}

/// A page of its own, beside the steps.
pub fn alone(title: &str, visitor: &Visitor, parts: Vec<Part>) -> Response {
    html(StatusCode::OK, &Layout { title, step: None, visitor: Some(visitor), parts, refresh: None, query: String::new() })
}

#[derive(Template)]
#[template(path = "parts/report.html")]
struct ReportCard<'a> {
    report: &'a Report,
}

/// A report as a card: what happened, why, and what to do.
///
/// # Errors
/// A fault of this program.
pub fn report_html(report: &Report) -> Result<String, Report> {
    draw(&ReportCard { report })
}

impl ReportCard<'_> {
    fn fix(&self) -> (String, String) {
        self.report.fix.as_deref().map(fix_parts).unwrap_or_default()
    }
}

/// After a form: back to the step; a page with scripts gets nothing, because the parts reach it by the stream.
pub fn after(headers: &axum::http::HeaderMap, step: Step) -> Response {
    if is_scripted(headers) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Redirect::to(&format!("/{}", step.path())).into_response()
    }
}

/// Whether a form was sent by our script.
pub fn is_scripted(headers: &axum::http::HeaderMap) -> bool {
    headers.get(header::HeaderName::from_static("x-requested-with")).is_some_and(|value| value == "app")
}

/// What is served while the browser keeps its cookie, which it then sends along.
pub const ENTER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url=/\">\
                         <title>Neon Migration Assistant</title><p><a href=\"/\">Go on</a></p></html>";

#[derive(Template)]
#[template(path = "door.html")]
struct Door<'a> {
    title: &'a str,
    sentence: &'a str,
    ask_password: bool,
    error: Option<&'a str>,
}

impl Door<'_> {
    fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// A request that is not obeyed, and why.
pub fn refused(status: StatusCode, sentence: &str) -> Response {
    html(status, &Door { title: "Not this way", sentence, ask_password: false, error: None })
}

/// Somebody without an invitation.
pub fn not_invited(ask_password: bool) -> Response {
    let sentence = if ask_password {
        "This page shows and does a migration. Its password was set where neon-migrate was started."
    } else {
        "Open the link that neon-migrate printed: it works once, for one browser. If neon-migrate was started again since, the link of before is \
         not known any more; open the new one."
    };
    html(StatusCode::UNAUTHORIZED, &Door { title: "Neon Migration Assistant", sentence, ask_password, error: None })
}

/// The door, with what was wrong the last time.
pub fn login(error: Option<&str>) -> Html<String> {
    let sentence = "This page shows and does a migration. Its password was set where neon-migrate was started.";
    Html(draw(&Door { title: "Neon Migration Assistant", sentence, ask_password: true, error }).unwrap_or_default())
}

/// What kind of link is wanted.
#[derive(Deserialize)]
pub struct Share {
    role: String,
}

#[derive(Template)]
#[template(path = "share.html")]
struct Shared {
    link: String,
    watching: bool,
}

/// `POST /share`: a link for another browser.
pub async fn share(State(app): State<App>, Extension(visitor): Extension<Visitor>, Form(share): Form<Share>) -> Response {
    let watching = share.role != "owner";
    let link = app.guard.link(if watching { Role::Watcher } else { Role::Owner });
    let shared = match draw(&Shared { link, watching }) {
        Ok(html) => Part { id: "share", html },
        Err(report) => return failed(&report),
    };
    let title = if watching { "A link to watch" } else { "A link for another browser" };
    alone(title, &visitor, vec![shared])
}
