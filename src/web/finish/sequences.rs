//! Sequences: compared, shown, and brought up to date.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::change;
use crate::engine::report::Report;
use crate::migration::by_hand::sequences::{self, Compared, State as Stand};
use crate::web::app::App;
use crate::web::page::{Step, after};

/// Where the sequences stand.
#[derive(Debug, Default)]
pub(super) enum Stands {
    #[default]
    NotYet,
    Comparing,
    /// As they were compared, and how many were set before that.
    Known(Compared, Option<u64>),
    Setting,
    Failed(Report),
}

impl Stands {
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Stands::Comparing | Stands::Setting)
    }

    /// Whether none of the target is behind.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Stands::Known(compared, _) if compared.in_state(Stand::Behind).next().is_none())
    }
}

/// `POST /finish/sequences/compare`.
pub async fn compare(State(app): State<App>, headers: HeaderMap) -> Response {
    super::forget_others(&app);
    work(&app, false);
    after(&headers, Step::Finish)
}

/// `POST /finish/sequences`: brings them up to date, after they were shown.
pub async fn bring(State(app): State<App>, headers: HeaderMap) -> Response {
    // What was shown of other databases is no reason to change these.
    super::forget_others(&app);
    if matches!(app.finish.lock().sequences, Stands::Known(..)) {
        work(&app, true);
    }
    after(&headers, Step::Finish)
}

fn work(app: &App, set: bool) {
    let ends = app.ends();
    let (Some(source), Some(target)) = (ends.source, ends.target) else { return };
    let begins = change(app, |inner| {
        let begins = !inner.sequences.is_busy();
        if begins {
            inner.sequences = if set { Stands::Setting } else { Stands::Comparing };
        }
        begins
    });
    if !begins {
        return;
    }
    let working = app.clone();
    app.spawn(async move {
        let work = async {
            let done = if set { Some(sequences::bring(&source, &target).await?) } else { None };
            Ok((sequences::compare(&source, &target).await?, done))
        };
        let Some(done) = working.stop().run_until_cancelled(work).await else { return };
        change(&working, |inner| {
            inner.sequences = match done {
                Ok((compared, set)) => Stands::Known(compared, set),
                Err(report) => Stands::Failed(report),
            };
        });
    });
}
