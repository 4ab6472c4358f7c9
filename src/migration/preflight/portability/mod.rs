//! Family G: what of the schema a target may not take.
//!
//! Three kinds of things: what only a superuser may create, which matters where the target's role is none; what the copy does not
//! carry, such as roles; and what works on the source and may not on a newer server or another machine.

mod clients;
mod code;
mod constraints;
mod duplicates;
mod owners;
mod reliant;
mod running_out;
mod storage;
mod types;

use serde::Deserialize;

use super::answer::Rows;
use super::check::{Check, Context, Object, Side, qualified};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human_line;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(owners::checks());
    checks.extend(code::checks());
    checks.extend(types::checks());
    checks.extend(storage::checks());
    checks.extend(constraints::checks());
    checks.extend(duplicates::checks());
    checks.extend(reliant::checks());
    checks.extend(running_out::checks());
    checks.extend(clients::checks());
    checks
}

/// Whether the target refuses what only a superuser may create. Where no target is known, it is taken to be a managed one.
fn refuses(cx: &Context<'_>) -> bool {
    cx.of(Side::Target).is_none_or(|target| !target.can.superuser)
}

/// What happens to an object that a target refuses.
const LEFT_OUT: &str = "Only a superuser may create such things, and the target's role is none (or no target was given). What a target \
                        refuses is left out of the copy by name, together with what needs it; if a table needs it, the copy stops \
                        before any row is moved.";

/// What is said of an object without which a table cannot be created. (The queries say it too.)
const NEEDED: &str = "a table needs it";

/// Makes a blocker of a finding about something without which a table cannot be created: a copy would stop there.
fn stops_the_copy(finding: Finding) -> Finding {
    let why = "Only a superuser may create such things, and the target's role is none (or no target was given). A table needs one of \
               them, so the copy would stop before any row is moved.";
    Finding { severity: Severity::Blocker, why: why.to_owned(), ..finding }
}

/// A function, procedure or aggregate, with its arguments.
#[derive(Debug, Deserialize)]
struct Routine {
    #[serde(flatten)]
    object: Object,
    /// The types of its arguments, quoted as they have to be in SQL.
    args: String,
}

impl Routine {
    /// For people: `function public.total(integer) (c)`.
    fn label(&self) -> String {
        let schema = self.object.schema.as_deref().unwrap_or_default();
        let kind = self.object.kind.as_deref().unwrap_or("function");
        let detail = self.object.detail.as_ref().map(|detail| format!(" ({})", human_line(detail)));
        let name = qualified(schema, &self.object.name);
        format!("{kind} {name}({}){}", human_line(&self.args), detail.unwrap_or_default())
    }

    /// For `alter …` and `drop …`.
    fn sql(&self) -> String {
        format!("routine {}({})", self.object.sql(), self.args)
    }

    /// Those of an answer that are part of the migration.
    fn taken(cx: &Context<'_>, rows: &Rows) -> Result<Vec<Routine>, serde_json::Error> {
        let mut routines: Vec<Routine> = rows.parse()?;
        routines.retain(|routine| {
            let object = &routine.object;
            object.schema.as_ref().is_none_or(|schema| cx.takes(schema, &object.name))
        });
        Ok(routines)
    }
}
