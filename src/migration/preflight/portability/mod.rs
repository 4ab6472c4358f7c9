//! Family G: what of the schema a target may not take, or takes in another way.
//!
//! Much of it depends on whether the target's role is a superuser. Where it is not, as on Neon, which is also what is assumed without
//! a target, our own copy leaves out by name what the target refuses, with all that needs it; it stops only where a table needs it
//! (see [`crate::migration::schema::restore`]). So what tables need is a blocker, and all else a warning.

mod catalogs;
mod clients;
mod code;
mod cycles;
mod events;
mod indexes;
mod owners;
mod roles;
mod sequences;
mod storage;
mod types;

use serde::Deserialize;

use super::answer::Rows;
use super::check::{Check, Context, Object, Side};
use crate::pg::names::{Ident, human_line};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = owners::checks();
    checks.extend(roles::checks());
    checks.extend(code::checks());
    checks.extend(events::checks());
    checks.extend(types::checks());
    checks.extend(storage::checks());
    checks.extend(catalogs::checks());
    checks.extend(indexes::checks());
    checks.extend(cycles::checks());
    checks.extend(sequences::checks());
    checks.extend(clients::checks());
    checks
}

/// Whether the target's role is no superuser, as far as is known.
fn is_managed(cx: &Context<'_>) -> bool {
    cx.of(Side::Target).is_none_or(|target| !target.can.superuser)
}

/// Whether the target is of this major or a newer one, as far as is known.
fn target_is_at_least(cx: &Context<'_>, major: u32) -> bool {
    cx.of(Side::Target).is_none_or(|target| target.version.major() >= major)
}

/// Whether objects of a schema travel that patterns of tables do not select: functions, types and the like.
fn takes_schema(cx: &Context<'_>, schema: Option<&str>) -> bool {
    schema.is_none_or(|schema| cx.options.scope.may_match_schema(schema) && !cx.is_platform(schema))
}

/// The functions, types and the like of an answer that travel.
fn schema_objects(cx: &Context<'_>, rows: &Rows) -> Result<Vec<Object>, serde_json::Error> {
    let objects: Vec<Object> = rows.parse()?;
    Ok(objects.into_iter().filter(|object| takes_schema(cx, object.schema.as_deref())).collect())
}

fn labels(objects: &[Object]) -> Vec<String> {
    objects.iter().map(Object::label).collect()
}

/// Whether a role belongs to the source's provider.
fn is_platform_role(cx: &Context<'_>, role: &str) -> bool {
    let provider = cx.host(Side::Source);
    provider.leave_out_roles.iter().chain(&provider.roles).any(|one| one == role)
}

/// A function or another object that a name alone does not tell from others.
#[derive(Debug, Clone, Deserialize)]
struct Routine {
    kind: String,
    schema: Option<String>,
    /// As the server writes it for SQL, such as `app.total(integer)`.
    call: String,
    detail: Option<String>,
}

impl Routine {
    /// For people: `function app.total(integer) (c)`.
    fn label(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(" ({})", human_line(detail))).unwrap_or_default();
        format!("{} {}{detail}", self.kind, human_line(&self.call))
    }

    /// Gives it a search path of its own.
    fn pin_search_path(&self) -> String {
        let schema = self.schema.as_deref().unwrap_or("public");
        let path = if schema == "public" { "public".to_owned() } else { format!("{}, public", Ident::new(schema)) };
        format!("alter routine {} set search_path = {path}, pg_temp;", self.call)
    }
}

/// The functions of an answer that travel.
fn routines(cx: &Context<'_>, rows: &Rows) -> Result<Vec<Routine>, serde_json::Error> {
    let routines: Vec<Routine> = rows.parse()?;
    Ok(routines.into_iter().filter(|routine| takes_schema(cx, routine.schema.as_deref())).collect())
}
