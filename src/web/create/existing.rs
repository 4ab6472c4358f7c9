//! A database that exists as the target, and the checks of the pair.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};

use super::project::{opened, usable};
use super::{Asked, Inner, Way, change};
use crate::engine::checkup::Checkup;
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::{Exit, Report};
use crate::migration::ends::{Source, Target};
use crate::migration::preflight::session::{Session, With};
use crate::migration::preflight::{self, Options};
use crate::migration::provision::projects::{SavedProject, kept_connection};
use crate::migration::provision::report;
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::tools::Search;
use crate::web::app::App;
use crate::web::connection::{Typed, Wrong};
use crate::web::page::{Step, after};

/// The check of the target beside the source.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) looking: Asked<Looked>,
    /// Which target it is, or would be.
    pub(super) label: String,
    /// How often a target was accepted.
    pub(super) accepted: u64,
    /// What is wrong with what was typed.
    pub(super) wrong: Option<Wrong>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Looked {
    /// The report, if there was a source to look at as well.
    pub(super) checkup: Option<Checkup>,
    /// The source that it was looked at with.
    pub(super) source: Option<String>,
}

/// The check that source and target are two databases.
const SAME_DATABASE: &str = "A3";
/// What is told when they are not.
const SAME_DATABASE_CODE: &str = "same-database";

/// The target that a connection string describes.
///
/// # Errors
/// It cannot be used; a sentence without anything secret.
pub(super) fn parsed(text: &str) -> Result<Target, String> {
    Conninfo::parse(text.trim(), &Environment::of_process()).map(Target::new).map_err(|error| error.to_string())
}

/// What the field shows before anybody has typed: the project that was created for this source, if only its password is missing.
pub(super) fn shown(inner: &Inner) -> Option<Conninfo> {
    let earlier = inner.source.earlier.as_ref().filter(|earlier| !earlier.is_kept && inner.account.known().is_none())?;
    parsed(earlier.project.connection.as_ref()?).ok().map(|target| target.info().clone())
}

/// `POST /create/target`: use this database.
pub async fn enter(State(app): State<App>, headers: HeaderMap, Form(typed): Form<Typed>) -> Response {
    let known = change(&app, |inner| {
        inner.way = Way::Existing;
        shown(inner)
    });
    let info = match typed.is_empty() {
        true => Err(Wrong::empty()),
        false => typed.conninfo(known.as_ref()).map_err(|error| Wrong::of_text(&error)),
    };
    match info {
        Ok(info) => {
            // Whoever names a target wants no other.
            app.set_ends(|ends| ends.target = None);
            take(&app, Target::new(info));
        }
        Err(wrong) => change(&app, |inner| inner.pair.wrong = Some(wrong)),
    }
    after(&headers, Step::Create)
}

/// `POST /create/target/check`: looks at the pair again.
pub async fn check_again(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(target) = app.ends().target {
        take(&app, target);
    }
    after(&headers, Step::Create)
}

/// `POST /create/target/forget`: another target is wanted. The database stays as it is.
pub async fn forget(State(app): State<App>, headers: HeaderMap) -> Response {
    app.set_ends(|ends| ends.target = None);
    change(&app, |inner| {
        inner.pair.looking = Asked::NotYet;
        inner.stage.back();
    });
    after(&headers, Step::Create)
}

/// `POST /create/earlier`: the project that was created for this source before.
pub async fn earlier(State(app): State<App>, headers: HeaderMap) -> Response {
    let project = app.create.lock().source.earlier.as_ref().map(|earlier| earlier.project.clone());
    if let Some(project) = project {
        let found = target_of(&app, &project).await;
        match found {
            Ok(target) => take(&app, target),
            Err(report) => change(&app, |inner| {
                inner.pair.looking = Asked::Failed(Box::new(report));
            }),
        }
    }
    after(&headers, Step::Create)
}

/// The target from the kept connection string, or from Neon.
async fn target_of(app: &App, project: &SavedProject) -> Result<Target, Report> {
    if let Some(file) = kept_connection(&app.options.state_root, &project.id) {
        let text = tokio::fs::read_to_string(&file).await.map_err(|error| {
            Report::new("state-file", Exit::State, format!("{} cannot be read.", file.display())).with_cause(format!("{error}."))
        })?;
        let text = SecretString::from(text);
        return parsed(text.expose_secret()).map_err(|words| {
            Report::new("state-file", Exit::State, format!("{} holds no connection string that can be used.", file.display()))
                .with_cause(words)
                .with_fix("Paste the connection string from Neon's console instead.")
        });
    }
    let client = opened(app)?;
    let uri = client.connection_uri(&project.id, &project.database, &project.role).await.map_err(|error| report::of(&error))?;
    usable(&uri)
}

/// Looks at a target that nobody has looked at: the command line gave it, or there is another source now.
pub(super) fn look_at_given(app: &App) {
    let ends = app.ends();
    let Some(target) = ends.target else { return };
    let source = ends.source.map(|source| source.info().label());
    let is_due = {
        let pair = &app.create.lock().pair;
        match &pair.looking {
            Asked::Asking => false,
            Asked::NotYet => true,
            Asked::Known(looked) => pair.label != target.info().label() || looked.source != source,
            Asked::Failed(_) => pair.label != target.info().label(),
        }
    };
    if is_due {
        take(app, target);
    }
}

/// Connects to a target and checks the pair. What can be connected to, and is not the source itself, becomes the target.
pub(super) fn take(app: &App, target: Target) {
    let label = target.info().label();
    let begun = change(app, |inner| {
        inner.pair.wrong = None;
        if inner.pair.looking.is_asking() {
            return false;
        }
        (inner.pair.label, inner.pair.looking) = (label.clone(), Asked::Asking);
        true
    });
    if !begun {
        return;
    }
    let looking = app.clone();
    app.spawn(async move {
        let source = looking.ends().source;
        let looked = looking.stop().clone().run_until_cancelled(look(&looking, source.as_ref(), &target)).await;
        let Some(looked) = looked else { return };
        looking.set_ends(|ends| {
            let is_ours = ends.target.as_ref().is_none_or(|target| target.info().label() == label);
            match &looked {
                Ok(_) if is_ours => ends.target = Some(target),
                Err(report) if is_ours && report.code == SAME_DATABASE_CODE => ends.target = None,
                _ => (),
            }
        });
        change(&looking, |inner| {
            inner.pair.accepted += u64::from(looked.is_ok());
            inner.pair.looking = Asked::of(looked);
        });
    });
}

async fn look(app: &App, source: Option<&Source>, target: &Target) -> Result<Looked, Report> {
    let Some(source) = source else {
        target.sql().await.map_err(|error| error.report())?;
        return Ok(Looked { checkup: None, source: None });
    };
    let options = Options { tools: Search::new(app.options.pg_bin_dir.clone()), ..Options::check() };
    let session = Session::open(source, With::Target(target), options).await.map_err(|error| error.report())?;
    let checkup = session.check(&preflight::quietly).await.map_err(|failure| failure.report())?;
    if let Some(same) = checkup.findings(Severity::Blocker).find(|finding| finding.code == SAME_DATABASE) {
        return Err(refusal(same));
    }
    Ok(Looked { checkup: Some(checkup), source: Some(source.info().label()) })
}

/// What no target can be.
fn refusal(finding: &Finding) -> Report {
    let report = Report::new(SAME_DATABASE_CODE, Exit::Blockers, finding.sentence.clone()).with_cause(finding.why.clone());
    match &finding.fix {
        Some(fix) => report.with_fix(fix.clone()),
        None => report,
    }
}
