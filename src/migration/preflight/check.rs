//! What a check is, and how checks are run.
//!
//! A check is a small item: a code, what it looks at in words, where it looks, and a function that turns what it saw into findings.
//! Each query runs in a read-only transaction of its own, so that a failing one spoils no other, and so that the settings it needs
//! end with it: nothing is left behind on a backend that a pooler may hand to the application next.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use serde::Deserialize;

use super::answer::{Answers, Rows, undecodable};
use super::facts::{Known, ServerFacts};
use super::{End, Options, Wish};
use crate::engine::checkup::{Headline, Outcome, Status};
use crate::engine::finding::{Finding, Severity};
pub use crate::migration::error::Side;
use crate::migration::provider::{self, Provider};
use crate::pg::error::PgError;
use crate::pg::names::{Ident, QualifiedName, human};

/// What every check may know.
pub(super) struct Context<'a> {
    pub(super) known: &'a Known,
    pub(super) options: &'a Options,
}

impl<'a> Context<'a> {
    /// The facts of the source.
    pub(super) fn source(&self) -> &'a ServerFacts {
        &self.known.source
    }

    /// The facts of an end; there may be no target.
    pub(super) fn of(&self, side: Side) -> Option<&'a ServerFacts> {
        match side {
            Side::Source => Some(&self.known.source),
            Side::Target => self.known.target.as_ref(),
        }
    }

    /// The role that is connected, quoted.
    pub(super) fn role(&self, side: Side) -> Ident {
        Ident::new(self.of(side).map_or("", |facts| &facts.role))
    }

    /// Who hosts an end.
    pub(super) fn host(&self, side: Side) -> &'static Provider {
        match side {
            Side::Source => self.known.provider,
            Side::Target => {
                let name = self.of(side).and_then(|end| end.provider.as_deref());
                let named = provider::all().iter().find(|provider| Some(provider.name.as_str()) == name);
                named.unwrap_or_else(provider::self_hosted)
            }
        }
    }

    /// Whether an object of the source is part of the migration: neither left out by a pattern nor part of the provider's platform.
    pub(super) fn takes(&self, schema: &str, name: &str) -> bool {
        self.options.scope.matches(schema, name) && !self.is_platform(schema)
    }

    /// Whether a schema belongs to the provider's platform, which stays behind.
    pub(super) fn is_platform(&self, schema: &str) -> bool {
        self.known.platform_schemas.iter().any(|platform| platform == schema)
    }

    /// The severity of what stands only in the way of live replication. Where that is not wanted it is good to know, and where
    /// nothing was said it is one step lighter.
    pub(super) fn live(&self, severity: Severity) -> Severity {
        match (self.options.wish, severity) {
            (Wish::Live, severity) => severity,
            (Wish::Open, Severity::Blocker) => Severity::Warning,
            (Wish::Open | Wish::Once, _) => Severity::Note,
        }
    }

    /// The objects of an answer that are part of the migration.
    pub(super) fn objects(&self, rows: &Rows) -> Result<Vec<Object>, serde_json::Error> {
        let objects: Vec<Object> = rows.parse()?;
        let taken = |object: &Object| object.schema.as_ref().is_none_or(|schema| self.takes(schema, &object.name));
        Ok(objects.into_iter().filter(taken).collect())
    }
}

/// An object as most queries give it; columns that a query does not have are nothing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Object {
    /// `table`, `index`, …
    pub(super) kind: Option<String>,
    /// The schema, for objects that are in one.
    pub(super) schema: Option<String>,
    /// The name, as the catalog holds it.
    pub(super) name: String,
    /// What else there is to say, for people.
    pub(super) detail: Option<String>,
}

impl Object {
    /// For people: `table public.orders (12 MB)`.
    pub(super) fn label(&self) -> String {
        let name = match &self.schema {
            Some(schema) => qualified(schema, &self.name),
            None => human(&self.name),
        };
        let kind = self.kind.as_ref().map(|kind| format!("{kind} ")).unwrap_or_default();
        let detail = self.detail.as_ref().map(|detail| format!(" ({})", crate::pg::names::human_line(detail))).unwrap_or_default();
        format!("{kind}{name}{detail}")
    }

