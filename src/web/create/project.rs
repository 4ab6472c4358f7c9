//! From the form by a summary to a project that is ready.
//!
//! Why one click creates one project: the summary that is agreed to is taken out of its stage under the lock, so a second click, or a click in a
//! second browser, finds none; and a click carries the number of its summary, so that one on an old page agrees to nothing that it does not show.
//! What happens when Neon's answer is lost is the concern of [`provision::create`].

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::account::client;
use super::form::{self, Typed};
use super::{Earlier, Inner, Way, change, existing};
use crate::engine::report::Report;
use crate::migration::error::Side;
use crate::migration::provision::plan::{self, Basis, Plan, Wishes};
use crate::migration::provision::{self, Order, Provisioned, Told, report};
use crate::neon::client::Client;
use crate::neon::types::{ConnectionUri, OperationStatus, Organization, Project};
use crate::web::app::App;
use crate::web::page::{Step, after};

/// How far it is.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// The form is open.
    #[default]
    Form,
    /// Neon is asked for what the summary needs.
    Planning,
    /// The summary waits to be agreed to.
    Summary(Box<Summary>),
    /// It is being created.
    Creating(Progress),
    /// It is ready.
    Ready(Box<Ready>),
    /// It was not created, or not made ready.
    Failed(Box<Report>),
}

impl Stage {
    /// Back to the form, unless something is under way.
    pub(super) fn back(&mut self) {
        if !matches!(self, Stage::Planning | Stage::Creating(_)) {
            *self = Stage::Form;
        }
    }
}

/// What would be created.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) number: u64,
    pub(super) plan: Plan,
    /// The projects that bear the name already.
    pub(super) same_name: Vec<Project>,
    pub(super) keep_password: bool,
}

/// What has happened while it is created.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) name: String,
    /// Its id, once there is one.
    pub(super) id: Option<String>,
    pub(super) total: usize,
    pub(super) operations: Vec<Done>,
    pub(super) notices: Vec<String>,
}

/// A piece of Neon's work.
#[derive(Debug)]
pub(super) struct Done {
    id: String,
    pub(super) action: String,
    pub(super) status: OperationStatus,
}

impl Progress {
    /// How many of them are done.
    pub(super) fn finished(&self) -> usize {
        let is_done = |done: &&Done| matches!(done.status, OperationStatus::Finished | OperationStatus::Skipped);
        self.operations.iter().filter(is_done).count()
    }

    /// In a few words.
    pub(super) fn words(&self) -> String {
        if self.total == 0 { "Creating".to_owned() } else { format!("{} of {} operations", self.finished(), self.total) }
    }

    fn hear(&mut self, told: &Told<'_>) {
        match told {
            Told::Notice(notice) => self.notices.push(notice.clone()),
            Told::Created(saved, total) => (self.id, self.total) = (Some(saved.id.clone()), *total),
            Told::Operation(operation) => match self.operations.iter_mut().find(|done| done.id == operation.id) {
                Some(done) => done.status = operation.status,
                None => self.operations.push(Done {
                    id: operation.id.clone(),
                    action: operation.action.replace('_', " "),
                    status: operation.status,
                }),
            },
        }
    }
}

/// A project that is ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) made: Provisioned,
    pub(super) notices: Vec<String>,
}

/// `POST /create/review`: from the form to the summary.
pub async fn review(State(app): State<App>, headers: HeaderMap, Form(typed): Form<Typed>) -> Response {
    let keep_password = typed.keep.is_some();
    if let Some(wishes) = change(&app, |inner| accepted(inner, typed)) {
        let asking = app.clone();
        app.spawn(async move {
            let planned = plan(&asking, wishes).await;
            change(&asking, |inner| settle(inner, planned, keep_password));
        });
    }
    after(&headers, Step::Create)
}

/// Takes what was typed; nothing if something is wrong with it, or something is under way.
fn accepted(inner: &mut Inner, typed: Typed) -> Option<Wishes> {
    if matches!(inner.stage, Stage::Planning | Stage::Creating(_)) {
        return None;
    }
    (inner.way, inner.stage) = (Way::New, Stage::Form);
    // Beside what the page showed: another organization changes the proposal.
    inner.typed = match form::proposal(inner) {
        Ok(plan) => typed.beside(&Typed::of(&plan.request)),
        Err(_) => typed,
    };
    let wishes = inner.typed.wishes();
    inner.errors = wishes.as_ref().err().cloned().unwrap_or_default();
    match inner.account.known() {
        None => drop(inner.errors.insert("key", "The project is created with an API key of yours: enter it first.".to_owned())),
        Some(known) if !known.several().is_empty() && known.organization(&inner.typed.org).is_none() => {
            inner.errors.insert("org", "Say which organization the project is to belong to.".to_owned());
        }
        Some(_) => (),
    }
    if !inner.errors.is_empty() {
        return None;
    }
    inner.stage = Stage::Planning;
    wishes.ok()
}

