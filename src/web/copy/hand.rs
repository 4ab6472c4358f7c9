//! The lines that do it by hand, tabbed by shell and by way. Passwords stand in them only in the answer to a request that asks for them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::work::pair;
use super::{Inner, Pair, Stage};
use crate::engine::report::{Exit, Report};
use crate::migration::commands::quote::Shell;
use crate::migration::commands::script::Style;
use crate::migration::commands::{Step as Line, Way};
use crate::migration::ends::{Source, Target};
use crate::migration::run::by_hand::{self, ByHand};
use crate::pg::tools::Search;
use crate::web::app::{App, Ends, lock};
use crate::web::guard::Visitor;
use crate::web::page::{self, Part, Step, Wanted, draw, is_scripted, report_html};

/// The lines, and the pair that they are for.
#[derive(Debug, Default)]
pub enum Hand {
    /// Nobody asked.
    #[default]
    NotYet,
    /// Both ends are looked at.
    Asking,
    /// There they are.
    Made(Pair, Arc<ByHand>),
    /// They could not be made.
    Failed(Box<Report>),
}

impl Hand {
    fn made(&self, ends: &Ends) -> Option<Arc<ByHand>> {
        match self {
            Hand::Made(of, made) if Some(of) == pair(ends).as_ref() => Some(Arc::clone(made)),
            _ => None,
        }
    }
}

/// What is looked at of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tab {
    shell: Shell,
    way: Way,
}

impl Tab {
    fn of(wanted: &Wanted) -> Tab {
        let is = |key: &str, value: &str| wanted.get(key).is_some_and(|found| found == value);
        let shell = if is("shell", "powershell") { Shell::PowerShell } else { Shell::Bash };
        Tab { shell, way: if is("way", "parallel") { Way::Parallel } else { Way::OneFile } }
    }

    fn shell(self) -> &'static str {
        if self.shell == Shell::PowerShell { "powershell" } else { "bash" }
    }

    fn way(self) -> &'static str {
        if self.way == Way::Parallel { "parallel" } else { "one-file" }
    }
}

#[derive(Template)]
#[template(path = "copy/hand.html")]
struct Lines<'a> {
    visitor: &'a Visitor,
    has_ends: bool,
    is_asking: bool,
    failed: Option<String>,
    made: Option<Arc<ByHand>>,
    tab: Tab,
    with_passwords: bool,
}

impl Lines<'_> {
    fn style<'b>(&self, made: &'b ByHand) -> Style<'b> {
        Style { shell: self.tab.shell, with_passwords: self.with_passwords, bin_dir: made.bin_dir.as_deref() }
    }

    fn connections(&self, made: &ByHand) -> String {
        self.style(made).connections(&made.plan).join("\n")
    }

    fn lines(&self, made: &ByHand, step: &Line) -> String {
        self.style(made).lines(&made.plan, &step.actions).join("\n")
    }

    fn steps<'b>(&self, made: &'b ByHand) -> Vec<&'b Line> {
        made.plan.steps.iter().filter(|step| step.way == Way::Before || step.way == self.tab.way).collect()
    }

    fn script(&self, name: &str) -> String {
        format!("/copy/script/{name}.{}?shell={}", self.tab.shell.extension(), self.tab.shell())
    }

    fn address(&self, shell: &str, way: &str) -> String {
        format!("/copy?shell={shell}&way={way}#part-hand")
    }

    fn has_passwords(&self, made: &ByHand) -> bool {
        [&made.plan.source, &made.plan.target].iter().any(|end| end.password.is_some())
    }
}

/// The part; passwords are never in it. While a copy runs there is nothing to do by hand.
///
/// # Errors
/// A fault of this program.
pub fn part(visitor: &Visitor, inner: &Inner, wanted: &Wanted, (stage, ends): (Stage, &Ends)) -> Result<Part, Report> {
    if matches!(stage, Stage::Ours | Stage::Elsewhere(_)) {
        return Ok(Part { id: "hand", html: String::new() });
    }
    Part::new("hand", &lines(visitor, inner, Tab::of(wanted), ends)?)
}

