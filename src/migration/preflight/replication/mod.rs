//! Family F: whether a database can be replicated while it is in use.
//!
//! The worst that a migration could do to a running source is here: a table without a usable replica identity, once published,
//! refuses every update and delete of its own application ([`identity`]).

mod activity;
mod columns;
mod elsewhere;
mod identity;
mod not_streamed;
mod shape;

use serde::de::DeserializeOwned;

use super::answer::Rows;
use super::check::{Check, Context, Object, qualified};
use crate::engine::checkup::{Outcome, Status};
use crate::engine::finding::Finding;
use crate::pg::names::human;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = identity::checks();
    checks.extend(not_streamed::checks());
    checks.extend(shape::checks());
    checks.extend(columns::checks());
    checks.extend(elsewhere::checks());
    checks.extend(activity::checks());
    checks
}

/// Checks whose findings stand in the way of any live replication for as long as they are there, whatever was wished for. (F3 stands
/// in the way of a native subscription only.)
const OBSTACLES: [&str; 4] = ["F1", "F2", "F14", "F15"];

/// Whether the tables and transactions of a source allow live replication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveFitness {
    /// Codes of checks that found something to be mended first.
    pub obstacles: Vec<String>,
    /// Codes of checks that stand in the way of a native subscription, but not of a relay.
    pub native_obstacles: Vec<String>,
    /// Codes of checks that could not look, so that it is not known.
    pub unknown: Vec<String>,
}

impl LiveFitness {
    /// What the outcomes of [`super::examine`] say about it.
    pub fn of(outcomes: &[Outcome]) -> LiveFitness {
        let mut fitness = LiveFitness::default();
        for outcome in outcomes {
            let native_only = outcome.code == "F3";
            if !native_only && !OBSTACLES.contains(&outcome.code.as_str()) {
                continue;
            }
            let blind = outcome.status == Status::NotEvaluated || outcome.findings.iter().any(Finding::is_not_evaluated);
            if blind {
                fitness.unknown.push(outcome.code.clone());
            }
            if outcome.findings.iter().any(|finding| !finding.is_not_evaluated()) {
                let codes = if native_only { &mut fitness.native_obstacles } else { &mut fitness.obstacles };
                codes.push(outcome.code.clone());
            }
        }
        fitness
    }
}

/// The rows about objects that are part of the migration; `object` is what a row is about.
fn taken<T: DeserializeOwned>(cx: &Context<'_>, rows: &Rows, object: fn(&T) -> &Object) -> Result<Vec<T>, serde_json::Error> {
    let mut rows: Vec<T> = rows.parse()?;
    rows.retain(|row| {
        let object = object(row);
        object.schema.as_ref().is_none_or(|schema| cx.takes(schema, &object.name))
    });
    Ok(rows)
}

/// A column of a table, with what there is to say about it.
#[derive(Debug, serde::Deserialize)]
struct Column {
    #[serde(flatten)]
    table: Object,
    column: String,
}

impl Column {
    fn table(&self) -> &Object {
        &self.table
    }

    /// For people: `column public.orders.note (json)`.
    fn label(&self) -> String {
        let schema = self.table.schema.as_deref().unwrap_or_default();
        let detail = self.table.detail.as_ref().map(|detail| format!(" ({})", crate::pg::names::human_line(detail)));
        format!("column {}.{}{}", qualified(schema, &self.table.name), human(&self.column), detail.unwrap_or_default())
    }
}

/// `1.5 GB`, for people.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `3 days`, `2 hours`, `11 minutes`, `5 s`, for people.
fn age(seconds: i64) -> String {
    let of = |n: i64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => of(seconds / 60, "minute"),
        7_200..172_800 => of(seconds / 3_600, "hour"),
        _ => of(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_for_people() {
        assert_eq!([size(512), size(1 << 20), size(3 << 29), size(1 << 52)], ["0.5 kB", "1.0 MB", "1.5 GB", "4096.0 TB"]);
        assert_eq!([age(7), age(660), age(7_200), age(200_000)], ["7 s", "11 minutes", "2 hours", "2 days"]);
    }
}