    /// For SQL: quoted, and with its schema if it has one.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => QualifiedName::new(schema, &self.name).to_string(),
            None => Ident::new(&self.name).to_string(),
        }
    }
}

/// What an evaluation gives; the error is an answer of another form than its query has.
pub(super) type Evaluated = Result<Vec<Finding>, serde_json::Error>;
/// Turns rows into findings.
pub(super) type Evaluate = fn(&Context<'_>, Side, &Rows) -> Evaluated;
/// Turns the rows of the source and those of the target into findings.
pub(super) type EvaluatePair = fn(&Context<'_>, &Rows, &Rows) -> Evaluated;
/// A check that does something of its own with the sessions.
pub(super) type Probe = for<'a> fn(&'a Context<'a>, Ends<'a>) -> Probing<'a>;
/// What a probe will have found.
pub(super) type Probing<'a> = Pin<Box<dyn Future<Output = Result<Vec<Finding>, (Side, PgError)>> + Send + 'a>>;

/// One check.
pub(super) struct Check {
    /// The code in `docs/guide/findings.md`. Two checks that look at two sides of one thing share a code.
    pub(super) code: &'static str,
    /// A few words for lists, such as `Unlogged tables`.
    pub(super) title: &'static str,
    /// What it looks at, as the end of "it is not known …".
    pub(super) about: &'static str,
    /// What would let it see, if it may not.
    pub(super) grant: &'static str,
    /// The long text: what is looked at and how, why it matters, what to do. Paragraphs; the first check of a code has it.
    pub(super) explain: &'static str,
    /// Where it looks.
    pub(super) look: Look,
}

/// Where a check looks.
pub(super) enum Look {
    /// Only at what is known already about the source.
    Facts(fn(&Context<'_>) -> Vec<Finding>),
    /// Only at what is known already about both ends; the target may be an assumed one.
    Both(fn(&Context<'_>, &ServerFacts) -> Vec<Finding>),
    /// At one end.
    Rows { side: Side, query: &'static str, evaluate: Evaluate },
    /// At both ends.
    Pair { source: &'static str, target: &'static str, evaluate: EvaluatePair },
    /// At sessions of the source, and of the target if `needs_target`.
    Probe { needs_target: bool, probe: Probe },
}

/// What a role needs to see the catalogs.
pub(super) const CATALOGS: &str =
    "Use a role that may read the system catalogs, as every role may by default, and see that the server answers within 20 s.";

impl Check {
    /// The question that the check asks of the source, if it is one that a file can answer.
    pub(super) fn source_query(&self) -> Option<&'static str> {
        match self.look {
            Look::Rows { side: Side::Source, query, .. } => Some(query),
            Look::Pair { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What is told while a look goes on.
#[derive(Debug, Clone)]
pub enum News {
    /// It has begun, and consists of so many checks.
    Begun(usize),
    /// The five that come first.
    Headlines(Vec<Headline>),
    /// A check has ended. They come in the order in which they end.
    Outcome(Outcome),
}

/// Who is told. It is called from the work itself, so it must not wait.
pub type Tell<'a> = &'a (dyn Fn(News) + Sync);

/// The ends, as checks reach them.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    /// Where the source's answers come from.
    pub(super) source: Place<'a>,
    /// The target, if there is one that can be asked.
    pub(super) target: Option<End<'a>>,
}

/// The source: its sessions, or a file.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// Sessions.
    Live(End<'a>),
    /// A file of answers.
    File(&'a super::metadata::Metadata),
}

impl<'a> Place<'a> {
    /// Where its answers come from.
    pub(super) fn answers(self) -> Answers<'a> {
        match self {
            Place::Live(end) => Answers::Session(end.client),
            Place::File(metadata) => Answers::File(metadata),
        }
    }
}

impl<'a> Ends<'a> {
    /// The source's sessions, if there are any.
    pub(super) fn live_source(&self) -> Option<End<'a>> {
        match self.source {
            Place::Live(end) => Some(end),
            Place::File(_) => None,
        }
    }

    /// Where the source's answers come from; `second` spreads the work over both sessions.
    pub(super) fn answers(&self, second: bool) -> Answers<'a> {
        match self.source {
            Place::Live(end) => Answers::Session(if second { end.second.unwrap_or(end.client) } else { end.client }),
            Place::File(metadata) => Answers::File(metadata),
        }
    }
}

/// Runs checks on both sessions of each end side by side, tells each outcome when it is there, and gives all in the order of the checks.
/// A check that could not see gives a finding that says so; a lost connection is an error, with the end that it belongs to.
///
/// Probes have the sessions for themselves, so they come first, one after the other.
pub(super) async fn run(
    checks: &[Check],
    ends: Ends<'_>,
    cx: &Context<'_>,
    tell: Tell<'_>,
) -> Result<Vec<Outcome>, (Side, PgError)> {
    let (probes, others): (Vec<_>, Vec<_>) =
        checks.iter().enumerate().partition(|(_, check)| matches!(check.look, Look::Probe { .. }));
    let one = async |&(place, check): &(usize, &Check), second: bool| {
        let began = Instant::now();
        let outcome = evaluate(check, ends, second, cx).await?;
        tracing::debug!(code = check.code, elapsed = ?began.elapsed(), "checked");
        tell(News::Outcome(outcome.clone()));
        Ok::<_, (Side, PgError)>((place, outcome))
    };
    let mut done = Vec::with_capacity(checks.len());
    for probe in &probes {
        done.push(one(probe, false).await?);
    }
    let next = AtomicUsize::new(0);
    let worker = async |second: bool| {
        let mut done = Vec::new();
        while let Some(check) = others.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(one(check, second).await?);
        }
        Ok::<_, (Side, PgError)>(done)
    };
    let workers = if ends.live_source().is_some_and(|end| end.second.is_some()) { 2 } else { 1 };
    for part in join_all((0..workers).map(|n| worker(n == 1))).await {
        done.extend(part?);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

async fn evaluate(check: &Check, ends: Ends<'_>, second: bool, cx: &Context<'_>) -> Result<Outcome, (Side, PgError)> {
    let seen = match look(check, ends, second, cx).await {
        Ok(Looked::Seen(findings)) => return Ok(outcome(check, Status::of(&findings), findings, None)),
        Ok(Looked::NotApplicable(why)) => return Ok(outcome(check, Status::NotApplicable, Vec::new(), Some(why.to_owned()))),
        Err(failed) => failed,
    };
    match seen {
        (side, error @ (PgError::Server(_) | PgError::Protocol(_))) => {
            let finding = not_evaluated(check.code, side, check.about, &error.to_string(), check.grant);
            Ok(outcome(check, Status::NotEvaluated, vec![finding], None))
        }
        lost => Err(lost),
    }
}

fn outcome(check: &Check, status: Status, findings: Vec<Finding>, reason: Option<String>) -> Outcome {
    Outcome { code: check.code.to_owned(), title: check.title.to_owned(), status, reason, findings }
}

/// What a check saw, or why there was nothing to see.
enum Looked {
    Seen(Vec<Finding>),
    NotApplicable(&'static str),
}

const NO_TARGET: &str = "No target was given to compare with.";
const NO_TARGET_YET: &str = "The target can be asked only when it exists.";
const NO_SESSION: &str = "It takes a connection to the source.";

async fn look(check: &Check, ends: Ends<'_>, second: bool, cx: &Context<'_>) -> Result<Looked, (Side, PgError)> {
    let no_target = if cx.known.target.is_some() { NO_TARGET_YET } else { NO_TARGET };
    let on_target = ends.target.map(|end| Answers::Session(if second { end.second.unwrap_or(end.client) } else { end.client }));
    let of = |side: Side| move |error| (side, error);
    match &check.look {
        Look::Facts(evaluate) => weighed(cx, |cx| Ok(evaluate(cx))).map_err(|error| (Side::Source, undecodable(error))),
        Look::Both(evaluate) => match &cx.known.target {
            Some(target) => weighed(cx, |cx| Ok(evaluate(cx, target))).map_err(|error| (Side::Target, undecodable(error))),
            None => Ok(Looked::NotApplicable(NO_TARGET)),
        },
        Look::Rows { side, query, evaluate } => {
            let answers = if *side == Side::Source { Some(ends.answers(second)) } else { on_target };
            let Some(answers) = answers else { return Ok(Looked::NotApplicable(no_target)) };
            let rows = answers.rows(query).await.map_err(of(*side))?;
            weighed(cx, |cx| evaluate(cx, *side, &rows)).map_err(|error| (*side, undecodable(error)))
        }
        Look::Pair { source, target, evaluate } => {
            let Some(on_target) = on_target else { return Ok(Looked::NotApplicable(no_target)) };
            let on_source = ends.answers(second);
            let (left, right) = futures_util::future::join(on_source.rows(source), on_target.rows(target)).await;
            let (left, right) = (left.map_err(of(Side::Source))?, right.map_err(of(Side::Target))?);
            weighed(cx, |cx| evaluate(cx, &left, &right)).map_err(|error| (Side::Source, undecodable(error)))
        }
        Look::Probe { needs_target, probe } => {
            if *needs_target && ends.target.is_none() {
                return Ok(Looked::NotApplicable(no_target));
            }
            if ends.live_source().is_none() {
                return Ok(Looked::NotApplicable(NO_SESSION));
            }
            probe(cx, ends).await.map(Looked::Seen)
        }
    }
}

/// Evaluates for what was wished, and notes how much each finding would matter if live replication were wanted, where that is more:
/// which ways are open is told whatever was wished.
fn weighed(cx: &Context<'_>, evaluate: impl Fn(&Context<'_>) -> Evaluated) -> Result<Looked, serde_json::Error> {
    let mut findings = evaluate(cx)?;
    let wish = |wish| Options { wish, ..cx.options.clone() };
    let once = evaluate(&Context { options: &wish(Wish::Once), ..*cx })?;
    let live = evaluate(&Context { options: &wish(Wish::Live), ..*cx })?;
    for (finding, (once, live)) in findings.iter_mut().zip(once.into_iter().zip(live)) {
        finding.if_live = (once.severity != live.severity).then_some(live.severity);
    }
    Ok(Looked::Seen(findings))
}

/// The finding of a check that could not look. `about` ends the sentence "it is not known …".
pub(super) fn not_evaluated(code: &str, side: Side, about: &str, reason: &str, grant: &str) -> Finding {
    let finding = Finding::not_evaluated(code, side.name(), &format!("it is not known {about}, because {reason}."));
    if grant.is_empty() { finding } else { finding.with_fix(grant) }
}

/// A fix made of words and of statements that can be executed as they stand: the words are the first line. Of many statements the
/// first [`Finding::OBJECTS_MAX`] are given, as many as objects are named.
pub(super) fn fix_sql(words: &str, sql: &[String]) -> String {
    match sql.len().checked_sub(Finding::OBJECTS_MAX) {
        None | Some(0) => format!("{words}:\n{}", sql.join("\n")),
        Some(more) => {
            let first = &sql[..Finding::OBJECTS_MAX];
            format!(
                "{words} (these are for the first {}; {more} more follow when the check is run again):\n{}",
                first.len(),
                first.join("\n")
            )
        }
    }
}

/// `1 table`, `2 tables`.
pub(super) fn count(n: usize, singular: &str, plural: &str) -> String {
    format!("{n} {}", if n == 1 { singular } else { plural })
}

/// `schema.name` for people.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", human(schema), human(name))
}