fn lines<'a>(visitor: &'a Visitor, inner: &Inner, tab: Tab, ends: &Ends) -> Result<Lines<'a>, Report> {
    let failed = match &inner.hand {
        Hand::Failed(report) => Some(report_html(report)?),
        _ => None,
    };
    Ok(Lines {
        visitor,
        has_ends: pair(ends).is_some(),
        is_asking: matches!(inner.hand, Hand::Asking),
        failed,
        made: inner.hand.made(ends),
        tab,
        with_passwords: false,
    })
}

/// `POST /copy/commands`: makes them.
pub async fn make(State(app): State<App>, headers: HeaderMap) -> Response {
    let ends = app.ends();
    let between = pair(&ends);
    if let (Some(between), Some(source), Some(target)) = (between, ends.source, ends.target) {
        let was = std::mem::replace(&mut lock(&app.copy.0).hand, Hand::Asking);
        if !matches!(was, Hand::Asking) {
            let here = app.clone();
            let begun = app.spawn_apart(move || ask(here, between, source, target));
            if begun.is_err() {
                lock(&app.copy.0).hand = Hand::NotYet;
            }
        }
    }
    app.touch();
    page::after(&headers, Step::Copy)
}

async fn ask(app: App, between: Pair, source: Source, target: Target) {
    let search = Search::new(app.options.pg_bin_dir.clone());
    let made = by_hand::prepare(&source, &target, None, &search);
    let hand = match app.stop().run_until_cancelled(made).await {
        None => Hand::NotYet,
        Some(Ok(made)) => Hand::Made(between, Arc::new(made)),
        Some(Err(report)) => Hand::Failed(Box::new(report)),
    };
    lock(&app.copy.0).hand = hand;
}

/// Which lines are wanted with their passwords, or without them again.
#[derive(Debug, Deserialize)]
pub struct Reveal {
    shell: String,
    way: String,
    show: String,
}

/// `POST /copy/passwords`: the lines with the passwords in them, for this one answer, which nobody keeps.
pub async fn reveal(
    State(app): State<App>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Form(reveal): Form<Reveal>,
) -> Response {
    let wanted = Wanted::from([("shell".to_owned(), reveal.shell), ("way".to_owned(), reveal.way)]);
    let ends = app.ends();
    let drawn = lines(&visitor, &lock(&app.copy.0), Tab::of(&wanted), &ends)
        .and_then(|lines| draw(&Lines { with_passwords: reveal.show == "yes", ..lines }));
    let html = match drawn {
        Ok(html) => html,
        Err(report) => return page::failed(&report),
    };
    let not_kept = [(header::CACHE_CONTROL, "no-store")];
    if is_scripted(&headers) {
        let answer = serde_json::json!({ "parts": [{ "id": "hand", "html": html }] });
        return (not_kept, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response();
    }
    (not_kept, page::alone("Commands", &visitor, Part { id: "hand", html })).into_response()
}

/// `GET /copy/script/{name}`: one file, without passwords.
pub async fn script(State(app): State<App>, Path(name): Path<String>, Query(wanted): Query<Wanted>) -> Response {
    let made = lock(&app.copy.0).hand.made(&app.ends());
    let Some(made) = made else { return page::failed(&gone()) };
    let style = Style { shell: Tab::of(&wanted).shell, with_passwords: false, bin_dir: made.bin_dir.as_deref() };
    match style.scripts(&made.plan).into_iter().find(|script| script.name == name) {
        Some(script) => {
            let disposition = format!("attachment; filename=\"{}\"", script.name);
            let kind = "text/plain; charset=utf-8".to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], script.text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn gone() -> Report {
    Report::new("no-commands", Exit::Usage, "The commands are not made any more, or the databases are others now.")
        .with_fix("Go back to step 3 and make them again.")
}