fn settle(inner: &mut Inner, planned: Result<(Plan, Vec<Project>), Report>, keep_password: bool) {
    inner.trouble = None;
    match planned {
        Ok((plan, same_name)) => {
            inner.summaries += 1;
            inner.stage = Stage::Summary(Box::new(Summary { number: inner.summaries, plan, same_name, keep_password }));
        }
        Err(report) if report.code == "neon-region" => {
            inner.errors.insert("region", form::sentence_of(&report));
            inner.stage = Stage::Form;
        }
        Err(report) => inner.stage = Stage::Failed(Box::new(report)),
    }
}

/// What would be created, and which projects bear its name.
async fn plan(app: &App, wishes: Wishes) -> Result<(Plan, Vec<Project>), Report> {
    let client = opened(app)?;
    let org = app.create.lock().organization();
    let failed = |error| report::of(&error);
    let regions = client.regions(org.as_ref().map(|org| org.id.as_str())).await.map_err(failed)?;
    let plan = {
        let inner = app.create.lock();
        let limits = inner.account.known().map(|known| known.account.limits(org.as_ref())).unwrap_or_default();
        let source = inner.source.facts.known();
        plan::make(&Basis { wishes: &wishes, source, org: org.as_ref(), limits, regions: &regions })?
    };
    let request = &plan.request;
    let found = client.projects(&request.name, request.org_id.as_deref()).await.map_err(failed)?;
    let same_name = found.into_iter().filter(|project| project.name == request.name).collect();
    Ok((plan, same_name))
}

impl Inner {
    fn organization(&self) -> Option<Organization> {
        self.account.known()?.organization(&self.typed.org)
    }
}

/// The way to Neon with the key that was entered.
pub(super) fn opened(app: &App) -> Result<Client, Report> {
    // Without a key Neon says that it takes none, as with a wrong one.
    client(app, app.ends().api_key.unwrap_or_default())
}

/// `POST /create/change`: from the summary, or from a failure, back to the form.
pub async fn change_something(State(app): State<App>, headers: HeaderMap) -> Response {
    change(&app, |inner| inner.stage.back());
    after(&headers, Step::Create)
}

/// Which summary is agreed to.
#[derive(Deserialize)]
pub struct Agreed {
    number: u64,
}

/// `POST /create/project`.
pub async fn create(State(app): State<App>, headers: HeaderMap, Form(agreed): Form<Agreed>) -> Response {
    if let Some(summary) = change(&app, |inner| agree(inner, agreed.number)) {
        let working = app.clone();
        app.spawn(async move {
            let made = carry_out(&working, &summary).await;
            finish(&working, made);
        });
    }
    after(&headers, Step::Create)
}

fn agree(inner: &mut Inner, number: u64) -> Option<Summary> {
    match std::mem::take(&mut inner.stage) {
        Stage::Summary(summary) if summary.number == number => {
            inner.stage = Stage::Creating(Progress { name: summary.plan.request.name.clone(), ..Progress::default() });
            Some(*summary)
        }
        other => {
            inner.stage = other;
            None
        }
    }
}

async fn carry_out(app: &App, summary: &Summary) -> Result<Provisioned, Report> {
    let client = opened(app)?;
    let order = Order { client: &client, plan: &summary.plan, root: &app.options.state_root, keep_password: summary.keep_password };
    let tell = &mut |told: Told<'_>| {
        change(app, |inner| {
            if let Stage::Creating(progress) = &mut inner.stage {
                progress.hear(&told);
            }
        });
    };
    provision::create(&order, tell).await
}

/// A project that is ready becomes the target, and is looked at together with the source.
fn finish(app: &App, made: Result<Provisioned, Report>) {
    let made = match made {
        Ok(made) => made,
        Err(report) => return change(app, |inner| inner.stage = Stage::Failed(Box::new(report))),
    };
    let target = usable(&made.uri);
    change(app, |inner| {
        let notices = match &mut inner.stage {
            Stage::Creating(progress) => std::mem::take(&mut progress.notices),
            _ => Vec::new(),
        };
        let is_kept = made.connection_file.is_some();
        inner.source.earlier = Some(Earlier { project: made.saved.clone(), is_kept });
        inner.stage = Stage::Ready(Box::new(Ready { made, notices }));
    });
    match target {
        Ok(target) => {
            // It is the target, even if it cannot be reached at the first attempt.
            app.set_ends(|ends| ends.target = Some(target.clone()));
            existing::take(app, target);
        }
        Err(report) => change(app, |inner| inner.stage = Stage::Failed(Box::new(report))),
    }
}

/// The target that a connection string of Neon's describes.
pub(super) fn usable(uri: &ConnectionUri) -> Result<crate::migration::ends::Target, Report> {
    existing::parsed(uri.expose()).map_err(|words| {
        use crate::engine::report::Exit;
        Report::new(
            "neon-answer",
            Exit::NeonApi,
            format!("The connection string of the {} that Neon gave cannot be used.", Side::Target.name()),
        )
        .with_cause(words)
        .with_fix(
            "The project is in the account. Take its connection string from Neon's console, and use it as a database that exists.",
        )
    })
}
