//! The looks: all checks, or those of one code.

use tokio_util::sync::CancellationToken;

use super::{Compared, Inner, Work, change, change_of, result_words};
use crate::engine::checkup::Checkup;
use crate::engine::report::Report;
use crate::migration::ends::Source;
use crate::migration::preflight::session::Session;
use crate::migration::preflight::{News, Options};
use crate::migration::run::not_begun;
use crate::pg::tools::Search;
use crate::web::app::App;
use crate::web::connection::Wrong;
use crate::web::page::StepState;

/// Why a look has no report.
enum Stopped {
    /// The source cannot be connected to, which is told at the field.
    Unreached(Report),
    /// The connection was lost, or it took too long.
    Lost(Report),
}

/// Begins a look at everything, unless one goes on.
pub(super) fn all(app: &App, source: Source, compared: Compared) {
    if let Some(wrong) = under_way(app, &source) {
        change(app, |inner| inner.wrong = Some(wrong));
        return;
    }
    let Some(cancel) = began(app, None, |inner| {
        inner.tried = Some(source.clone());
        inner.compared = compared;
        inner.wrong = None;
    }) else {
        return;
    };
    let looking = app.clone();
    app.spawn(async move {
        let look = look(&looking, &source, compared, &cancel);
        let Some(result) = cancel.run_until_cancelled(look).await else { return };
        ended(&looking, &cancel, result, |_| None);
    });
}

/// Begins a look at what one code is about, unless one goes on.
pub(super) fn one(app: &App, code: String) {
    let Some(source) = app.ends().source else { return };
    let (compared, earlier) = {
        let inner = app.check.lock();
        (inner.compared, inner.checkup.clone())
    };
    let has_code = |checkup: &Checkup| checkup.outcomes.iter().any(|outcome| outcome.code == code);
    let Some(earlier) = earlier.filter(|earlier| has_code(earlier) && earlier.source.label == source.info().label()) else {
        return;
    };
    let Some(cancel) = began(app, Some(code.clone()), |_| ()) else { return };
    let looking = app.clone();
    app.spawn(async move {
        let look = async {
            let session = Session::open(&source, compared.with(), options(&looking)).await.map_err(lost)?;
            session.check_again(earlier, &code).await.map_err(|failure| Stopped::Lost(failure.report()))
        };
        let Some(result) = cancel.run_until_cancelled(look).await else { return };
        ended(&looking, &cancel, result, |checkup| Some(result_words(&code, checkup)));
    });
}

/// Another source cannot be chosen while data of this one is moved.
fn under_way(app: &App, source: &Source) -> Option<Wrong> {
    let is_other = app.ends().source.is_some_and(|now| now.info().label() != source.info().label());
    let is_moving = crate::web::copy::standing(app).state == StepState::Running;
    (is_other && is_moving).then(|| Wrong {
        message: "Data of the source of now is being moved, so that another one cannot be chosen.".to_owned(),
        causes: Vec::new(),
        fix: Some("Wait for the copy in step 3, or pause it; then run the checks.".to_owned()),
    })
}

fn options(app: &App) -> Options {
    Options { tools: Search::new(app.options.pg_bin_dir.clone()), ..Options::check() }
}

fn lost(error: crate::migration::error::Error) -> Stopped {
    Stopped::Lost(not_begun(error))
}

/// Notes that a look begins, if none goes on.
fn began(app: &App, code: Option<String>, with: impl FnOnce(&mut Inner)) -> Option<CancellationToken> {
    change(app, |inner| {
        if inner.work.is_some() {
            return None;
        }
        let cancel = app.stop().child_token();
        inner.work =
            Some(Work { code, cancel: cancel.clone(), is_connected: false, total: 0, headlines: Vec::new(), outcomes: Vec::new() });
        inner.failed = None;
        inner.said = None;
        with(inner);
        Some(cancel)
    })
}

async fn look(app: &App, source: &Source, compared: Compared, cancel: &CancellationToken) -> Result<Checkup, Stopped> {
    let opened = Session::open(source, compared.with(), options(app)).await;
    let session = opened.map_err(|error| Stopped::Unreached(not_begun(error)))?;
    let label = source.info().label();
    change_of(app, cancel, |inner| {
        inner.accepted += 1;
        inner.checkup = inner.checkup.take().filter(|earlier| earlier.source.label == label);
        if let Some(work) = &mut inner.work {
            work.is_connected = true;
        }
    });
    // A source that answers is the source.
    app.set_ends(|ends| ends.source = Some(source.clone()));
    session.check(&|news| hear(app, cancel, news)).await.map_err(|failure| Stopped::Lost(failure.report()))
}

fn hear(app: &App, cancel: &CancellationToken, news: News) {
    change_of(app, cancel, |inner| {
        let Some(work) = &mut inner.work else { return };
        match news {
            News::Begun(total) => work.total = total,
            News::Headlines(headlines) => work.headlines = headlines,
            News::Outcome(outcome) => work.outcomes.push(outcome),
        }
    });
}

fn ended(app: &App, cancel: &CancellationToken, result: Result<Checkup, Stopped>, say: impl FnOnce(&Checkup) -> Option<String>) {
    change_of(app, cancel, |inner| {
        inner.work = None;
        match result {
            Ok(checkup) => {
                inner.said = say(&checkup);
                inner.checkup = Some(checkup);
            }
            Err(Stopped::Unreached(report)) => inner.wrong = Some(Wrong::of_report(for_page(report))),
            Err(Stopped::Lost(report)) => inner.failed = Some(for_page(report)),
        }
    });
}

/// Here there is a button, and no command.
fn for_page(mut report: Report) -> Report {
    report.fix = report.fix.map(|fix| fix.replace("run the same command again", "run the checks again"));
    report
}
