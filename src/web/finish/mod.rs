//! Step 5: the end.

pub mod downloads;

use askama::Template;
use axum::Router;

use super::app::App;
use super::guard::Visitor;
use super::page::{Part, Standing, StepState, Wanted};
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
#[template(path = "finish/main.html")]
struct Main {}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(_app: &App, _visitor: &Visitor, _wanted: &Wanted) -> Result<Vec<Part>, Report> {
    Ok(vec![Part::new("finish", &Main {})?])
}
