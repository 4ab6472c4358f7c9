//! The whole report of `neon-migrate check`: the checks, the five that come first, which ways are open, what there is to move, how long
//! it would take, and what to do next.

use std::time::Instant;

use jiff::Timestamp;

use super::check::{self, Context, Ends, News, Object, Place, Side, Tell};
use super::estimate::{self, WalMark};
use super::facts::{Known, ServerFacts};
use super::ways::Ground;
use super::{Against, End, Failure, Options, checks, headlines, holdings, in_time, learn, tools, ways};
use crate::engine::checkup::{Checkup, Database, Estimate, Holdings, Open, Outcome, PlanStep, Status, Way};
use crate::engine::finding::{Finding, Severity};
use crate::migration::provider;
use crate::neon::{extensions, regions};
use crate::pg::error::PgError;

/// What the ends are called.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The source: `user@host:port/database`, or a file's name.
    pub source: String,
    /// The target.
    pub target: Option<String>,
}

/// What is looked at, and what for.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The source.
    pub source: Place<'a>,
    /// What it is compared with.
    pub against: Against<'a>,
    /// What the ends are called.
    pub labels: &'a Labels,
    /// What was asked for.
    pub options: &'a Options,
}

/// Tells nobody.
pub fn quietly(_: News) {}

/// Looks at a source, and at what it is compared with, and reports. Nothing is written to the source. On a target, a temporary table is
/// made for a moment, to measure, in a transaction that is rolled back. What comes out is told as it comes, the five first.
///
/// # Errors
/// A connection was lost, or it took too long.
pub async fn checkup(subject: Subject<'_>, tell: Tell<'_>) -> Result<Checkup, Failure> {
    let began = Instant::now();
    let mut checkup = in_time(look(subject, tell)).await?;
    checkup.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(checkup)
}

/// Makes the checks of one code again. Their outcomes take the place of those in an earlier report of the same subject, and what follows from
/// all outcomes is drawn anew. What was measured and listed, and the time of the report, stay: a report is as old as the oldest of it.
///
/// # Errors
/// A connection was lost, or it took too long.
pub async fn checkup_again(earlier: Checkup, code: &str, subject: Subject<'_>) -> Result<Checkup, Failure> {
    in_time(look_again(earlier, code, subject)).await
}

async fn look(subject: Subject<'_>, tell: Tell<'_>) -> Result<Checkup, (Side, PgError)> {
    let Subject { source, options, .. } = subject;
    let of_source = |error| (Side::Source, error);
    let before = match source {
        Place::Live(end) => WalMark::take(end.client).await.map_err(of_source)?,
        Place::File(_) => None,
    };
    let (first, others): (Vec<_>, Vec<_>) =
        checks(options.purpose).into_iter().partition(|check| headlines::CODES.contains(&check.code));
    // With B2.
    tell(News::Begun(first.len() + others.len() + 1));
    let known = learn(source, subject.against, options).await?;
    let cx = Context { known: &known, options };
    let mut outcomes = check::run(&first, subject.ends(), &cx, tell).await?;
    tell(News::Headlines(headlines::all(&known, options.source_address.as_ref(), &outcomes)));
    outcomes.extend(check::run(&others, subject.ends(), &cx, tell).await?);
    let of_tools = client_tools(source, &known, options).await;
    tell(News::Outcome(of_tools.clone()));
    outcomes.push(of_tools);
    outcomes.sort_by_key(|outcome| super::order(&outcome.code));
    let holdings = answer_or_nothing(source, holdings::list(source.answers()).await).map_err(of_source)?.flatten();
    let estimate = match (source, subject.target()) {
        (Place::Live(from), Some(to)) => estimate::measure(from.client, to.client, before, &known).await?,
        _ => None,
    };
    let drawn = Drawn { at: Timestamp::now(), elapsed_ms: 0, estimate, holdings };
    report(subject, &known, outcomes, drawn).await.map_err(of_source)
}

