//! Family H: how much there is, and whether it fits.

use serde::Deserialize;

use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    let limit = Check {
        code: "H3",
        title: "The size that the target allows",
        about: "how large the target may become",
        grant: CATALOGS,
        explain: LIMIT_TEXT,
        look: Look::Rows { side: Side::Target, query: LIMIT, evaluate: limit },
    };
    let upkeep = Check {
        code: "H2",
        title: "Dead rows and statistics",
        about: "whether tables are well kept",
        grant: CATALOGS,
        explain: UPKEEP_TEXT,
        look: Look::Rows { side: Side::Source, query: UPKEEP, evaluate: upkeep },
    };
    vec![upkeep, limit]
}

const LIMIT_TEXT: &str = "\
A project at Neon may grow to the size that its plan allows; beyond it, writes fail with \"project size limit has been exceeded\". The \
server tells the limit in the setting neon.max_cluster_size, and the size of the source's database is compared with it. Other \
servers have no such setting, and what their disk holds cannot be asked.

Rows and indexes are packed densely by a copy, so the target is often smaller than the source; what is loaded also counts as history for \
as long as the project keeps it. Move to a larger plan before the copy, or leave out what is not needed with --exclude.";

/// A limit of -1, or none at all, is no limit. (Neon's extension; `pg_size_bytes` reads a setting as it is shown.)
const LIMIT: &str = "
select pg_size_bytes(current_setting('neon.max_cluster_size', true)) as bytes
 where coalesce(current_setting('neon.max_cluster_size', true), '') ~ '^[0-9]'";

#[derive(Deserialize)]
struct Limit {
    bytes: u64,
}

fn limit(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(Limit { bytes }) = rows.first()? else { return Ok(Vec::new()) };
    let Some(size) = cx.known.size.database_bytes.filter(|size| bytes > 0 && *size > bytes) else { return Ok(Vec::new()) };
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let sentence = format!("The source has {}, and the target may grow to {} only.", mib(size), mib(bytes));
    let why = "Beyond its limit a project at Neon refuses writes, and the copy would stop in the middle.";
    let fix = "Move the project to a larger plan in Neon's console, or leave out with --exclude what is not needed. If most of the source \
               is dead rows or bloated indexes, vacuum full or reindex there first shows the true size.";
    Ok(vec![Finding::new("H3", Severity::Warning, side.name(), sentence, why).with_fix(fix)])
}

const UPKEEP_TEXT: &str = "\
Tables of 1 MB and more are named that were never vacuumed or analyzed, so that the server does not know how many rows they \
have. So are tables of which by the server's statistics a fifth or more, and at least 50,000 rows, are dead: rows that were \
deleted or replaced and whose room was not given free yet.

Without statistics, the time of the migration cannot be estimated, and large tables are divided badly among jobs. Dead rows are \
not copied, but have to be read past, and tell that vacuum does not keep up, often because a transaction has been open for \
very long.

Execute the statements; neither blocks reads or writes, and both cost some reading. See whether autovacuum is switched off.";

/// The fence (offset 0) keeps the counters from being asked about catalogs.
const UPKEEP: &str = "
select 'table' as kind, q.schema, q.name, q.reltuples < 0 as unknown, q.live, q.dead
  from (select n.nspname::text as schema, c.relname::text as name, c.oid, c.reltuples,
               pg_stat_get_live_tuples(c.oid) as live, pg_stat_get_dead_tuples(c.oid) as dead
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
           and not exists (select from pg_depend d
                            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
        offset 0) q
 where q.dead >= 50000 and q.dead * 4 >= q.live
    or q.reltuples < 0 and pg_relation_size(q.oid) >= 1048576
 order by q.schema collate \"C\", q.name collate \"C\"";

#[derive(Deserialize)]
struct Kept {
    #[serde(flatten)]
    table: Object,
    /// It has no statistics.
    unknown: bool,
    live: i64,
    dead: i64,
}

fn upkeep(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut found: Vec<Kept> = rows.parse()?;
    found.retain(|one| one.table.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.table.name)));
    let (unknown, dead): (Vec<Kept>, Vec<Kept>) = found.into_iter().partition(|one| one.unknown);
    let mut findings = Vec::new();
    if !unknown.is_empty() {
        let sentence = format!("{} no statistics.", count(unknown.len(), "table has", "tables have"));
        let why = "How many rows they have is not known, so that the time is estimated and the work divided badly.";
        let sql: Vec<String> = unknown.iter().map(|one| format!("analyze {};", one.table.sql())).collect();
        let fix = fix_sql("Collect statistics, which blocks neither reads nor writes", &sql);
        let finding = Finding::new("H2", Severity::Warning, side.name(), sentence, why);
        findings.push(finding.with_fix(fix).with_objects(unknown.iter().map(|one| one.table.label()).collect()));
    }
    if !dead.is_empty() {
        let sentence = format!("{} many dead rows.", count(dead.len(), "table has", "tables have"));
        let why = "They are not copied, but have to be read past, and tell that vacuum does not keep up.";
        let sql: Vec<String> = dead.iter().map(|one| format!("vacuum (analyze) {};", one.table.sql())).collect();
        let words = "Vacuum them, which blocks neither reads nor writes; it can remove only what no open transaction may still see";
        let label = |one: &Kept| format!("{} ({} live, {} dead)", one.table.label(), one.live, one.dead);
        let finding = Finding::new("H2", Severity::Note, side.name(), sentence, why);
        findings.push(finding.with_fix(fix_sql(words, &sql)).with_objects(dead.iter().map(label).collect()));
    }
    Ok(findings)
}
