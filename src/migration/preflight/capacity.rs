//! Family H: how much there is, and whether it fits.

use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "H2",
            title: "Dead rows",
            about: "how many dead rows the tables have",
            grant: CATALOGS,
            explain: "Looks for tables of which a third or more, and at least 10,000 rows, are dead by the server's own counters, and \
                      for tables with 10,000 rows and more, by the same counters, that were never analyzed. The counters begin anew \
                      after a crash.\n\n\
                      Sizes and numbers of rows decide how a copy is divided and how long it is said to take. Dead rows are read \
                      along with the others, and where statistics are missing the number of rows is a guess. Many dead rows may also \
                      mean that something keeps vacuum from removing them: an old transaction, a forgotten replication slot, a \
                      prepared transaction.\n\n\
                      The statements may be run while the database is in use. They read each table once, and write where there is \
                      something to remove.",
            look: Look::Rows { side: Side::Source, query: DEAD_ROWS, evaluate: dead_rows },
        },
        Check {
            code: "H2",
            title: "Missing statistics",
            about: "whether every table has statistics",
            grant: CATALOGS,
            explain: "",
            look: Look::Rows { side: Side::Source, query: NEVER_ANALYZED, evaluate: never_analyzed },
        },
    ]
}

/// The functions behind `pg_stat_all_tables`, without its sums over all indexes.
const DEAD_ROWS: &str = "
select case s.relkind when 'm' then 'materialized view' else 'table' end as kind, s.schema, s.name, s.dead || ' dead rows, ' || s.live || ' live' as detail
  from (select c.relkind, n.nspname::text as schema, c.relname::text as name,
               pg_stat_get_live_tuples(c.oid) as live, pg_stat_get_dead_tuples(c.oid) as dead
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema') s
 where s.dead >= 10000 and s.dead * 2 >= s.live
 order by s.dead desc, s.schema, s.name";

fn dead_rows(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let objects = cx.objects(rows)?;
    let sentence = format!("A third or more of the rows of {} dead.", count(objects.len(), "table is", "tables are"));
    let why = "They are read along with the others and make sizes misleading. Something may keep vacuum from removing them, such as an \
               old transaction or a forgotten replication slot.";
    let words = "Execute this on the source; it keeps nobody from the tables";
    Ok(finding(&objects, (sentence, why), words, "vacuum (analyze)"))
}

/// `reltuples` is -1 until the first vacuum or analyze. The rows that the server has counted cost nothing to ask, unlike a size.
const NEVER_ANALYZED: &str = "
select case s.relkind when 'm' then 'materialized view' else 'table' end as kind, s.schema, s.name,
       'about ' || s.live || ' rows' as detail
  from (select c.relkind, n.nspname::text as schema, c.relname::text as name, pg_stat_get_live_tuples(c.oid) as live
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and c.reltuples < 0 and c.relpersistence <> 't'
           and n.nspname !~ '^pg_' and n.nspname <> 'information_schema') s
 where s.live >= 10000
 order by s.live desc, s.schema, s.name";

fn never_analyzed(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let objects = cx.objects(rows)?;
    let sentence = format!("{} never analyzed.", count(objects.len(), "large table was", "large tables were"));
    let why = "Without statistics the number of rows is a guess, and so is how long a copy takes.";
    Ok(finding(
        &objects,
        (sentence, why),
        "Execute this on the source; it reads a sample and keeps nobody from the tables",
        "analyze",
    ))
}

fn finding(objects: &[Object], (sentence, why): (String, &str), words: &str, command: &str) -> Vec<Finding> {
    if objects.is_empty() {
        return Vec::new();
    }
    let sql: Vec<String> = objects.iter().map(|object| format!("{command} {};", object.sql())).collect();
    let finding = Finding::new("H2", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql));
    vec![finding.with_objects(objects.iter().map(Object::label).collect())]
}
