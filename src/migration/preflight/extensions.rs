//! Family D: extensions.

use tokio_postgres::Client;

use super::check::{Check, Context, count, query_alone};
use super::endpoints::facts_check;
use crate::engine::finding::{Finding, Severity};
use crate::pg::error::PgError;

pub(super) fn checks() -> Vec<Check> {
    vec![facts_check("D1", "which extensions the target offers", missing_extensions)]
}

const INSTALLED: &str = "select extname::text from pg_extension where extname <> 'plpgsql' order by 1";

const AVAILABLE: &str = "select name::text from pg_available_extensions union select extname::text from pg_extension";

/// The extensions of the source.
pub(super) async fn installed(source: &Client) -> Result<Vec<String>, PgError> {
    names(source, INSTALLED).await
}

/// The extensions that the target offers.
pub(super) async fn available(target: &Client) -> Result<Vec<String>, PgError> {
    names(target, AVAILABLE).await
}

async fn names(client: &Client, query: &str) -> Result<Vec<String>, PgError> {
    query_alone(client, query).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn missing_extensions(cx: &Context<'_>) -> Vec<Finding> {
    let missing = &cx.facts.missing_extensions;
    if missing.is_empty() {
        return Vec::new();
    }
    let (left_out, them) = if missing.len() == 1 { ("it is", "it") } else { ("they are", "them") };
    let sentence = format!(
        "The target does not offer {} of the source, so {left_out} left out together with everything that depends on {them}.",
        count(missing.len(), "extension", "extensions")
    );
    let why = "Columns, functions and indexes that use an extension cannot exist without it. Each object that is left out is \
               named in the plan and at the end.";
    let fix = "Install the extension on the target's server, or ask the target's provider for it; or go without, if nothing \
               important depends on it.";
    vec![Finding::new("D1", Severity::Warning, "target", sentence, why).with_fix(fix).with_objects(missing.clone())]
}
