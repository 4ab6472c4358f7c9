//! Preflight: looks at both ends before anything is written, and says what stands in the way.
//!
//! One file per family of checks, with the letters of `docs/guide/findings.md`. A new check is one [`check::Check`] in the list of
//! its family. What could not be looked at is a finding of its own, never a pass. Nothing here writes: each query runs in a
//! read-only transaction, and no setting outlives it.

mod answer;
mod capacity;
mod check;
mod checkup;
mod encoding;
mod endpoints;
mod estimate;
mod extensions;
mod facts;
mod headlines;
mod holdings;
pub mod metadata;
mod neon;
mod portability;
mod privileges;
mod replication;
pub mod session;
mod settings;
mod target;
mod tools;
mod versions;
mod ways;

use std::time::Duration;

use futures_util::future::{join, try_join3};
use tokio_postgres::Client;

use self::answer::Answers;
use self::check::{Check, Context, Ends};
pub use self::check::{News, Place, Side, Tell};
pub use self::checkup::{
    Explanation, Labels, Subject, checkup, checkup_again, explanations, family, guide, metadata_script, quietly,
};
pub use self::endpoints::{CONNECTIONS_BESIDE_JOBS, jobs_possible};
use self::facts::Known;
pub use self::facts::{
    Capabilities, Connections, Facts, ForcedSetting, Locale, OWN_SCHEMA, ServerFacts, SourceSize, TargetContent,
};
pub use self::privileges::{Fences, fences};
pub use self::replication::LiveFitness;
use super::scope::Scope;
use crate::engine::checkup::Outcome;
use crate::engine::finding::{Finding, Severity};
use crate::engine::report::{Exit, Report};
use crate::pg::conninfo::{Conninfo, Host, PooledHint};
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
    /// To tell somebody what a migration would meet.
    Check,
}

impl Purpose {
    /// Whether a copy is what follows, or what is asked about.
    fn copies(self) -> bool {
        self != Purpose::Verify
    }
}

/// Whether live replication is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// It is: what stands in its way stands in the way.
    Live,
    /// It is not.
    Once,
    /// Nothing was said.
    #[default]
    Open,
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
    /// Whether live replication is wanted.
    pub wish: Wish,
    /// The source's address, by which its provider is known where the server itself shows no mark.
    pub source_address: Option<Address>,
    /// The target's address, likewise.
    pub target_address: Option<Address>,
    /// The schemas of the provider's platform are looked at too; otherwise they stay behind.
    pub with_platform: bool,
}

/// Where a server is reached, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host's name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
}

impl Address {
    /// The first address of a connection string; nothing for a unix socket.
    pub fn of(info: &Conninfo) -> Option<Address> {
        let endpoint = info.endpoints().first()?;
        let Host::Name(host) = &endpoint.host else { return None };
        Some(Address { host: host.clone(), port: endpoint.port, user: info.user().to_owned() })
    }
}

impl Options {
    /// A look at everything, with nothing said about live replication.
    pub fn check() -> Self {
        Options { purpose: Purpose::Check, wish: Wish::Open, with_platform: false, ..Options::copy() }
    }

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
            wish: Wish::Once,
            source_address: None,
            target_address: None,
            with_platform: true,
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
    in_time(look(source, target, options)).await
}

/// What a source is compared with.
#[derive(Clone, Copy)]
pub enum Against<'a> {
    /// Nothing: only what is to be known of the source itself.
    Nothing,
    /// A target that is there.
    Target(End<'a>),
    /// A project at Neon that would be created.
    Neon,
}

/// Runs every check that can be evaluated. Nothing is written to either end.
///
/// # Errors
/// A connection was lost, or it took too long. A check that may not see is no error: its outcome says so.
pub async fn examine(source: Place<'_>, against: Against<'_>, options: &Options) -> Result<Vec<Outcome>, Failure> {
    let work = async {
        let target = if let Against::Target(end) = against { Some(end) } else { None };
        let known = learn(source, against, options).await?;
        check::run(&checks(options.purpose), Ends { source, target }, &Context { known: &known, options }, &quietly).await
    };
    in_time(work).await
}

async fn in_time<T>(work: impl Future<Output = Result<T, (Side, PgError)>>) -> Result<T, Failure> {
    // On the heap: with all its checks it is large for the stack of a thread.
    match tokio::time::timeout(LIMIT, Box::pin(work)).await {
        Ok(result) => result.map_err(|(side, error)| Failure { side, error }),
        Err(_) => {
            let error = PgError::Timeout { what: "looking at both ends".to_owned(), limit_s: LIMIT.as_secs() };
            Err(Failure { side: Side::Source, error })
        }
    }
}

