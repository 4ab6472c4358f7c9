//! Step 3: the rows.

use askama::Template;
use axum::Router;

use super::app::App;
use super::guard::Visitor;
use super::page::{Part, Standing, StepState, Wanted};
use crate::engine::event::EventIndex;
use crate::engine::report::Report;

/// What the step knows.
#[derive(Debug, Default)]
pub struct State {}

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
}

/// Where it stands.
pub fn standing(_app: &App) -> Standing {
    Standing::new(StepState::ToCome, "")
}

#[derive(Template)]
#[template(path = "copy/main.html")]
struct Main {}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    Ok(vec![Part::new("copy", &Main {})?, super::commands::part(app, visitor, wanted)?])
}

/// The tables that changed after the event `seen`, as JSON for the table of tables, and the event that is seen then.
pub fn rows(app: &App, _seen: EventIndex) -> (Option<String>, EventIndex) {
    (None, app.live.index())
}
