//! Constraints and indexes.

use std::collections::HashSet;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use super::labels;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, QualifiedName, human};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G14",
            title: "Constraints that are not valid",
            about: "whether every constraint is valid",
            grant: CATALOGS,
            explain: "Lists constraints of tables and domains that were added with `not valid` and never validated. Those that are \
                      not meant to be enforced (Postgres 18) do not count.\n\n\
                      Such a constraint holds for new rows only; old ones may break it. They are created on the target after the \
                      rows, and again as not valid. Rows that break them travel as they are, but an update of such a row fails, on \
                      both sides, also when it changes other columns of it under a check.\n\n\
                      Validate them on the source. This reads the whole table but keeps nobody from reading and writing it. If it \
                      fails, it names a row that breaks the constraint: mend the rows, or drop the constraint.",
            look: Look::Rows { side: Side::Source, query: NOT_VALID, evaluate: not_valid },
        },
        Check {
            code: "G15",
            title: "Invalid indexes",
            about: "whether every index is valid",
            grant: CATALOGS,
            explain: "Lists indexes that are marked as invalid or not ready, but for those that are being built at this moment. They \
                      are what an interrupted or failed `create index concurrently` leaves.\n\n\
                      No query uses them, though each write has to maintain them, and a unique one may not be unique. No dump has \
                      them, so they are missing on the target.\n\n\
                      Drop them, or build them again with `reindex index concurrently`, as those of constraints have to be; if that \
                      fails for duplicates, mend those first.",
            look: Look::Rows { side: Side::Source, query: INVALID, evaluate: invalid },
        },
        Check {
            code: "G16",
            title: "Duplicate indexes",
            about: "whether there are duplicate indexes",
            grant: CATALOGS,
            explain: "Looks for indexes that are the same as another one of their table in everything but the name: columns, \
                      expressions, order, operator classes, condition. Of each set the one that a constraint or a replica identity \
                      needs counts as the original, otherwise the oldest.\n\n\
                      Every index is built anew on the target, so duplicates cost time during the migration, and space and time ever \
                      after.\n\n\
                      Drop them on the source. The statement waits for transactions that use the table, but keeps nobody from it.",
            look: Look::Rows { side: Side::Source, query: DUPLICATES, evaluate: duplicates },
        },
    ]
}

/// `conenforced` exists from 18 on.
const NOT_VALID: &str = "
select case when c.contypid = 0 then 'table' else 'domain' end as kind, n.nspname::text as schema,
       coalesce(r.relname, t.typname)::text as name, c.conname::text as constraint, c.contype::text as type
  from pg_constraint c left join pg_class r on r.oid = c.conrelid left join pg_type t on t.oid = c.contypid
  join pg_namespace n on n.oid = coalesce(r.relnamespace, t.typnamespace)
 where not c.convalidated and coalesce((to_jsonb(c) ->> 'conenforced')::bool, true)
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype = 'e')
 order by 2, 3, 4";

#[derive(Deserialize)]
struct Constraint {
    kind: String,
    schema: String,
    name: String,
    constraint: String,
    r#type: String,
}

impl Constraint {
    fn label(&self) -> String {
        let what = match self.r#type.as_str() {
            "f" => "foreign key",
            "c" => "check",
            _ => "not null",
        };
        format!("{what} {} of {} {}", human(&self.constraint), self.kind, qualified(&self.schema, &self.name))
    }
}

fn not_valid(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Constraint> = rows.parse()?;
    let found: Vec<Constraint> = found.into_iter().filter(|one| cx.takes(&one.schema, &one.name)).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} never validated.", count(found.len(), "constraint was", "constraints were"));
    let why = "Rows that are older than the constraint may break it. They travel as they are, and the constraints are not valid on \
               the target either.";
    let validate = |one: &Constraint| {
        let owner = QualifiedName::new(&one.schema, &one.name);
        format!("alter {} {owner} validate constraint {};", one.kind, Ident::new(&one.constraint))
    };
    let words = "Validate them on the source (this reads each table, and keeps nobody from reading and writing it); if one fails, \
                 mend the rows that break it";
    let sql: Vec<String> = found.iter().map(validate).collect();
    let objects = found.iter().map(Constraint::label).collect();
    Ok(vec![Finding::new("G14", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

/// Partitioned indexes may be invalid only because a partition lacks its part; they are dumped.
const INVALID: &str = "
select 'index' as kind, n.nspname::text as schema, c.relname::text as name,
       case when i.indisunique then 'unique, ' else '' end || 'on ' || quote_ident(t.relname) as detail, t.relname::text as table,
       exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')) as is_constraint
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not (i.indisvalid and i.indisready and i.indislive) and c.relkind = 'i' and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
 order by 2, 3";

#[derive(Deserialize)]
struct OfTable {
    #[serde(flatten)]
    index: Object,
    table: String,
}

/// The indexes of an answer whose tables travel.
fn indexes(cx: &Context<'_>, rows: &Rows) -> Result<Vec<Object>, serde_json::Error> {
    let all: Vec<OfTable> = rows.parse()?;
    let travels = |one: &OfTable| one.index.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.table));
    Ok(all.into_iter().filter(travels).map(|one| one.index).collect())
}

fn drop_index(index: &Object) -> String {
    format!("drop index concurrently {};", index.sql())
}

/// An invalid index; that of a constraint cannot be dropped by itself.
#[derive(Deserialize)]
struct OfConstraint {
    #[serde(flatten)]
    index: Object,
    is_constraint: bool,
}

fn invalid(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = indexes(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} invalid and will be missing on the target.", count(found.len(), "index is", "indexes are"));
    let why = "An interrupted or failed create index concurrently left them. No query uses them and no dump has them; a unique one may \
               not be unique.";
    let words = "Drop them on the source, unless one is being built right now (or build them again with reindex index concurrently, \
                 which fails as long as a unique one has duplicates)";
    let of_constraint: Vec<OfConstraint> = rows.parse()?;
    let needed: HashSet<String> = of_constraint.iter().filter(|one| one.is_constraint).map(|one| one.index.sql()).collect();
    let mend = |index: &Object| match needed.contains(&index.sql()) {
        true => format!("reindex index concurrently {};", index.sql()),
        false => drop_index(index),
    };
    let sql: Vec<String> = found.iter().map(mend).collect();
    Ok(vec![
        Finding::new("G15", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(labels(&found)),
    ])
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
 order by 2, 3";

fn duplicates(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = indexes(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} of another index.", count(found.len(), "index is a duplicate", "indexes are duplicates"));
    let why = "Each index is built anew on the target, so duplicates make the migration longer for nothing, and each write slower.";
    let words = "Drop them on the source; this waits for transactions that use the table, but keeps nobody from it";
    let sql: Vec<String> = found.iter().map(drop_index).collect();
    Ok(vec![
        Finding::new("G16", Severity::Note, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(labels(&found)),
    ])
}
