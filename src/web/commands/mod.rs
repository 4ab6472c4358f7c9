//! The lines for those who do it by hand, as steps 3 and 4 show them: asked for once for each pair of databases, drawn for any shell.
//!
//! Passwords are in none of the lines until somebody asks for them; the answer to that is the only one that has them, and the page takes
//! them away again after a minute.

mod draw;

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Json, Router};
use serde::Deserialize;
use serde_json::json;

pub use self::draw::{Tabs, Written, connections, part, written};
use super::app::{App, lock};
use super::guard::Visitor;
use super::page::{self, Part, Step, Wanted};
use crate::engine::report::Report;
use crate::migration::commands::quote::Shell;
use crate::migration::commands::script::{Script, Style};
use crate::migration::commands::{Plan, Way};
use crate::migration::run::by_hand::{self, ByHand};
use crate::pg::tools::Search;

/// After how many seconds a page takes shown passwords away.
const HIDES_AFTER_S: u32 = 60;

/// The lines of a pair of databases.
#[derive(Debug)]
pub struct Ready(ByHand);

impl Ready {
    /// What there is to do.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// How the lines are written for a shell.
    pub fn style(&self, shell: Shell, with_passwords: bool) -> Style<'_> {
        Style { shell, with_passwords, bin_dir: self.0.bin_dir.as_deref() }
    }
}

#[derive(Debug, Default)]
enum Asked {
    #[default]
    NotYet,
    Asking,
    Ready(Arc<Ready>),
    Failed(Report),
}

/// What is known, and for which pair.
#[derive(Debug, Default)]
pub struct State(Mutex<(String, Asked)>);

/// Where the lines stand.
#[derive(Debug)]
pub enum Stands {
    /// An end is not known yet.
    NoEnds,
    /// Nobody has asked for them.
    NotYet,
    /// Both ends are being looked at.
    Asking,
    /// They are there.
    Ready(Arc<Ready>),
    /// They could not be made.
    Failed(Report),
}

/// The pair that the process knows, as one word; nothing if an end is missing.
fn pair(app: &App) -> Option<String> {
    let ends = app.ends();
    Some(format!("{}\n{}", ends.source?.info().label(), ends.target?.info().label()))
}

/// Where the lines for the databases of now stand.
pub fn stands(app: &App) -> Stands {
    let Some(pair) = pair(app) else { return Stands::NoEnds };
    let known = lock(&app.commands.0);
    match &known.1 {
        _ if known.0 != pair => Stands::NotYet,
        Asked::NotYet => Stands::NotYet,
        Asked::Asking => Stands::Asking,
        Asked::Ready(ready) => Stands::Ready(Arc::clone(ready)),
        Asked::Failed(report) => Stands::Failed(report.clone()),
    }
}

/// The lines, if they are there.
pub fn ready(app: &App) -> Option<Arc<Ready>> {
    if let Stands::Ready(ready) = stands(app) { Some(ready) } else { None }
}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/commands/ask", post(ask))
        .route("/commands/passwords", post(passwords))
        .route("/commands/{shell}/{name}", get(download))
}

/// What a form of the lines says beside its button.
#[derive(Deserialize)]
pub struct From {
    /// The step whose page it is on.
    step: Step,
    #[serde(default)]
    shell: String,
    #[serde(default)]
    hide: bool,
}

/// The shell that an address names.
pub fn shell_of(name: &str) -> Shell {
    if name.eq_ignore_ascii_case("powershell") || name == "ps1" { Shell::PowerShell } else { Shell::Bash }
}

/// `POST /commands/ask`: looks at both ends, and makes the lines.
pub async fn ask(Extract(app): Extract<App>, headers: HeaderMap, Form(from): Form<From>) -> Response {
    let ends = app.ends();
    if let (Some(pair), Some(source), Some(target)) = (pair(&app), ends.source, ends.target) {
        *lock(&app.commands.0) = (pair.clone(), Asked::Asking);
        let search = Search::new(app.options.pg_bin_dir.clone());
        let shared = app.clone();
        app.spawn(async move {
            let work = by_hand::prepare(&source, &target, None, &search);
            let Some(made) = shared.stop().run_until_cancelled(work).await else { return };
            let asked = match made {
                Ok(by_hand) => Asked::Ready(Arc::new(Ready(by_hand))),
                Err(report) => Asked::Failed(report),
            };
            let mut known = lock(&shared.commands.0);
            // Another pair may have been named meanwhile.
            if known.0 == pair {
                known.1 = asked;
            }
        });
        app.touch();
    }
    page::after(&headers, from.step)
}

/// `POST /commands/passwords`: the connections with their passwords, or without them again.
pub async fn passwords(
    Extract(app): Extract<App>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Form(from): Form<From>,
) -> Response {
    let Some(ready) = ready(&app) else { return page::after(&headers, from.step) };
    let shell = shell_of(&from.shell);
    let (shown, hidden) = match (
        draw::connections(&ready, &visitor, from.step, shell, !from.hide),
        draw::connections(&ready, &visitor, from.step, shell, false),
    ) {
        (Ok(shown), Ok(hidden)) => (shown, hidden),
        (Err(report), _) | (_, Err(report)) => return page::failed(&report),
    };
    if page::is_scripted(&headers) {
        let part = |part: &Part| json!({ "id": part.id, "html": part.html });
        let mut answer = json!({ "parts": [part(&shown)] });
        if !from.hide {
            answer["then"] = json!([part(&hidden)]);
            answer["after_s"] = json!(HIDES_AFTER_S);
        }
        return Json(answer).into_response();
    }
    match from.hide {
        true => page::after(&headers, from.step),
        false => page::alone("The connections with their passwords", &visitor, vec![shown]),
    }
}

/// `GET /commands/{shell}/{name}`: a script as a file. Passwords are in none; the scripts ask for them.
pub async fn download(
    Extract(app): Extract<App>,
    Path((shell, name)): Path<(String, String)>,
    Query(_): Query<Wanted>,
) -> Response {
    let Some(ready) = ready(&app) else {
        return page::refused(StatusCode::NOT_FOUND, "There are no lines for these two databases yet: have them made in step 3.");
    };
    let style = ready.style(shell_of(&shell), false);
    let script =
        style.scripts(ready.plan()).into_iter().find(|script| script.name == name).or_else(|| whole(&style, ready.plan(), &name));
    match script {
        Some(script) => attachment(script),
        None => page::refused(StatusCode::NOT_FOUND, "There is no script of that name."),
    }
}

fn attachment(script: Script) -> Response {
    // Names are ours: letters, digits, hyphens and dots.
    let disposition = format!("attachment; filename=\"{}\"", script.name);
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)], script.text)
        .into_response()
}

/// The name of the file that holds a whole way.
pub fn whole_name(way: Way, shell: Shell) -> String {
    let way = if way == Way::Parallel { "all-parallel" } else { "all-one-file" };
    format!("{way}.{}", shell.extension())
}

/// A whole way as one file, by the name of that file.
fn whole(style: &Style<'_>, plan: &Plan, name: &str) -> Option<Script> {
    let way = [Way::OneFile, Way::Parallel].into_iter().find(|way| whole_name(*way, style.shell) == name)?;
    Some(style.whole(plan, way, name))
}
