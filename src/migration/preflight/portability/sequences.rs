//! Sequences near their end, and columns that are too narrow for them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{Check, Context, Evaluated, Look, Side, count, fix_sql, not_evaluated, qualified};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, QualifiedName, human};

const ABOUT: &str = "how much of each sequence is used up";

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G20",
        title: "Sequences near their end",
        about: ABOUT,
        grant: "Grant what every sequence's owner has: select on the sequences.",
        explain: "Looks how much of each sequence is used up, and how near to its end the type of each smallint or integer column is \
                  that takes its values from a sequence. Listed is what has used three quarters or more. A column may be too narrow \
                  even where its sequence is a bigint with a long way to go. Sequences that start over (cycle) do not count.\n\n\
                  When the end is reached every insert fails. To change a column's type rewrites its table and indexes, so it is \
                  easier before or right after a move than in an emergency.\n\n\
                  The statements change the sequence, which takes a moment, and the column, which rewrites the table and keeps \
                  everybody from it meanwhile. Columns that refer to the key need the same change. On a large table that is in use, \
                  do it on the target between the copy and the moment when applications move.",
        look: Look::Rows { side: Side::Source, query: USED, evaluate: used },
    }]
}

/// A share of 1 is all. `pg_sequence_last_value` answers only who may use or select the sequence, and nothing for one that was never
/// used; on a standby unlogged sequences cannot be read. Only
/// sequences that have come far enough for a smallint are looked at further. Columns are those that own a sequence, and those whose default needs it.
const USED: &str = "
with seen as (
  select s.seqrelid as oid, s.*, has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') as visible, c.relname, n.nspname,
         case when has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') and not (c.relpersistence = 'u' and pg_is_in_recovery())
              then pg_sequence_last_value(s.seqrelid) end as last
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence <> 't'
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
), measured as (
  select s.*, case when s.seqcycle then 0
                   when s.seqincrement > 0 then (s.last::numeric - s.seqmin) / greatest(s.seqmax::numeric - s.seqmin, 1)
                   else (s.seqmax::numeric - s.last) / greatest(s.seqmax::numeric - s.seqmin, 1) end as share
    from seen s
), near as materialized (
  select m.* from measured m where not m.visible or m.share >= 0.75 or not m.seqcycle and abs(m.last::numeric) >= 0.75 * 32767
), fed as (
  select d.objid as oid, d.refobjid as attrelid, d.refobjsubid as attnum, d.deptype = 'i' as is_identity
    from near m join pg_depend d on d.objid = m.oid
   where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjsubid > 0
  union
  select d.refobjid, f.adrelid, f.adnum, false
    from near m join pg_depend d on d.refobjid = m.oid join pg_attrdef f on f.oid = d.objid
   where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'n'
), columns as (
  select f.oid, bool_or(f.is_identity) as is_identity, tn.nspname, t.relname, a.attname, a.atttypid,
         case a.atttypid when 'int2'::regtype then 32767 else 2147483647 end as most
    from fed f join pg_class t on t.oid = f.attrelid join pg_namespace tn on tn.oid = t.relnamespace
    join pg_attribute a on a.attrelid = f.attrelid and a.attnum = f.attnum
   where a.atttypid in ('int2'::regtype, 'int4'::regtype)
   group by f.oid, tn.nspname, t.relname, a.attname, a.atttypid
)
select m.nspname::text as schema, m.relname::text as name, not m.visible as hidden, format_type(m.seqtypid, null) as type,
       m.seqincrement > 0 as ascends, trunc(100 * m.share)::int8 as percent, m.last::text as last,
       c.nspname::text as table_schema, c.relname::text as table, c.attname::text as column, format_type(c.atttypid, null) as column_type,
       coalesce(c.is_identity, false) as is_identity, trunc(100 * abs(m.last::numeric) / c.most)::int8 as column_percent
  from near m left join columns c on c.oid = m.oid
 where not m.visible or m.share >= 0.75 or not m.seqcycle and abs(m.last::numeric) >= 0.75 * c.most
 order by 1, 2, 8, 9, 10";

