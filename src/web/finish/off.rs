//! Turning replication off: looked at when the page is opened, shown as statements, and run by a button below them.

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::change;
use crate::engine::report::Report;
use crate::migration::by_hand::look::{Look, Looker};
use crate::migration::by_hand::off::{self, Consent, Left, Statement};
use crate::migration::commands::Names;
use crate::migration::ends::{Source, Target};
use crate::web::app::App;
use crate::web::page::{Step, after};
use crate::web::replicate;

/// Where turning off stands.
#[derive(Debug, Default)]
pub(super) enum Stands {
    #[default]
    NotYet,
    Looking,
    /// What there is, as it was looked at.
    Known(Box<Known>),
    Running(Running),
    /// It was turned off, and nothing is left.
    Off(Left),
    /// It stopped on the way, after these statements.
    Failed(Report, Running),
    /// It could not be looked at.
    Unseen(Report),
}

impl Stands {
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Stands::Looking | Stands::Running(_))
    }
}

/// What there is to turn off.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) look: Look,
    pub(super) statements: Vec<Statement>,
    /// Why it would lose changes.
    pub(super) warning: Option<String>,
    /// What was missing in the form.
    pub(super) error: Option<&'static str>,
}

/// How far it has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Running {
    pub(super) statements: Vec<Statement>,
    /// How many of them are done.
    pub(super) done: usize,
}

/// Looks, unless that was done, or something goes on.
pub(super) fn look_once(app: &App) {
    if matches!(app.finish.lock().off, Stands::NotYet) {
        look(app);
    }
}

/// `POST /finish/off/look`.
pub async fn look_again(State(app): State<App>, headers: HeaderMap) -> Response {
    look(&app);
    after(&headers, Step::Finish)
}

fn look(app: &App) {
    let ends = app.ends();
    let (Some(source), Some(target)) = (ends.source, ends.target) else { return };
    let begins = change(app, |inner| {
        let begins = !matches!(inner.off, Stands::Looking | Stands::Running(_));
        if begins {
            inner.off = Stands::Looking;
        }
        begins
    });
    if !begins {
        return;
    }
    let looking = app.clone();
    app.spawn(async move {
        let mut looker = Looker::new(source, target);
        let look = async {
            let names = replicate::names(&looking, &mut looker).await;
            looker.look(&names).await
        };
        let Some(look) = looking.stop().run_until_cancelled(look).await else { return };
        replicate::keep(&looking, look.clone());
        let stands = match off::statements(&look) {
            Ok(statements) => {
                let warning = off::warning(&look);
                Stands::Known(Box::new(Known { look, statements, warning, error: None }))
            }
            Err(report) => Stands::Unseen(report),
        };
        change(&looking, |inner| {
            if matches!(inner.off, Stands::Looking) {
                inner.off = stands;
            }
        });
    });
}

/// What was agreed to, below the statements.
#[derive(Deserialize)]
pub struct Agreed {
    /// Nothing writes to the source any more.
    #[serde(default)]
    stopped: String,
    /// Changes may be lost.
    #[serde(default)]
    lose: String,
}

/// `POST /finish/off`: runs the statements that were shown.
pub async fn run(State(app): State<App>, headers: HeaderMap, Form(agreed): Form<Agreed>) -> Response {
    let consent = Consent { confirmed: !agreed.stopped.is_empty(), although_behind: !agreed.lose.is_empty() };
    // What was shown of other databases is no consent for these.
    super::forget_others(&app);
    let ends = app.ends();
    let begun = change(&app, |inner| {
        // Nothing is run that was not shown.
        let Stands::Known(known) = &mut inner.off else { return None };
        if !consent.confirmed {
            known.error = Some("Stop what writes to the source first, and say so here.");
            return None;
        }
        let (names, statements) = (known.look.names.clone(), known.statements.clone());
        inner.off = Stands::Running(Running { statements, done: 0 });
        Some(names)
    });
    if let (Some(names), Some(source), Some(target)) = (begun, ends.source, ends.target) {
        let working = app.clone();
        app.spawn(async move { work(&working, &source, &target, &names, consent).await });
    }
    after(&headers, Step::Finish)
}

/// It is not cut short when the process is to end: each wait in it has its limit, and what it has begun it brings to a point from which it can go on.
async fn work(app: &App, source: &Source, target: &Target, names: &Names, consent: Consent) {
    let tell = |statement: &Statement, done: bool| {
        change(app, |inner| {
            if let Stands::Running(running) = &mut inner.off {
                running.reached(statement, done);
            }
        });
    };
    let ended = off::run(source, target, names, consent, &tell).await;
    change(app, |inner| {
        inner.off = match (ended, std::mem::take(&mut inner.off)) {
            (Ok(left), _) => Stands::Off(left),
            (Err(report), Stands::Running(running)) => Stands::Failed(report, running),
            (Err(report), _) => Stands::Failed(report, Running::default()),
        };
    });
    let look = Looker::new(source.clone(), target.clone()).look(names).await;
    replicate::keep(app, look);
}

impl Running {
    fn reached(&mut self, statement: &Statement, done: bool) {
        match self.statements.iter().position(|known| known.what == statement.what) {
            Some(place) => self.done = place + usize::from(done),
            // It was not there yet when it was looked at.
            None => self.statements.push(statement.clone()),
        }
    }
}
