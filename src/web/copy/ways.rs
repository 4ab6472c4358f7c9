//! What is to be done now, and the two ways side by side.

use std::time::Duration;

use askama::Template;
use jiff::Timestamp;

use super::form::Typed;
use super::work::{Job, pair};
use super::{Inner, Stage};
use crate::engine::report::Report;
use crate::show::numbers::{bytes, clean, count, duration, duration_band};
use crate::web::app::{App, Ends};
use crate::web::guard::Visitor;
use crate::web::live::Shown;
use crate::web::page::{Part, report_html};

/// What has to be removed from the target, and the word that is waited for.
struct Removal<'a> {
    database: &'a str,
    objects: Vec<String>,
    total: u64,
    error: Option<&'a String>,
}

impl Removal<'_> {
    fn counted(&self) -> String {
        count(self.total, "object", "objects")
    }
}

#[derive(Template)]
#[template(path = "copy/now.html")]
struct Now<'a> {
    visitor: &'a Visitor,
    is_looking: bool,
    removal: Option<Removal<'a>>,
    /// What kept a copy from beginning, or ended it.
    report: Option<String>,
    stage: Stage,
    /// How to go on with a copy that stopped.
    go_on: GoOn,
    between: Option<(String, String)>,
    since: Option<String>,
}

/// How to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoOn {
    /// At a button.
    Button,
    /// With the same choices, which are not known any more.
    Choices,
    /// First the databases have to be named.
    Ends,
    /// The databases that are named are others.
    Others,
}

fn go_on(inner: &Inner, shown: &Shown, ends: &Ends) -> GoOn {
    let Some(named) = pair(ends) else { return GoOn::Ends };
    let same = shown.view.run.as_ref().is_some_and(|run| (run.source.as_str(), run.target.as_str()) == (&named.0, &named.1));
    match &inner.last {
        _ if !same => GoOn::Others,
        Some((between, _)) if *between == named => GoOn::Button,
        _ => GoOn::Choices,
    }
}

/// What is to be done now.
///
/// # Errors
/// A fault of this program.
pub fn now(visitor: &Visitor, inner: &Inner, shown: &Shown, stage: Stage, ends: &Ends) -> Result<Part, Report> {
    let removal = match &inner.job {
        Job::Confirm(waiting) => waiting.prepared.to_confirm().map(|database| {
            let content = waiting.prepared.looked().facts.target_content.as_ref();
            let objects = content.map(|content| content.objects.iter().map(|name| clean(name)).collect()).unwrap_or_default();
            Removal { database, objects, total: content.map_or(0, |content| content.objects_total), error: waiting.error.as_ref() }
        }),
        _ => None,
    };
    let ended = shown.view.ended.as_ref().filter(|_| matches!(stage, Stage::Ended | Stage::Stopped | Stage::Failed));
    let is_busy = !inner.job.is_idle();
    let report = inner.report.as_deref().or_else(|| ended.and_then(|ended| ended.report.as_ref()));
    let report = report.filter(|report| !is_busy && report.code != "interrupted");
    let run = shown.view.run.as_ref();
    let since = shown.view.at.map(|at| ago(at, Timestamp::now()));
    let now = Now {
        visitor,
        is_looking: matches!(inner.job, Job::Looking),
        removal,
        report: report.map(report_html).transpose()?,
        stage: if is_busy && stage != Stage::Ours { Stage::Nothing } else { stage },
        go_on: go_on(inner, shown, ends),
        between: run.map(|run| (run.source.clone(), run.target.clone())),
        since,
    };
    Part::new("now", &now)
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let ago = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    if ago < Duration::from_secs(60) {
        "just now".to_owned()
    } else {
        format!("{} ago", duration(Duration::from_secs(ago.as_secs() / 60 * 60)))
    }
}

#[derive(Template)]
#[template(path = "copy/ways.html")]
struct Ways<'a> {
    visitor: &'a Visitor,
    typed: &'a Typed,
    has_ends: bool,
    is_again: bool,
    estimate: Option<String>,
    size: Option<String>,
}

impl Ways<'_> {
    fn is_method(&self, method: &str) -> bool {
        if self.typed.method.is_empty() { method == "hash" } else { self.typed.method == method }
    }
}

/// The way that this process goes.
///
/// # Errors
/// A fault of this program.
pub fn ways(app: &App, visitor: &Visitor, inner: &Inner, shown: &Shown, (stage, ends): (Stage, &Ends)) -> Result<Part, Report> {
    if !inner.job.is_idle() || matches!(stage, Stage::Ours | Stage::Elsewhere(_)) {
        return Ok(Part { id: "ways", html: String::new() });
    }
    let estimate = app.create.estimate();
    let tables = &shown.view.tables;
    let size = (stage == Stage::Planned).then(|| {
        let size = tables.iter().map(|table| table.planned.bytes_estimate).sum();
        format!("{}, about {}", count(tables.len() as u64, "table", "tables"), bytes(size))
    });
    let ways = Ways {
        visitor,
        typed: &inner.typed,
        has_ends: pair(ends).is_some(),
        is_again: matches!(stage, Stage::Stopped | Stage::Ended | Stage::Failed),
        estimate: estimate.map(|estimate| duration_band(estimate.copy_s)),
        size,
    };
    Part::new("ways", &ways)
}