#[derive(Deserialize)]
struct Used {
    schema: String,
    name: String,
    hidden: bool,
    r#type: String,
    ascends: bool,
    percent: Option<i64>,
    last: Option<String>,
    table_schema: Option<String>,
    table: Option<String>,
    column: Option<String>,
    column_type: Option<String>,
    is_identity: bool,
    column_percent: Option<i64>,
}

/// From how much on, in percent.
const MUCH: i64 = 75;

impl Used {
    /// The table and the column, if the column's type is near its end.
    fn narrow(&self) -> Option<(&str, &str, &str)> {
        self.column_percent.filter(|percent| *percent >= MUCH)?;
        Some((self.table_schema.as_deref()?, self.table.as_deref()?, self.column.as_deref()?))
    }

    fn label(&self) -> String {
        let last = self.last.as_deref().unwrap_or_default();
        match self.narrow() {
            Some((schema, table, column)) => format!(
                "column {}.{} ({}, {} % used, at {last})",
                qualified(schema, table),
                human(column),
                self.column_type.as_deref().unwrap_or_default(),
                self.column_percent.unwrap_or_default()
            ),
            None => {
                let percent = self.percent.unwrap_or_default();
                format!("sequence {} ({}, {percent} % used, at {last})", qualified(&self.schema, &self.name), self.r#type)
            }
        }
    }

    /// The statements that mend it: the sequence of an identity column changes with the column.
    fn mend(&self) -> Vec<String> {
        let mut sql = Vec::new();
        let narrow = self.narrow();
        if !(self.is_identity && narrow.is_some() && self.r#type != "bigint") && self.percent.is_some_and(|percent| percent >= MUCH)
        {
            let sequence = QualifiedName::new(&self.schema, &self.name);
            let kind = if self.r#type == "bigint" { "" } else { " as bigint" };
            let bound = if self.ascends { "maxvalue" } else { "minvalue" };
            sql.push(format!("alter sequence {sequence}{kind} no {bound};"));
        }
        if let Some((schema, table, column)) = narrow {
            let table = QualifiedName::new(schema, table);
            sql.push(format!("alter table {table} alter column {} type bigint;", Ident::new(column)));
        }
        sql
    }
}

fn used(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let rows: Vec<Used> = rows.parse()?;
    let (hidden, found): (Vec<Used>, Vec<Used>) =
        rows.into_iter().filter(|one| cx.takes(&one.schema, &one.name)).partition(|one| one.hidden);
    if !hidden.is_empty() {
        return Ok(vec![not_seen(cx, side, &hidden)]);
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} by three quarters or more.", count(found.len(), "sequence is used up", "sequences are used up"));
    let why = "When the end of a sequence, or of the type of the column that takes its values, is reached, every insert fails.";
    let sql: Vec<String> = found.iter().flat_map(Used::mend).collect();
    let words = "Do this on the source, or on the target between the copy and the moment when applications move. Changing a column's \
                 type rewrites the table and its indexes and keeps everybody from it meanwhile; columns that refer to it need the \
                 same";
    let objects = found.iter().map(Used::label).collect();
    Ok(vec![Finding::new("G20", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

fn not_seen(cx: &Context<'_>, side: Side, hidden: &[Used]) -> Finding {
    let role = cx.role(side);
    let schemas: BTreeSet<&str> = hidden.iter().map(|one| one.schema.as_str()).collect();
    let grant = |schema: &&str| format!("grant select on all sequences in schema {} to {role};", Ident::new(*schema));
    let names: BTreeSet<(&str, &str)> = hidden.iter().map(|one| (one.schema.as_str(), one.name.as_str())).collect();
    let reason = format!("the role {} may not read {}", human(role.as_str()), count(names.len(), "sequence", "sequences"));
    let words = "Execute this on the source as the owner of the sequences or a superuser";
    let fix = fix_sql(words, &schemas.iter().map(grant).collect::<Vec<_>>());
    not_evaluated("G20", side, ABOUT, &reason, &fix)
}
