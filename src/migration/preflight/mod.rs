//! Preflight: looks at both ends before anything is written, and says what stands in the way.
//!
//! One file per family of checks, with the letters of `docs/guide/findings.md`. A new check is one [`check::Check`] in the list of
//! its family. What could not be looked at is a finding of its own, never a pass. Nothing here writes: each query runs in a
//! read-only transaction, and no setting outlives it.

mod check;
mod encoding;
mod endpoints;
mod extensions;
mod facts;
mod privileges;
mod target;
mod tools;
mod versions;

use std::time::Duration;

use futures_util::future::{join, try_join3};
use tokio_postgres::Client;

pub use self::check::Side;
use self::check::{Check, Context};
pub use self::endpoints::{CONNECTIONS_BESIDE_JOBS, jobs_possible};
pub use self::facts::{
    Capabilities, Connections, Facts, ForcedSetting, Locale, OWN_SCHEMA, ServerFacts, SourceSize, TargetContent,
};
use super::scope::Scope;
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::{Exit, Report};
use crate::pg::conninfo::PooledHint;
use crate::pg::error::PgError;
use crate::pg::tools::{Search, Tools};

/// How long the whole of preflight may take.
const LIMIT: Duration = Duration::from_secs(120);

/// One end, as preflight needs it.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// A connection.
    pub client: &'a Client,
    /// A second connection made with the same string, which shows whether a pooler stands in between. Without it only the hint is
    /// used.
    pub second: Option<&'a Client>,
    /// What the address says, if it is that of a pooler ([`crate::pg::conninfo::Conninfo::is_pooled_hint`]).
    pub pooled: Option<&'a PooledHint>,
}

impl<'a> From<&'a Client> for End<'a> {
    fn from(client: &'a Client) -> Self {
        End { client, second: None, pooled: None }
    }
}

/// What the two ends are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To copy once, from a source that may be written to meanwhile, to a target that should be empty.
    Copy,
    /// To compare two databases.
    Verify,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the two ends are wanted for.
    pub purpose: Purpose,
    /// Which tables.
    pub scope: Scope,
    /// How many jobs would be good to have.
    pub jobs_wanted: u32,
    /// An earlier migration to this target is continued, so the target is not empty.
    pub resume: bool,
    /// What the target holds is to be removed, and this was confirmed.
    pub replace_target: bool,
    /// A target of an older major than the source is accepted.
    pub allow_downgrade: bool,
    /// Where to look for pg_dump and pg_restore.
    pub tools: Search,
}

impl Options {
    /// A copy of everything, with nothing allowed that has to be asked for.
    pub fn copy() -> Self {
        Options {
            purpose: Purpose::Copy,
            scope: Scope::default(),
            jobs_wanted: 4,
            resume: false,
            replace_target: false,
            allow_downgrade: false,
            tools: Search::new(None),
        }
    }
}

/// What preflight found.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// What was found, in the order of the families.
    pub findings: Vec<Finding>,
    /// What later phases need to know.
    pub facts: Facts,
    /// pg_dump and pg_restore; nothing if none will do, which is also a finding, or if they are not needed.
    pub tools: Option<Tools>,
}

impl Preflight {
    /// The findings that stand in the way.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }

    /// What to tell if anything stands in the way. The findings themselves are told before, each in full.
    pub fn refusal(&self) -> Option<Report> {
        let (message, fix) = match self.blockers().count() {
            0 => return None,
            1 => ("1 finding stands in the way; nothing was written.".to_owned(), "Mend it, then run the same command again."),
            n => (
                format!("{n} findings stand in the way; nothing was written."),
                "Mend each of them, then run the same command again.",
            ),
        };
        Some(Report::new("preflight-blocked", Exit::Blockers, message).with_fix(fix))
    }
}

/// Preflight could not be finished.
#[derive(Debug, thiserror::Error)]
#[error("looking at the {} failed: {error}", side.name())]
pub struct Failure {
    /// The end that failed.
    pub side: Side,
    /// Why.
    #[source]
    pub error: PgError,
}