async fn look(source: End<'_>, target: End<'_>, options: &Options) -> Result<Preflight, (Side, PgError)> {
    let known = learn(Place::Live(source), Against::Target(target), options).await?;
    let ends = Ends { source: Place::Live(source), target: Some(target) };
    let outcomes = check::run(&checks(options.purpose), ends, &Context { known: &known, options }, &quietly).await?;
    let mut findings: Vec<Finding> = outcomes.into_iter().flat_map(|outcome: Outcome| outcome.findings).collect();
    let tools = match (options.purpose, tools::find(&options.tools, known.source.version).await) {
        (Purpose::Verify | Purpose::Check, _) => None,
        (Purpose::Copy, Ok(tools)) => Some(tools),
        (Purpose::Copy, Err(finding)) => {
            findings.push(*finding);
            None
        }
    };
    let no_target = || (Side::Target, PgError::Protocol("nothing is known about it".to_owned()));
    Ok(Preflight { findings, facts: known.facts().ok_or_else(no_target)?, tools })
}

/// The families in their order, each by its numbers.
fn order(code: &str) -> (char, u32) {
    let mut characters = code.chars();
    (characters.next().unwrap_or_default(), characters.as_str().parse().unwrap_or(0))
}

/// The checks for a purpose, family by family.
fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = endpoints::checks(purpose);
    checks.extend(versions::checks(purpose));
    checks.extend(privileges::checks(purpose));
    checks.extend(extensions::checks(purpose));
    checks.extend(encoding::checks(purpose));
    if purpose == Purpose::Check {
        checks.extend(replication::checks());
        checks.extend(portability::checks());
        checks.extend(capacity::checks());
    }
    checks.extend(target::checks(purpose));
    checks.sort_by_key(|check| order(check.code));
    checks
}

/// Learns what every check may know.
async fn learn(source: Place<'_>, against: Against<'_>, options: &Options) -> Result<Known, (Side, PgError)> {
    let on_source = source.answers();
    let source = try_join3(
        facts::server(on_source, Side::Source, options.source_address.as_ref()),
        facts::size(on_source),
        extensions::installed(on_source),
    );
    let target = async {
        let Against::Target(end) = against else { return Ok(None) };
        let on_target = Answers::Session(end.client);
        let server = facts::server(on_target, Side::Target, options.target_address.as_ref());
        try_join3(server, target::content(on_target), extensions::available(on_target)).await.map(Some)
    };
    let (source, target) = join(source, target).await;
    let ((source, provider), size, installed) = source.map_err(|error| (Side::Source, error))?;
    let (target, target_content, offered) = match target.map_err(|error| (Side::Target, error))? {
        Some(((target, _), content, offered)) => (Some(target), content, Some(offered)),
        None if matches!(against, Against::Neon) => {
            let major = neon::major_for(source.version);
            (Some(neon::server(major, &source)), Some(TargetContent::default()), Some(neon::offered(&installed, major)))
        }
        None => (None, None, None),
    };
    let target_free = target.as_ref().map_or(u32::MAX, |target| target.connections.free);
    Ok(Known {
        jobs: jobs_possible(source.connections.free, target_free, options.jobs_wanted),
        source,
        target,
        assumed: matches!(against, Against::Neon),
        size,
        extensions: installed,
        offered,
        target_content,
        provider,
        platform_schemas: if options.with_platform { Vec::new() } else { provider.leave_out_schemas.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained() {
        let explained: Vec<&str> = explanations().iter().map(|one| one.code).collect();
        for check in [Purpose::Copy, Purpose::Verify, Purpose::Check].into_iter().flat_map(checks) {
            assert!(explained.contains(&check.code), "{} has no explanation", check.code);
        }
    }

    /// `make docs` writes it.
    #[test]
    fn the_guide_says_what_the_checks_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/findings.md");
        if std::env::var_os("NEON_MIGRATE_WRITE_DOCS").is_some() {
            std::fs::write(path, guide()).unwrap_or_else(|error| unreachable!("{error}"));
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == guide(), "docs/guide/findings.md is not what the checks say: run make docs");
    }

    #[test]
    fn a_refusal_counts_and_repeats_nothing() {
        let facts = Known::plain().facts().unwrap_or_else(|| unreachable!("there is a target"));
        let mut preflight = Preflight { findings: Vec::new(), facts, tools: None };
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
