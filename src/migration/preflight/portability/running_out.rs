//! Sequences and keys that run out of numbers.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, not_evaluated, qualified};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, QualifiedName, human};

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G20",
        title: "Sequences and keys that run out",
        about: RUNS_OUT_ABOUT,
        grant: CATALOGS,
        explain: RUNS_OUT_TEXT,
        look: Look::Rows { side: Side::Source, query: RUNS_OUT, evaluate: runs_out },
    }]
}

const RUNS_OUT_ABOUT: &str = "how far all sequences have got";

const RUNS_OUT_TEXT: &str = "\
Sequences are told that have used 75 % and more of the numbers they can give, or of those that the column they fill can hold: a \
column of type integer ends at 2,147,483,647, even if its sequence is bigint. Sequences that start over at their end (cycle), \
descending ones, and bigint ones that fill a bigint column or none are not read, as counting does not exhaust those. \
A key that does not get its numbers from a sequence is not seen. Of at most 2,000 sequences the position is read, since that \
takes a lock each: those of the tables that have taken the most rows.

When the numbers are used up, every insert fails. Mending it takes a rewrite of the table, which is far easier to do before a \
migration, or on the target before the cutover, than in the night in which it happens.

The statements make column and sequence bigint. That rewrites the table and all its indexes, and nobody can read or write it \
meanwhile. Columns that refer to it by a foreign key should become bigint too, and views on the column have to be dropped first \
and created again. The type of a column by which a table is partitioned cannot be altered.";

/// A position is read for at most 2,000 sequences, as reading takes a lock that lasts until the end of the transaction: the lock
/// table of a server in use must not be filled: those of which the tables have taken the most rows. A partition has the default of its root, so the root stands for all.
const RUNS_OUT: &str = "
with fills as (
  select d.objid as sequence, d.refobjid as filled, d.refobjsubid as number
    from pg_sequence s join pg_depend d on d.objid = s.seqrelid
   where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjsubid > 0
  union all
  select d.refobjid, f.adrelid, f.adnum
    from pg_sequence s join pg_depend d on d.refobjid = s.seqrelid join pg_attrdef f on f.oid = d.objid
   where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjsubid = 0
), columns as (
  select distinct s.seqrelid, s.seqmax, a.atttypid, a.attname,
         case when t.relispartition then pg_partition_root(t.oid) else t.oid end as filled
    from pg_sequence s
    left join fills f on f.sequence = s.seqrelid
    left join pg_class t on t.oid = f.filled
    left join pg_attribute a on a.attrelid = f.filled and a.attnum = f.number
   where s.seqincrement > 0 and not s.seqcycle
), candidates as (
  select c.*, least(seqmax, case atttypid when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end) as ends
    from columns c
), narrow as materialized (
  select n.nspname, s.relname, k.*, count(*) over () as total
    from candidates k join pg_class s on s.oid = k.seqrelid join pg_namespace n on n.oid = s.relnamespace
    left join pg_class t on t.oid = k.filled
   where k.ends between 1 and 9223372036854775806 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not (s.relpersistence = 'u' and pg_is_in_recovery())
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype = 'e')
   order by greatest(t.reltuples, pg_stat_get_tuples_inserted(t.oid)) desc nulls first, k.seqrelid, k.filled limit 2000
), keys as materialized (
  select distinct pg_partition_root(p.partrelid) as root, a.attname
    from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = any (p.partattrs::int2[])
)
select k.nspname::text as schema, k.relname::text as name, tn.nspname::text as table_schema, t.relname::text as table_name,
       k.attname::text as column, case when k.atttypid in ('int2'::regtype, 'int4'::regtype) then format_type(k.atttypid, null) end
       as narrow, k.seqmax = 9223372036854775807 as endless, k.ends::int8 as ends, k.total,
       has_sequence_privilege(k.seqrelid, 'select, usage') as readable,
       keys.root is not null as partition_key,
       case when has_sequence_privilege(k.seqrelid, 'select, usage') then pg_sequence_last_value(k.seqrelid) end as last
  from narrow k
  left join pg_class t on t.oid = k.filled
  left join pg_namespace tn on tn.oid = t.relnamespace
  left join keys on keys.root = k.filled and keys.attname = k.attname
 order by k.nspname, k.relname, tn.nspname, t.relname, k.attname";

#[derive(Deserialize)]
struct Numbers {
    #[serde(flatten)]
    sequence: Object,
    table_schema: Option<String>,
    table_name: Option<String>,
    column: Option<String>,
    /// The type of the column, if it holds less than bigint.
    narrow: Option<String>,
    /// The tables are divided by the column, so that its type cannot be altered.
    partition_key: bool,
    /// The sequence goes on to the end of bigint.
    endless: bool,
    ends: i64,
    readable: bool,
    /// Of how many this is one, those beyond the limit included.
    total: usize,
    last: Option<i64>,
}

impl Numbers {
    fn percent(&self) -> i128 {
        i128::from(self.last.unwrap_or(0)) * 100 / i128::from(self.ends.max(1))
    }

