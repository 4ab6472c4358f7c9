//! The state that the source is in: age of its rows, its archiver, its vacuum.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, not_evaluated};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human;

pub(super) fn checks() -> Vec<Check> {
    let on_source = |query, evaluate| Look::Rows { side: Side::Source, query, evaluate };
    vec![
        Check {
            code: "B16",
            title: "Age of transactions",
            about: "how near the source is to a wraparound",
            grant: CATALOGS,
            explain: "The age of the oldest transaction and multixact that any database of the source's server has not frozen \
                      yet.\n\n\
                      At two billion the server stops to accept writes, so as not to lose rows. A long snapshot, as a copy \
                      holds it, and a slot of a live replication keep vacuum from freezing meanwhile, so a server that is near \
                      must not carry one.\n\n\
                      Above one billion it is a warning, above 1.9 billion a blocker. Freeze the named databases before the \
                      migration; that reads and writes their old pages, but locks nobody out. If the age does not fall, an old \
                      slot, a prepared transaction or a session that has been open for long holds it back.",
            look: on_source(AGE, old_databases),
        },
        Check {
            code: "B17",
            title: "Archiving",
            about: "whether the source archives its WAL",
            grant: CATALOGS,
            explain: "Whether the last attempt to archive a WAL segment failed (pg_stat_archiver), while archiving is on.\n\n\
                      The server keeps each segment until it is archived, so its disk is filling already, and its backups have \
                      a gap. A live replication keeps WAL as well, and would make the server run full sooner.\n\n\
                      The server's log says why it fails. Mend it before the migration starts.",
            look: on_source(ARCHIVER, failing_archiver),
        },
        Check {
            code: "B19",
            title: "Vacuum against wraparound",
            about: VACUUM,
            grant: CATALOGS,
            explain: "Whether autovacuum is at work against a wraparound anywhere on the source's server (pg_stat_activity).\n\n\
                      Such a vacuum does not give way to others as the usual one does: it reads whole tables, and who wants to \
                      alter a table that it works on has to wait. A copy would compete with it for the disk, and its snapshot \
                      would keep it from freezing what is new.\n\n\
                      Wait until it is over; pg_stat_progress_vacuum shows how far it is. Do not cancel it, because it would \
                      begin again.",
            look: on_source(WRAPAROUND, vacuums),
        },
    ]
}

const AGE: &str = "
select datname::text as name, age(datfrozenxid)::int8 as xids, mxid_age(datminmxid)::int8 as multixacts,
       datname = current_database() as here
  from pg_database
 where greatest(age(datfrozenxid), mxid_age(datminmxid)) > 1000000000
 order by greatest(age(datfrozenxid), mxid_age(datminmxid)) desc, datname";

/// From this age on a server stops accepting writes soon.
const AGE_BLOCKS: i64 = 1_900_000_000;

#[derive(Deserialize)]
struct Old {
    name: String,
    xids: i64,
    multixacts: i64,
    here: bool,
}

fn old_databases(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let old: Vec<Old> = rows.parse()?;
    let Some(oldest) = old.iter().map(|one| one.xids.max(one.multixacts)).max() else { return Ok(Vec::new()) };
    let severity = if oldest > AGE_BLOCKS { Severity::Blocker } else { Severity::Warning };
    let which = count(old.len(), "database of the source's server has", "databases of the source's server have");
    let sentence = format!("{which} transactions that are {} million old and not frozen.", oldest / 1_000_000);
    let why = "At two billion the server accepts no more writes, and the snapshot or slot of a migration keeps it from freezing.";
    let words = "Freeze before the migration; it takes long on large tables, but locks nobody out";
    let fix = if old.iter().any(|one| one.here) {
        fix_sql(&format!("{words}. Execute this in each of the named databases"), &["vacuum (freeze);".to_owned()])
    } else {
        format!(
            "{words}: run vacuum (freeze) in each of the named databases. This one, {}, is not among them.",
            human(&cx.source().database)
        )
    };
    let label = |one: &Old| format!("database {} ({} transactions, {} multixacts)", human(&one.name), one.xids, one.multixacts);
    let finding = Finding::new("B16", severity, "source", sentence, why).with_fix(fix);
    Ok(vec![finding.with_objects(old.iter().map(label).collect())])
}

const ARCHIVER: &str = "
select last_failed_wal as name, failed_count::int8 as failures, last_failed_time::timestamptz(0)::text as failed_at
  from pg_stat_archiver
 where current_setting('archive_mode') <> 'off' and last_failed_time > coalesce(last_archived_time, '-infinity')";

