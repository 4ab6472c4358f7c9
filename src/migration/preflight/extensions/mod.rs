//! Family D: extensions.

mod offers;
mod places;
mod troubles;

use super::Purpose;
use super::answer::{Answers, undecodable};
use super::check::{Check, Context, Look, count};
use super::facts::{Installed, Offered, ServerFacts};
use crate::engine::finding::{Finding, Severity};
use crate::pg::error::PgError;

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    if purpose == Purpose::Verify {
        return Vec::new();
    }
    let mut checks = vec![Check {
        code: "D1",
        title: "Extensions the target lacks",
        about: "which extensions the target offers",
        grant: "",
        explain: "An extension's code is installed on a server, not in a database, so a target has only the extensions that its server \
                  offers. What belongs to an extension that is missing, and every column, function, view and index that uses it, cannot \
                  be made there.\n\n\
                  The check compares the source's extensions with those that the target has or could create, by name. What is missing is \
                  left out together with what depends on it, and each object is named.\n\n\
                  Install the extension on the target's server, choose a target that offers it, or change the columns and functions that \
                  use it. If nothing important depends on it, nothing has to be done.",
        look: Look::Both(missing_extensions),
    }];
    if purpose == Purpose::Check {
        checks.extend(offers::checks());
        checks.extend(places::checks());
        checks.extend(troubles::checks());
    }
    checks
}

/// The extensions of the source.
pub(super) const INSTALLED: &str = "
select e.extname::text as name, e.extversion::text as version, n.nspname::text as schema
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname <> 'plpgsql' order by 1";

/// What can be created, and what is there already. Trusted extensions may be created by every role that may create in the database.
const AVAILABLE: &str = "
select a.name::text, coalesce(a.installed_version, a.default_version, '')::text as version,
       coalesce(a.installed_version is null and v.superuser and not v.trusted, false) as superuser_only
  from pg_available_extensions a
  left join pg_available_extension_versions v on v.name = a.name and v.version = a.default_version
union all
select e.extname::text, e.extversion::text, false
  from pg_extension e where not exists (select from pg_available_extensions a where a.name = e.extname)
order by 1";

/// The extensions of the source.
pub(super) async fn installed(source: Answers<'_>) -> Result<Vec<Installed>, PgError> {
    source.rows(INSTALLED).await?.parse().map_err(undecodable)
}

/// The extensions that the target offers.
pub(super) async fn available(target: Answers<'_>) -> Result<Vec<Offered>, PgError> {
    target.rows(AVAILABLE).await?.parse().map_err(undecodable)
}

fn missing_extensions(cx: &Context<'_>, _: &ServerFacts) -> Vec<Finding> {
    let missing = cx.known.missing_extensions();
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
    vec![Finding::new("D1", Severity::Warning, "target", sentence, why).with_fix(fix).with_objects(missing)]
}