async fn look_again(earlier: Checkup, code: &str, subject: Subject<'_>) -> Result<Checkup, (Side, PgError)> {
    let Subject { source, options, .. } = subject;
    let known = learn(source, subject.against, options).await?;
    let of_code: Vec<_> = checks(options.purpose).into_iter().filter(|check| check.code == code).collect();
    let mut again = check::run(&of_code, subject.ends(), &Context { known: &known, options }, &quietly).await?;
    if code == "B2" {
        again.push(client_tools(source, &known, options).await);
    }
    let mut outcomes = earlier.outcomes;
    if !again.is_empty() {
        outcomes.retain(|outcome| outcome.code != code);
        outcomes.extend(again);
        outcomes.sort_by_key(|outcome| super::order(&outcome.code));
    }
    let Checkup { at, elapsed_ms, estimate, holdings, .. } = earlier;
    let drawn = Drawn { at, elapsed_ms, estimate, holdings };
    report(subject, &known, outcomes, drawn).await.map_err(|error| (Side::Source, error))
}

/// What a report has that does not follow from the outcomes.
struct Drawn {
    at: Timestamp,
    elapsed_ms: u64,
    estimate: Option<Estimate>,
    holdings: Option<Holdings>,
}

/// What follows from the outcomes, and the whole.
async fn report(subject: Subject<'_>, known: &Known, outcomes: Vec<Outcome>, drawn: Drawn) -> Result<Checkup, PgError> {
    let Subject { source, labels, options, .. } = subject;
    let mut fences = answer_or_nothing(source, super::privileges::fences(source).await)?;
    if let Some(fences) = &mut fences {
        let cx = Context { known, options };
        fences.tables_not_lockable.retain(|(schema, name)| cx.takes(schema, name));
    }
    let behind = staying_behind(source, known).await?;
    let address = options.source_address.as_ref();
    let ways = ways::all(&Ground { known, outcomes: &outcomes, fences: fences.as_ref(), source: address });
    Ok(Checkup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: drawn.at,
        elapsed_ms: drawn.elapsed_ms,
        source: described(known, labels, options),
        target: known.target.as_ref().map(|target| target_described(target, labels, known, options)),
        headlines: headlines::all(known, address, &outcomes),
        plan: plan(known, &outcomes, &ways, &behind, options),
        ways,
        estimate: drawn.estimate,
        holdings: drawn.holdings,
        outcomes,
    })
}

impl<'a> Subject<'a> {
    fn target(&self) -> Option<End<'a>> {
        if let Against::Target(end) = self.against { Some(end) } else { None }
    }

    fn ends(&self) -> Ends<'a> {
        Ends { source: self.source, target: self.target() }
    }
}

/// The schemas of the platform that are there.
async fn staying_behind(source: Place<'_>, known: &Known) -> Result<Vec<String>, PgError> {
    let schemas = source.answers().ask(SCHEMAS).await?.unwrap_or_default();
    let names = schemas.parse::<Object>().unwrap_or_default().into_iter().map(|schema| schema.name);
    Ok(names.filter(|name| known.platform_schemas.contains(name)).collect())
}

