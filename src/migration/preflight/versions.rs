//! Family B: versions and settings of the servers.

use std::ops::RangeInclusive;

use super::check::{Check, Context, Look, Side};
use super::facts::ServerFacts;
use super::{Purpose, settings};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::Ident;

/// The majors that this version knows, on both sides.
pub const MAJORS: RangeInclusive<u32> = 14..=18;

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = vec![Check {
        code: "B1",
        title: "Postgres version",
        about: "whether the majors are supported",
        grant: "",
        explain: "The versions of both servers. Majors 14 to 18 are served, on both sides, and the target's should be the \
                  source's or newer.\n\n\
                  Definitions that use what is new in the source's major are refused by an older target, and its types and \
                  functions may behave differently. A major that is newer than this program may have catalogs that it does not \
                  understand.\n\n\
                  Use a target of the same major or a newer one. `--allow-downgrade` turns an older target into a warning; \
                  what it refuses is then listed.",
        look: Look::Facts(majors),
    }];
    if purpose.copies() {
        checks.push(Check {
            code: "B10",
            title: "Lock tables",
            about: "whether the lock tables are large enough",
            grant: "",
            explain: "How many locks the lock table of each server holds (max_locks_per_transaction times the connections and \
                      prepared transactions that it allows), against the tables that pg_dump locks in one transaction and the \
                      objects that are created on the target.\n\n\
                      When the lock table is full, the server answers \"out of shared memory\" to everyone, the application \
                      too. There is some room to spare, so it may go well all the same.\n\n\
                      Raise max_locks_per_transaction, which needs a restart.",
            look: Look::Facts(lock_table),
        });
        checks.push(Check {
            code: "C9",
            title: "Writing on the target",
            about: "whether sessions on the target begin read-only",
            grant: "",
            explain: "",
            look: Look::Both(read_only),
        });
    }
    if purpose == Purpose::Check {
        checks.extend(settings::checks());
    }
    checks
}

fn majors(cx: &Context<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [Side::Source, Side::Target].into_iter().filter_map(|side| unsupported(cx, side)).collect();
    let source = cx.source().version;
    let Some(target) = cx.of(Side::Target).map(|target| target.version) else { return findings };
    if cx.options.purpose.copies() && target.major() < source.major() {
        let sentence = format!("The target ({target}) is of an older major than the source ({source}).");
        let why = "Definitions that use what is new in the source's major are refused by the target, and its types and functions \
                   may behave differently.";
        let severity = if cx.options.allow_downgrade { Severity::Warning } else { Severity::Blocker };
        let fix = format!(
            "Use a target of major {} or newer. If the database uses nothing that is newer than {}, --allow-downgrade goes on; \
             what the target \
             refuses is then listed.",
            source.major(),
            target.major()
        );
        findings.push(Finding::new("B1", severity, "target", sentence, why).with_fix(fix));
    }
    findings
}

fn unsupported(cx: &Context<'_>, side: Side) -> Option<Finding> {
    let version = cx.of(side)?.version;
    if MAJORS.contains(&version.major()) {
        return None;
    }
    let (oldest, newest) = (MAJORS.start(), MAJORS.end());
    let sentence = format!("The {} is Postgres {version}; this version of neon-migrate serves {oldest} to {newest}.", side.name());
    let (why, fix) = if version.major() < *oldest {
        let why = "Rows are compared with hash_record_extended, which Postgres has from 14 on, and a copy that cannot be proved \
                   is not made.";
        (
            why,
            format!(
                "Upgrade the {} to {oldest} or newer first, for instance with pg_upgrade, or move the data with pg_dump and \
                 pg_restore.",
                side.name()
            ),
        )
    } else {
        (
            "What a newer major changed in its catalogs is not known to this version.",
            "Get a newer version of neon-migrate.".to_owned(),
        )
    };
    Some(Finding::new("B1", Severity::Blocker, side.name(), sentence, why).with_fix(fix))
}

/// pg_dump locks every table of the source in one transaction, and the target's transactions lock what they create. The lock table
/// has room to spare, so this is a warning.
fn lock_table(cx: &Context<'_>) -> Vec<Finding> {
    let need = [(Side::Source, cx.known.size.tables), (Side::Target, cx.source().relations)];
    let of = |(side, need): (Side, u64)| {
        let slots = cx.of(side)?.lock_slots;
        if need <= slots {
            return None;
        }
        let what = if side == Side::Source { "tables to lock at once" } else { "tables, indexes and sequences to create" };
        let sentence = format!("There are {need} {what}, and the lock table of the {} holds about {slots} locks.", side.name());
        let why = "When the lock table is full, the server answers \"out of shared memory\" to everyone.";
        let fix = format!(
            "Raise max_locks_per_transaction on the {}, which needs a restart:\nalter system set max_locks_per_transaction = {};",
            side.name(),
            64 * (need / slots.max(1) + 2)
        );
        Some(Finding::new("B10", Severity::Warning, side.name(), sentence, why).with_fix(fix))
    };
    need.into_iter().filter_map(of).collect()
}

fn read_only(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    if target.in_recovery || !target.forced.iter().any(|setting| setting.name == "default_transaction_read_only") {
        return Vec::new();
    }
    let sentence = "Sessions on the target begin read-only (default_transaction_read_only is on).".to_owned();
    let why = "Nothing could be written, and somebody may have meant it so.";
    let fix = format!(
        "If the target may be written to, allow it for this role; new sessions obey:\nalter role {} in database {} set \
         default_transaction_read_only = off;",
        cx.role(Side::Target),
        Ident::new(&target.database)
    );
    vec![Finding::new("C9", Severity::Blocker, "target", sentence, why).with_fix(fix)]
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::super::facts::Known;
    use super::*;
    use crate::pg::types::ServerVersion;

    fn found(source: u32, target: u32, allow_downgrade: bool) -> Vec<(String, Severity)> {
        let mut known = Known::plain();
        known.source.version = ServerVersion(source);
        known.target_mut().version = ServerVersion(target);
        let options = Options { allow_downgrade, ..Options::copy() };
        majors(&Context { known: &known, options: &options }).into_iter().map(|f| (f.subject, f.severity)).collect()
    }

    #[test]
    fn supported_majors_go_up_or_stay() {
        assert_eq!(found(140_000, 180_000, false), []);
        assert_eq!(found(180_000, 180_004, false), []);
        assert_eq!(found(90_624, 170_000, false), [("source".to_owned(), Severity::Blocker)]);
        assert_eq!(found(190_000, 190_000, false).len(), 2);
        assert_eq!(found(170_000, 160_000, false), [("target".to_owned(), Severity::Blocker)]);
        assert_eq!(found(170_000, 160_000, true), [("target".to_owned(), Severity::Warning)]);
    }

    #[test]
    fn more_relations_than_locks_is_a_warning_with_a_setting() {
        let mut known = Known::plain();
        known.size.tables = 10_000;
        let options = Options::copy();
        let findings = lock_table(&Context { known: &known, options: &options });
        assert_eq!(findings.len(), 1);
        assert!(findings[0].fix.as_ref().is_some_and(|fix| fix.ends_with("max_locks_per_transaction = 192;")));
    }
}