    fn label(&self) -> String {
        let at = format!("at {} of {}, {} %", self.last.unwrap_or(0), self.ends, self.percent());
        let sequence = self.sequence.label();
        match (&self.table_schema, &self.table_name, &self.column) {
            (Some(schema), Some(table), Some(column)) => {
                let narrow = self.narrow.as_ref().map(|narrow| format!("{narrow}; ")).unwrap_or_default();
                format!("column {}.{} ({narrow}sequence {sequence} is {at})", qualified(schema, table), human(column))
            }
            _ => format!("sequence {sequence} ({at})"),
        }
    }

    /// The column is too narrow, and no statement makes it wider.
    fn is_stuck(&self) -> bool {
        self.narrow.is_some() && self.partition_key
    }

    fn widen(&self) -> Vec<String> {
        let mut sql = Vec::new();
        if self.is_stuck() {
            return sql;
        }
        if let (Some(_), Some(schema), Some(table), Some(column)) =
            (&self.narrow, &self.table_schema, &self.table_name, &self.column)
        {
            sql.push(format!("alter table {} alter column {} type bigint;", QualifiedName::new(schema, table), Ident::new(column)));
        }
        if !self.endless {
            sql.push(format!("alter sequence {} as bigint no maxvalue;", self.sequence.sql()));
        }
        sql
    }
}

fn runs_out(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let all: Vec<Numbers> = rows.parse()?;
    let total = all.first().map_or(0, |one| one.total);
    let unread = total.saturating_sub(all.len());
    let taken = |one: &Numbers| one.sequence.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.sequence.name));
    let (seen, hidden): (Vec<Numbers>, Vec<Numbers>) = all.into_iter().filter(taken).partition(|one| one.readable);
    let mut findings = Vec::new();
    if !hidden.is_empty() {
        findings.push(may_not_read(cx, side, &hidden));
    }
    if unread > 0 {
        let reason =
            format!("there are {total}, and reading all of them at once would take too many locks; {unread} were not read");
        let fix = "Look at the view pg_sequences (last_value beside max_value), a part of the sequences at a time.";
        findings.push(not_evaluated("G20", side, RUNS_OUT_ABOUT, &reason, fix));
    }
    let full: Vec<&Numbers> = seen.iter().filter(|one| one.percent() >= 75).collect();
    if !full.is_empty() {
        let sentence = format!("{} used up 75 % or more of its numbers.", count(full.len(), "key has", "keys have"));
        let why = "When they are used up, every insert fails. Widening a key rewrites its table, which is best done before or during \
                   the migration.";
        let finding = Finding::new("G20", Severity::Warning, side.name(), sentence, why);
        findings.push(finding.with_fix(widened(&full)).with_objects(full.iter().map(|one| one.label()).collect()));
    }
    Ok(findings)
}

fn widened(full: &[&Numbers]) -> String {
    let stuck = full.iter().filter(|one| one.is_stuck()).count();
    let by_hand = format!(
        "For {} by which tables are partitioned, make a new partitioned table with bigint and move the rows",
        count(stuck, "column", "columns")
    );
    let words = "Make columns and sequences bigint; this rewrites each table with its indexes, and nobody can read or write it \
                 meanwhile, so do it in a maintenance window, or on the target before the cutover";
    let sql: Vec<String> = full.iter().flat_map(|one| one.widen()).collect();
    match (stuck, sql.is_empty()) {
        (0, _) => fix_sql(words, &sql),
        (_, true) => format!("{by_hand}."),
        (_, false) => fix_sql(&format!("{by_hand}. {words}"), &sql),
    }
}

fn may_not_read(cx: &Context<'_>, side: Side, hidden: &[Numbers]) -> Finding {
    let role = cx.role(side);
    let number = count(hidden.len(), "sequence", "sequences");
    let reason = format!("the role {} may not read the position of {number}", human(role.as_str()));
    let sql: Vec<String> = hidden.iter().map(|one| format!("grant select on sequence {} to {role};", one.sequence.sql())).collect();
    let words = "Execute this on the source as the owner of the sequences or a superuser";
    not_evaluated("G20", side, RUNS_OUT_ABOUT, &reason, &fix_sql(words, &sql))
        .with_objects(hidden.iter().map(|one| format!("sequence {}", one.sequence.label())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    fn numbers(total: usize) -> Value {
        json!({"schema": "app", "name": "s", "table_schema": null, "table_name": null, "column": null, "narrow": null,
               "partition_key": false, "endless": false, "ends": 100, "readable": true, "total": total, "last": 74})
    }

    #[test]
    fn sequences_that_were_not_read_are_not_passed() {
        let of = |total| {
            let (known, options) = (Known::plain(), Options::check());
            let cx = Context { known: &known, options: &options };
            runs_out(&cx, Side::Source, &Rows(vec![numbers(total)])).unwrap_or_default()
        };
        assert!(of(1).is_empty());
        let found = of(2001);
        assert!(found[0].is_not_evaluated() && found[0].sentence.contains("2000 were not read"), "{found:?}");
    }
}