/// What a server or a file refused to answer is no answer; a lost connection is a failure.
fn answer_or_nothing<T>(source: Place<'_>, answer: Result<T, PgError>) -> Result<Option<T>, PgError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(PgError::Server(_) | PgError::Protocol(_)) => Ok(None),
        Err(_) if matches!(source, Place::File(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// B2: pg_dump and pg_restore on this machine, where the copy would run.
async fn client_tools(source: Place<'_>, known: &Known, options: &Options) -> Outcome {
    let outcome = |status, reason: Option<&str>, findings: Vec<Finding>| Outcome {
        code: "B2".to_owned(),
        title: tools::TITLE.to_owned(),
        status,
        reason: reason.map(str::to_owned),
        findings,
    };
    if let Place::File(_) = source {
        return outcome(
            Status::NotApplicable,
            Some("A file of answers says nothing about the machine that will copy."),
            Vec::new(),
        );
    }
    match tools::find(&options.tools, known.source.version).await {
        Ok(_) => outcome(Status::Passed, None, Vec::new()),
        Err(finding) => outcome(Status::Found, None, vec![*finding]),
    }
}

fn described(known: &Known, labels: &Labels, options: &Options) -> Database {
    Database {
        label: labels.source.clone(),
        server: format!("Postgres {}", known.source.version),
        provider: known.provider.name.clone(),
        region: headlines::region_of(options.source_address.as_ref()).map(|(region, _)| region.to_string()),
        database: known.source.database.clone(),
        role: known.source.role.clone(),
        bytes: known.size.database_bytes,
        assumed: false,
    }
}

fn target_described(facts: &ServerFacts, labels: &Labels, known: &Known, options: &Options) -> Database {
    if known.assumed {
        return Database {
            label: format!("a project at Neon, by the facts published on {}", extensions::as_of()),
            server: format!("Postgres {}", facts.version.major()),
            provider: "Neon".to_owned(),
            region: headlines::region_of(options.source_address.as_ref())
                .and_then(|(_, choice)| choice)
                .map(|choice| choice.region.id.clone()),
            database: facts.database.clone(),
            role: facts.role.clone(),
            bytes: None,
            assumed: true,
        };
    }
    let host = options.target_address.as_ref().map(|address| address.host.as_str());
    Database {
        label: labels.target.clone().unwrap_or_default(),
        server: format!("Postgres {}", facts.version),
        provider: facts.provider.clone().unwrap_or_else(|| provider::self_hosted().name.clone()),
        region: host.and_then(regions::of_host).map(|region| region.to_string()),
        database: facts.database.clone(),
        role: facts.role.clone(),
        bytes: None,
        assumed: false,
    }
}

/// The schemas that hold something that a pattern of `--exclude` can match; one that matches nothing is taken for a slip (S1).
const SCHEMAS: &str = "
select n.nspname::text as name from pg_namespace n
 where n.nspname !~ '^pg_'
   and exists (select from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f'))
 order by n.nspname";

/// What to do next, with what this program has.
fn plan(known: &Known, outcomes: &[Outcome], ways: &[Way], behind: &[String], options: &Options) -> Vec<PlanStep> {
    let step = |title: &str, sentence: String, command: Option<&str>| PlanStep {
        title: title.to_owned(),
        sentence,
        command: command.map(str::to_owned),
    };
    let mut plan = Vec::new();
    let findings = outcomes.iter().flat_map(|outcome| &outcome.findings);
    let blockers = findings.filter(|finding| finding.severity == Severity::Blocker).count();
    if blockers > 0 {
        let sentence = format!(
            "{} in the way. Each says how to mend it; then check again.",
            check::count(blockers, "finding stands", "findings stand")
        );
        plan.push(step("Mend what stands in the way", sentence, Some("neon-migrate check")));
    }
    if known.target.is_none() || known.assumed {
        let region = headlines::region_of(options.source_address.as_ref()).and_then(|(_, choice)| choice);
        let place = region.map(|choice| format!(" in {}", choice.region.name)).unwrap_or_default();
        let sentence = format!(
            "Postgres {}{place}; every value can be changed, and it asks before it creates.",
            super::neon::major_for(known.source.version)
        );
        plan.push(step("Create the Neon project", sentence, Some("neon-migrate create-project")));
        plan.push(step(
            "Compare the pair",
            "With a target it also measures the connections and reckons the time.".to_owned(),
            Some("neon-migrate check --target …"),
        ));
    }
    let copy = "Stop the application's writes first if you need everything: what is written after the copy has begun is not on the target. \
                It compares every table and every object at the end.";
    // What was not looked at is not to be copied either.
    let excluded: String = behind.iter().map(|schema| format!(" --exclude {schema}")).collect();
    let (copy, note) = match behind.len() {
        0 => (copy.to_owned(), ""),
        _ => (format!("{copy} The platform's schemas stay behind; their tables are left out by name."), excluded.as_str()),
    };
    plan.push(step("Copy", copy, Some(&format!("neon-migrate copy{note}"))));
    let live = ways.iter().any(|way| way.id == "live_subscription" && way.open != Open::No);
    let by_hand = if live {
        "The pg_dump, pg_restore and psql lines for this pair, logical replication included."
    } else {
        "The pg_dump and pg_restore lines for this pair."
    };
    plan.push(step("Or by hand", by_hand.to_owned(), Some("neon-migrate commands")));
    plan.push(step("Compare once more", "When nobody writes to either side.".to_owned(), Some("neon-migrate verify")));
    plan
}

/// The script that asks a source everything that can be asked without a connection of ours.
pub fn metadata_script() -> String {
    let facts = super::facts::questions().map(|(what, query)| (what.to_owned(), query));
    let mut questions: Vec<(String, &str)> = facts.into_iter().collect();
    questions.push(("The extensions".to_owned(), super::extensions::INSTALLED));
    questions.push(("The schemas".to_owned(), SCHEMAS));
    questions.extend(holdings::QUESTIONS.map(|(what, query)| (what.to_owned(), query)));
    questions.push(("Which ways there are to stop writes".to_owned(), super::privileges::FENCES));
    let checks = checks(super::Purpose::Check);
    let asked = checks.iter().filter_map(|check| Some((format!("{}: {}", check.code, check.about), check.source_query()?)));
    questions.extend(asked);
    super::metadata::script(&questions)
}

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What is looked at and how, why it matters, and what to do; paragraphs.
    pub text: &'static str,
}

/// Every code, once, in the order of the families.
pub fn explanations() -> Vec<Explanation> {
    let (of_check, of_verify) = (checks(super::Purpose::Check), checks(super::Purpose::Verify));
    let mut all: Vec<Explanation> = of_check
        .iter()
        .chain(&of_verify)
        .filter(|check| !check.explain.is_empty())
        .map(|check| Explanation { code: check.code, title: check.title, text: check.explain })
        .collect();
    all.push(Explanation { code: "B2", title: tools::TITLE, text: tools::EXPLAIN });
    all.sort_by_key(|one| super::order(one.code));
    all.dedup_by_key(|one| one.code);
    all
}

/// The families, by the letter that their codes begin with.
const FAMILIES: [(char, &str); 10] = [
    ('A', "Endpoints and sessions"),
    ('B', "Versions and settings"),
    ('C', "Privileges"),
    ('D', "Extensions"),
    ('E', "Encoding and collation"),
    ('F', "Fitness for replication"),
    ('G', "Portability of the schema"),
    ('H', "Capacity"),
    ('I', "The target"),
    ('S', "The selection"),
];

/// The title of the family that a code belongs to.
pub fn family(code: &str) -> &'static str {
    FAMILIES.iter().find(|(letter, _)| code.starts_with(*letter)).map_or("", |(_, title)| title)
}

/// `docs/guide/findings.md`.
pub fn guide() -> String {
    let mut guide = "# Findings\n\n\
        <!-- Written by `make docs` from the checks themselves (src/migration/preflight). -->\n\n\
        `neon-migrate check` looks at a source, and at a target if there is one; `copy` and `verify` make those checks that matter to \
        them before anything is written. What is found has a severity: a *blocker* must be mended first (exit code 3), a *warning* says \
        what will be different or may go wrong, a *note* is good to know. What stands only in the way of live replication is a blocker or \
        a warning with `--live`, lighter when nothing was said, and a note with `--once`. A check that could not look says so (*not \
        evaluated*), with the grant that would let it, and never counts as passed.\n\n\
        Where a fix has statements, they stand on lines of their own and can be executed as they are. The same texts are printed by \
        `neon-migrate check --explain CODE`.\n"
        .to_owned();
    let explanations = explanations();
    for (letter, family) in FAMILIES {
        let of_family: Vec<_> = explanations.iter().filter(|one| one.code.starts_with(letter)).collect();
        if of_family.is_empty() {
            continue;
        }
        guide += &format!("\n## {letter}. {family}\n");
        for one in of_family {
            guide += &format!("\n### {}\n\n**{}.** {}\n", one.code, one.title, one.text);
        }
    }
    guide
}
