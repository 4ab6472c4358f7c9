//! Family H: how much there is, and whether it fits.

use serde::Deserialize;

use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "H2",
        title: "Dead rows and statistics",
        about: "whether tables are well kept",
        grant: CATALOGS,
        explain: UPKEEP_TEXT,
        look: Look::Rows { side: Side::Source, query: UPKEEP, evaluate: upkeep },
    }]
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
