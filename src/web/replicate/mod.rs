//! Step 4: logical replication, set up by hand. `watch` looks at both sides, and `draw` says what was seen beside the commands.

mod draw;
mod watch;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;

pub use self::watch::{State, Watching, watching};
pub(in crate::web) use self::watch::{keep, names};
use super::app::App;
use super::guard::Visitor;
use super::page::{self, Part, Standing, StepState, Wanted};
use crate::engine::report::Report;
use crate::migration::by_hand::words::Stage;

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new().route("/replicate/look", post(look))
}

/// `POST /replicate/look`: looks again at once.
async fn look(Extract(app): Extract<App>, headers: HeaderMap) -> Response {
    watch::at_once(&app);
    page::after(&headers, page::Step::Replicate)
}

/// Whether there is something to look at, so that a page without scripts loads itself again.
pub fn is_watchable(app: &App) -> bool {
    let ends = app.ends();
    ends.source.is_some() && ends.target.is_some()
}

/// Where it stands, by what was seen last.
pub fn standing(app: &App) -> Standing {
    let Some(seen) = watch::seen(app) else { return Standing::new(StepState::ToCome, "") };
    let (state, words) = match seen.look.next().stage {
        Stage::Unknown => (StepState::Attention, "Not seen"),
        Stage::Nothing => (StepState::ToCome, "Not set up"),
        Stage::Published => (StepState::Waiting, "Published"),
        Stage::Copying => (StepState::Running, "Tables are copied"),
        Stage::Following => (StepState::Waiting, "Following the source"),
        Stage::Broken => (StepState::Attention, "It does not go on"),
        Stage::LeftOver => (StepState::Attention, "A slot is left"),
    };
    Standing::new(state, words)
}

/// Its parts.
///
/// # Errors
/// A fault of this program.
pub fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Vec<Part>, Report> {
    watch::drawn(app);
    draw::parts(app, visitor, wanted)
}
