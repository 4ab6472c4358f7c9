//! Indexes that say the same twice.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G16",
        title: "Duplicate indexes",
        about: "whether indexes are duplicates",
        grant: CATALOGS,
        explain: "",
        look: Look::Rows { side: Side::Source, query: DUPLICATES, evaluate: duplicates },
    }]
}

/// Indexes with equal definitions, in the order of who should stay; only those with the same columns are compared further. An index that
/// enforces uniqueness may go only if the one that stays does so too. Majors up to 16 keep expressions together with their places in
/// the text of the statement, which say nothing. Parts of partitioned indexes cannot be dropped by themselves.
const DUPLICATES: &str = r"
with alike as (
  select i.*, count(*) over (partition by i.indrelid, i.indkey::text) as others from pg_index i where i.indisvalid and i.indexrelid >= 16384
), candidates as (
  select i.indexrelid, i.indrelid, c.relname, c.relnamespace, t.relname as table_name, i.indisunique,
         exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                                           and d.refclassid = 'pg_constraint'::regclass) as is_constraint,
         i.indisreplident or i.indisclustered as is_chosen,
         concat_ws('/', i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text, c.relam, i.indnkeyatts, i.indimmediate,
                   regexp_replace(concat_ws('/', i.indexprs::text, ':if', i.indpred::text), ':location -?\d+', '', 'g'),
                   coalesce(case when i.indisunique then to_jsonb(i) ->> 'indnullsnotdistinct' end, 'false')) as definition
    from alike i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace
   where i.others > 1 and c.relkind = 'i' and not c.relispartition and c.relpersistence <> 't'
     and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype = 'e')
), ranked as (
  select c.*, row_number() over same as place, first_value(c.relname) over same as original,
         first_value(c.indisunique) over same as original_is_unique
    from candidates c
  window same as (partition by c.indrelid, c.definition
                  order by c.is_constraint desc, c.indisunique desc, c.is_chosen desc, c.indexrelid)
)
select 'index' as kind, n.nspname::text as schema, r.relname::text as name, 'as ' || quote_ident(r.original) as detail,
       r.table_name::text as table
  from ranked r join pg_namespace n on n.oid = r.relnamespace
 where r.place > 1 and not r.is_constraint and not r.is_chosen and (r.original_is_unique or not r.indisunique)
   and not exists (select from pg_depend d where d.refclassid = 'pg_class'::regclass and d.refobjid = r.indexrelid
                                             and d.classid = 'pg_constraint'::regclass)
 order by n.nspname, r.relname";

#[derive(Deserialize)]
struct OfTable {
    #[serde(flatten)]
    object: Object,
    table: String,
}

fn duplicates(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let all: Vec<OfTable> = rows.parse()?;
    let travels = |one: &OfTable| one.object.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.table));
    let found: Vec<Object> = all.into_iter().filter(travels).map(|one| one.object).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} of another index.", count(found.len(), "index is a duplicate", "indexes are duplicates"));
    let why = "Each index is built anew on the target, so duplicates make the migration longer for nothing, and each write slower.";
    let words = "Drop them on the source; this waits for transactions that use the table, but keeps nobody from it";
    let sql: Vec<String> = found.iter().map(|index| format!("drop index concurrently {};", index.sql())).collect();
    let finding = Finding::new("G16", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(Object::label).collect())])
}