impl Failure {
    /// What to tell a person.
    pub fn report(&self) -> Report {
        let exit = if self.side == Side::Source { Exit::Source } else { Exit::Target };
        Report::new("preflight-failed", exit, format!("The {} could not be looked at.", self.side.name()))
            .with_cause(format!("{}.", self.error))
            .with_fix("Nothing was written. See that the server is up and answers, then run the same command again.")
    }
}

/// Looks at both ends. Nothing is written to either.
pub async fn run(source: End<'_>, target: End<'_>, options: &Options) -> Result<Preflight, Failure> {
    match tokio::time::timeout(LIMIT, look(source, target, options)).await {
        Ok(result) => result.map_err(|(side, error)| Failure { side, error }),
        Err(_) => {
            let error = PgError::Timeout { what: "looking at both ends".to_owned(), limit_s: LIMIT.as_secs() };
            Err(Failure { side: Side::Source, error })
        }
    }
}

async fn look(source: End<'_>, target: End<'_>, options: &Options) -> Result<Preflight, (Side, PgError)> {
    let facts = learn(source, target, options).await?;
    let mut findings = endpoints::pooler(Side::Source, source).await?;
    findings.extend(endpoints::pooler(Side::Target, target).await?);
    let cx = Context { facts: &facts, options };
    findings.extend(check::run(&checks(options.purpose), source, target, &cx).await?);
    let tools = match (options.purpose, tools::find(&options.tools, facts.source.version).await) {
        (Purpose::Verify, _) => None,
        (Purpose::Copy, Ok(tools)) => Some(tools),
        (Purpose::Copy, Err(finding)) => {
            findings.push(*finding);
            None
        }
    };
    Ok(Preflight { findings, facts, tools })
}

/// The checks for a purpose, family by family.
fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = endpoints::checks(purpose);
    checks.extend(versions::checks(purpose));
    checks.extend(privileges::checks(purpose));
    if purpose == Purpose::Copy {
        checks.extend(extensions::checks());
    }
    checks.extend(encoding::checks());
    if purpose == Purpose::Copy {
        checks.extend(target::checks());
    }
    checks
}

async fn learn(source: End<'_>, target: End<'_>, options: &Options) -> Result<Facts, (Side, PgError)> {
    let on_source =
        try_join3(facts::server(source.client, Side::Source), facts::size(source.client), extensions::installed(source.client));
    let on_target =
        try_join3(facts::server(target.client, Side::Target), target::content(target.client), extensions::available(target.client));
    let (on_source, on_target) = join(on_source, on_target).await;
    let (source, size, installed) = on_source.map_err(|error| (Side::Source, error))?;
    let (target, target_content, available) = on_target.map_err(|error| (Side::Target, error))?;
    Ok(Facts {
        jobs: jobs_possible(source.connections.free, target.connections.free, options.jobs_wanted),
        neon_shaped: !target.can.superuser || target.provider.as_deref() == Some("Neon"),
        source,
        target,
        size,
        missing_extensions: installed.into_iter().filter(|name| !available.contains(name)).collect(),
        target_content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_in_the_guide() {
        let guide = include_str!("../../../docs/guide/findings.md");
        let listed = [Purpose::Copy, Purpose::Verify].into_iter().flat_map(checks).map(|check| check.code);
        for code in listed.chain(["A4", "B2", "I4"]) {
            assert!(guide.lines().any(|line| line == format!("### {code}")), "docs/guide/findings.md does not explain {code}");
        }
    }

    #[test]
    fn a_refusal_counts_and_repeats_nothing() {
        let mut preflight = Preflight { findings: Vec::new(), facts: Facts::plain(), tools: None };
        assert_eq!(preflight.refusal(), None);
        let blocker = |n: u32| Finding::new("C3", Severity::Blocker, "source", format!("Sentence {n}."), "Why.").with_fix("Fix.");
        preflight.findings.push(blocker(1));
        let report = preflight.refusal().unwrap_or_else(|| unreachable!("there is a blocker"));
        assert_eq!((report.message.as_str(), report.exit), ("1 finding stands in the way; nothing was written.", Exit::Blockers));
        preflight.findings.push(blocker(2));
        let report = preflight.refusal().unwrap_or_else(|| unreachable!("there are blockers"));
        assert_eq!(report.message, "2 findings stand in the way; nothing was written.");
    }
}
