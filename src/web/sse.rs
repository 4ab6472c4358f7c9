//! `GET /live/{step}`: the parts of a step that have changed, as a stream of events.
//!
//! The stream begins with nothing: what the page was loaded with may be older than what is now, so every part is sent once and the page
//! leaves alone what it has already. An event's id is the process and the last event of the shown migration; a page that comes back gives the last
//! one that it saw, and of long lists (the tables) gets only what has changed since.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::app::App;
use super::guard::Visitor;
use super::page::{self, Part, Step, Wanted};
use super::{copy, replicate};

/// How often a page is drawn anew, at most.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often it is drawn at least, for what changes with the time alone.
const DRAW_AT_LEAST: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How many pages may be open at once.
const STREAMS_MAX: usize = 64;

/// Counts the open pages.
static STREAMS: std::sync::LazyLock<Arc<Semaphore>> = std::sync::LazyLock::new(|| Arc::new(Semaphore::new(STREAMS_MAX)));

/// What one page has been sent.
struct Page {
    app: App,
    visitor: Visitor,
    step: Step,
    wanted: Wanted,
    sent: HashMap<&'static str, String>,
    /// The id of the last event that it saw.
    seen: String,
    changes: watch::Receiver<u64>,
    first: bool,
    _permit: OwnedSemaphorePermit,
    _watched: Option<replicate::Watching>,
}

/// See the module.
pub async fn live(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(step): Path<Step>,
    Query(mut wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let Ok(permit) = Arc::clone(&STREAMS).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open.").into_response();
    };
    // A browser that lost its connection names the last event by itself, a page that gave it back in its address.
    let by_page = wanted.remove("last").unwrap_or_default();
    wanted.insert("streamed".to_owned(), String::new());
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or(&by_page);
    let page = Page {
        seen: last.to_owned(),
        changes: app.changes(),
        _watched: (step == Step::Replicate).then(|| replicate::watching(&app)),
        app,
        visitor,
        step,
        wanted,
        sent: HashMap::new(),
        first: true,
        _permit: permit,
    };
    let events = stream::unfold(page, async |mut page| {
        let events = page.next().await?;
        Some((stream::iter(events.into_iter().map(Ok::<_, Infallible>)), page))
    });
    let events = futures_util::StreamExt::flatten(events);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Page {
    /// Waits until something may have changed, and gives what has; nothing once the process ends.
    async fn next(&mut self) -> Option<Vec<Event>> {
        let stop = self.app.stop().clone();
        if !std::mem::take(&mut self.first) {
            let wait = async {
                tokio::time::sleep(DRAW_EVERY).await;
                // Whether it changed or the time is over: it is drawn either way.
                let _ = tokio::time::timeout(DRAW_AT_LEAST, self.changes.changed()).await;
            };
            stop.run_until_cancelled(wait).await?;
        }
        self.changes.mark_unchanged();
        let mut events = Vec::new();
        let parts = page::parts(&self.app, &self.visitor, self.step, &self.wanted).ok()?;
        let (rows, index) = match self.step {
            Step::Copy => copy::rows(&self.app, self.app.live.resumes_from(&self.seen)),
            _ => (None, self.app.live.index()),
        };
        let id = self.app.live.id(index);
        events.extend(rows.map(|rows| Event::default().event("rows").id(&id).data(rows)));
        for Part { id: part, html } in parts {
            if self.sent.get(part) != Some(&html) {
                let data = serde_json::json!({ "id": part, "html": html }).to_string();
                events.push(Event::default().event("part").id(&id).data(data));
                self.sent.insert(part, html);
            }
        }
        self.seen = id;
        Some(events)
    }
}
