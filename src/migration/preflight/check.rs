//! What a check is, and how checks are run.
//!
//! A check is a small item: a code, what it looks at in words, where it looks, and a function that turns what it saw into findings.
//! Each query runs in a read-only transaction of its own, so that a failing one spoils no other, and so that the settings it needs
//! end with it: nothing is left behind on a backend that a pooler may hand to the application next.

use futures_util::future::{join_all, join3};
use tokio_postgres::{Client, Row};

use super::facts::Facts;
use super::{End, Options};
use crate::engine::finding::{Finding, Severity};
pub use crate::migration::error::Side;
use crate::pg::error::PgError;
use crate::pg::names::{Ident, human};

/// What every check may know.
pub(super) struct Context<'a> {
    pub(super) facts: &'a Facts,
    pub(super) options: &'a Options,
}

impl Context<'_> {
    /// The role that is connected, quoted.
    pub(super) fn role(&self, side: Side) -> Ident {
        Ident::new(&self.facts.of(side).role)
    }
}

/// Turns rows into findings.
pub(super) type Evaluate = fn(&Context<'_>, Side, &[Row]) -> Result<Vec<Finding>, tokio_postgres::Error>;
/// Turns the rows of the source and those of the target into findings.
type EvaluatePair = fn(&Context<'_>, &[Row], &[Row]) -> Result<Vec<Finding>, tokio_postgres::Error>;

/// One check.
pub(super) struct Check {
    /// The code in `docs/guide/findings.md`.
    pub(super) code: &'static str,
    /// What it looks at, as the end of "it is not known …".
    pub(super) about: &'static str,
    /// What would let it see, if it may not.
    pub(super) grant: &'static str,
    /// Where it looks.
    pub(super) look: Look,
}

/// Where a check looks.
pub(super) enum Look {
    /// Only at what is known already.
    Facts(fn(&Context<'_>) -> Vec<Finding>),
    /// At one end.
    Rows { side: Side, query: &'static str, evaluate: Evaluate },
    /// At both ends.
    Pair { source: &'static str, target: &'static str, evaluate: EvaluatePair },
}

/// Runs checks side by side and gives their findings in the order of the checks. A check that could not see gives a finding that
/// says so; a lost connection is an error, with the end that it belongs to.
pub(super) async fn run(
    checks: &[Check],
    source: End<'_>,
    target: End<'_>,
    cx: &Context<'_>,
) -> Result<Vec<Finding>, (Side, PgError)> {
    let findings = join_all(checks.iter().map(|check| evaluate(check, source, target, cx))).await;
    Ok(findings.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

async fn evaluate(check: &Check, source: End<'_>, target: End<'_>, cx: &Context<'_>) -> Result<Vec<Finding>, (Side, PgError)> {
    let (side, seen) = match &check.look {
        Look::Facts(evaluate) => return Ok(evaluate(cx)),
        Look::Rows { side, query, evaluate } => {
            let client = if *side == Side::Source { source.client } else { target.client };
            match query_alone(client, query).await {
                Ok(rows) => (*side, evaluate(cx, *side, &rows).map_err(PgError::from)),
                Err(error) => (*side, Err(error)),
            }
        }
        Look::Pair { source: on_source, target: on_target, evaluate } => {
            let both = futures_util::future::join(query_alone(source.client, on_source), query_alone(target.client, on_target));
            match both.await {
                (Ok(left), Ok(right)) => (Side::Source, evaluate(cx, &left, &right).map_err(PgError::from)),
                (Err(error), _) => (Side::Source, Err(error)),
                (_, Err(error)) => (Side::Target, Err(error)),
            }
        }
    };
    match seen {
        Ok(findings) => Ok(findings),
        Err(error @ (PgError::Server(_) | PgError::Protocol(_))) => {
            Ok(vec![not_evaluated(check.code, side, check.about, &error.to_string(), check.grant)])
        }
        Err(error) => Err((side, error)),
    }
}

/// The finding of a check that could not look. `about` ends the sentence "it is not known …".
pub(super) fn not_evaluated(code: &str, side: Side, about: &str, reason: &str, grant: &str) -> Finding {
    let sentence = format!("Not evaluated: it is not known {about}, because {reason}.");
    let why = "What could not be looked at may be in order or not.";
    Finding::new(code, Severity::Warning, side.name(), sentence, why).with_fix(grant)
}

/// A transaction that writes nothing, waits for nobody, and sees no user's function in the place of a built-in one.
const BEGIN: &str = "begin transaction read only; set local search_path to pg_catalog, pg_temp; \
                     set local statement_timeout to '20s'; set local lock_timeout to '2s'";

/// Runs one query in a read-only transaction of its own, without a prepared statement, so that it works through every pooler.
///
/// The three messages are sent at once: `join3` polls in order, and each future sends on its first poll.
pub(super) async fn query_alone(client: &Client, query: &str) -> Result<Vec<Row>, PgError> {
    let (begun, rows, ended) =
        join3(client.batch_execute(BEGIN), client.query_typed(query, &[]), client.batch_execute("rollback")).await;
    begun?;
    let rows = rows?;
    ended?;
    Ok(rows)
}

/// A fix made of words and of statements that can be executed as they stand: the words are the first line.
pub(super) fn fix_sql(words: &str, sql: &[String]) -> String {
    format!("{words}:\n{}", sql.join("\n"))
}

/// `1 table`, `2 tables`.
pub(super) fn count(n: usize, singular: &str, plural: &str) -> String {
    format!("{n} {}", if n == 1 { singular } else { plural })
}

/// `schema.name` for people.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", human(schema), human(name))
}
