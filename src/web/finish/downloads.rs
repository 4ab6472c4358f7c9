//! The report of the whole migration, and its recording, as downloads.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use crate::engine::report::{Exit, Report};
use crate::show::bundle;
use crate::show::form::Form;
use crate::show::migration_report::MigrationReport;
use crate::web::app::App;
use crate::web::live::Origin;
use crate::web::page;

/// The routes of the downloads.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/finish/report.html", get(|app: State<App>| report(app, Form::Html, "html")))
        .route("/finish/report.md", get(|app: State<App>| report(app, Form::Markdown, "md")))
        .route("/finish/report.json", get(|app: State<App>| report(app, Form::Json, "json")))
        .route("/finish/bundle.jsonl", get(recording))
}

/// How the migration that is shown is called, in a file's name too: a directory's name has letters, digits, `-` and `_`.
fn name(app: &App) -> String {
    let dir = app.live.read(|shown| shown.dir.clone());
    let name = dir.as_ref().and_then(|dir| dir.file_name()).map(|name| name.to_string_lossy().into_owned());
    let is_plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    name.filter(is_plain).unwrap_or_else(|| "recording".to_owned())
}

async fn report(State(app): State<App>, form: Form, ending: &'static str) -> Response {
    let (view, origin) = app.live.read(|shown| (shown.view.clone(), shown.origin.clone()));
    if view.run.is_none() {
        return nothing();
    }
    let name = name(&app);
    let file = format!("neon-migrate-{name}.{ending}");
    // Thousands of tables take a moment.
    let made = tokio::task::spawn_blocking(move || {
        let running = matches!(origin, Origin::Own | Origin::Elsewhere { .. }) && view.ended.is_none();
        MigrationReport { name: &name, view: &view, running, at: Timestamp::now() }.write(form)
    });
    match made.await.unwrap_or_else(|_| Err(Report::new("internal", Exit::Bug, "The report could not be made."))) {
        Ok(text) => download(&file, form.content_type(), text.into_bytes()),
        Err(report) => page::failed(&report),
    }
}

async fn recording(State(app): State<App>) -> Response {
    let Some(dir) = app.live.read(|shown| shown.dir.clone()) else { return nothing() };
    let file = format!("neon-migrate-{}.jsonl", name(&app));
    let made = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        bundle::write(&dir, &mut bytes).map(|()| bytes).map_err(|error| error.report("for the browser"))
    });
    match made.await.unwrap_or_else(|_| Err(Report::new("internal", Exit::Bug, "The recording could not be made."))) {
        Ok(bytes) => download(&file, "application/jsonl", bytes),
        Err(report) => page::failed(&report),
    }
}

fn nothing() -> Response {
    page::refused(StatusCode::NOT_FOUND, "There is no migration yet that this could tell of. Begin one in step 3.")
}

fn download(file: &str, kind: &'static str, bytes: Vec<u8>) -> Response {
    let disposition =
        HeaderValue::from_str(&format!("attachment; filename=\"{file}\"")).unwrap_or(HeaderValue::from_static("attachment"));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CONTENT_DISPOSITION, disposition)], bytes).into_response()
}