#[derive(Deserialize)]
struct Archiver {
    name: String,
    failures: u64,
    failed_at: String,
}

fn failing_archiver(_: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Archiver>()? else { return Ok(Vec::new()) };
    let sentence = format!(
        "The source fails to archive its WAL, last {} at {} ({} so far).",
        human(&seen.name),
        seen.failed_at,
        count(usize::try_from(seen.failures).unwrap_or(usize::MAX), "failure", "failures")
    );
    let why = "It keeps all WAL until it is archived, so its disk is filling already, and a slot would keep more.";
    let fix =
        "Read in the server's log why archive_command or archive_library fails, and mend that; the server tries again by itself.";
    Ok(vec![Finding::new("B17", Severity::Warning, "source", sentence, why).with_fix(fix)])
}

const VACUUM: &str = "whether autovacuum works against a wraparound";

/// To roles without `pg_read_all_stats`, workers of autovacuum have a database but neither a role nor a query.
const WRAPAROUND: &str = "
select coalesce(a.datname, '?')::text as name,
       case when a.backend_type is null then null else regexp_replace(a.query, '^autovacuum: VACUUM (.*) \\(to prevent wraparound\\)$', '\\1') end
         as detail
  from pg_stat_activity a
 where a.backend_type = 'autovacuum worker' and a.query ~ 'to prevent wraparound'
    or a.backend_type is null and a.usesysid is null and a.datid is not null
 order by a.datname, a.pid";

fn vacuums(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let seen: Vec<Object> = rows.parse()?;
    if seen.iter().any(|one| one.detail.is_none()) {
        let grant = format!("As a superuser of the source:\ngrant pg_read_all_stats to {};", cx.role(side));
        return Ok(vec![not_evaluated("B19", side, VACUUM, "only some roles may see what other sessions do", &grant)]);
    }
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let label = |one: &Object| {
        let table = one.detail.as_deref().map(crate::pg::names::human_line).unwrap_or_default();
        format!("{table} in database {}", human(&one.name))
    };
    let which = count(seen.len(), "vacuum against wraparound runs", "vacuums against wraparound run");
    let why = "It does not give way, reads whole tables, and a copy competes with it for the disk.";
    let fix = "Wait until it is over; this shows how far it is: select * from pg_stat_progress_vacuum.";
    let finding = Finding::new("B19", Severity::Warning, "source", format!("{which} on the source's server."), why).with_fix(fix);
    Ok(vec![finding.with_objects(seen.iter().map(label).collect())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    fn found(evaluate: fn(&Context<'_>, Side, &Rows) -> Evaluated, rows: Vec<serde_json::Value>) -> Vec<Finding> {
        evaluate(&Context { known: &Known::plain(), options: &Options::check() }, Side::Source, &Rows(rows)).unwrap_or_default()
    }

    #[test]
    fn the_oldest_database_decides() {
        let row = |name: &str, xids: i64, multixacts: i64, here: bool| json!({"name": name, "xids": xids, "multixacts": multixacts, "here": here});
        let here = found(old_databases, vec![row("shop", 1_100_000_000, 7, true)]);
        assert_eq!(here[0].severity, Severity::Warning);
        assert!(here[0].fix.as_ref().is_some_and(|fix| fix.ends_with("\nvacuum (freeze);")));
        let other = found(old_databases, vec![row("A b", 5, 1_950_000_000, false), row("c", 1_200_000_000, 1, false)]);
        assert_eq!(other[0].severity, Severity::Blocker);
        assert_eq!(other[0].objects[0], "database \"A b\" (5 transactions, 1950000000 multixacts)");
        assert!(other[0].fix.as_ref().is_some_and(|fix| !fix.contains('\n')));
        assert_eq!(found(old_databases, Vec::new()), []);
    }

    #[test]
    fn a_vacuum_that_is_hidden_is_no_pass() {
        let hidden = found(vacuums, vec![json!({"name": "shop", "detail": null})]);
        assert!(hidden[0].is_not_evaluated());
        assert!(hidden[0].fix.as_ref().is_some_and(|fix| fix.ends_with("\ngrant pg_read_all_stats to \"owner\";")));
        let seen = found(vacuums, vec![json!({"name": "shop", "detail": "public.orders"})]);
        assert_eq!(seen[0].objects, ["public.orders in database shop"]);
        assert_eq!(found(vacuums, Vec::new()), []);
    }
}
