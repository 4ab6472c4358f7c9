//! What there is to move: kinds of objects, the largest tables, sequences near their end.

use serde::Deserialize;

use super::answer::{Answers, undecodable};
use super::check::qualified;
use crate::engine::checkup::{Holdings, TopTable, UsedSequence};
use crate::pg::error::PgError;

/// How many tables and sequences are named.
const NAMED: usize = 20;

/// Objects by kind; what extensions brought along is theirs.
const OBJECTS: &str = "
with members as (
  select classid, objid from pg_depend where deptype = 'e'
), mine as (
  select oid from pg_namespace n where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)
select kind, count(*) as number from (
  select case when c.relkind = 'r' and c.relispartition then 'partitions'
              when c.relkind in ('r', 'p') then 'tables' when c.relkind = 'v' then 'views'
              when c.relkind = 'm' then 'materialized views' when c.relkind = 'S' then 'sequences'
              when c.relkind in ('i', 'I') then 'indexes' when c.relkind = 'f' then 'foreign tables' else 'composite types' end as kind
    from pg_class c
   where c.relkind in ('r', 'p', 'v', 'm', 'S', 'i', 'I', 'f', 'c') and c.relnamespace in (select oid from mine)
     and not exists (select from members e where e.classid = 'pg_class'::regclass and e.objid = c.oid)
  union all
  select case when o.contype = 'f' then 'foreign keys' else 'check constraints' end
    from pg_constraint o where o.contype in ('f', 'c') and o.conrelid <> 0 and o.connamespace in (select oid from mine)
  union all
  select 'functions' from pg_proc p where p.pronamespace in (select oid from mine)
     and not exists (select from members e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)
  union all
  select 'enums, domains and other types' from pg_type t
   where t.typnamespace in (select oid from mine) and t.typtype in ('e', 'd', 'r') 
     and not exists (select from members e where e.classid = 'pg_type'::regclass and e.objid = t.oid)
  union all
  select 'triggers' from pg_trigger t where not t.tgisinternal
  union all
  select 'policies' from pg_policy
  union all
  select 'extensions' from pg_extension where extname <> 'plpgsql'
  union all
  select 'schemas' from mine
) o
group by kind order by count(*) desc, kind";

/// The largest tables. Which ones these are is told by the number of pages at the last vacuum or analyze, so that not every file of a
/// large catalog is looked at; their sizes are exact.
const TOP_TABLES: &str = "
with candidates as (
  select c.oid, c.relname, n.nspname, c.reltuples, c.reltoastrelid,
         c.relpages::int8 + coalesce(t.relpages, 0) as pages
    from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_class t on t.oid = c.reltoastrelid
   where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   order by pages desc limit 200
)
select nspname::text as schema, relname::text as name,
       case when reltuples >= 0 then reltuples::int8 end as rows, pg_relation_size(oid) as heap,
       coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) as toast, pg_indexes_size(oid) as indexes
  from candidates order by pg_total_relation_size(oid) desc, 1, 2 limit 20";

/// Sequences, and whole-number columns that take their values from one: the nearer end counts.
const SEQUENCES: &str = "
select n.nspname::text as schema, c.relname::text as name, s.last_value::text as last_value,
       least(s.max_value, m.max)::text as max_value,
       floor(100.0 * s.last_value / least(s.max_value, m.max))::int as percent
  from pg_sequences s
  join pg_namespace n on n.nspname = s.schemaname join pg_class c on c.relnamespace = n.oid and c.relname = s.sequencename
  left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
       and d.deptype in ('a', 'i') and d.refobjsubid > 0
  left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  left join (values ('int2'::regtype::oid, 32767::int8), ('int4'::regtype, 2147483647)) m (type, max) on m.type = a.atttypid
 where s.last_value is not null and s.increment_by > 0 and not s.cycle
   and s.last_value > 0.5 * least(s.max_value, m.max)
 order by percent desc, 1, 2 limit 20";

/// The questions, for the script of [`super::metadata`].
pub(super) const QUESTIONS: [(&str, &str); 3] = [
    ("How many objects of each kind there are", OBJECTS),
    ("The largest tables", TOP_TABLES),
    ("Sequences that are more than half used up", SEQUENCES),
];

#[derive(Deserialize)]
struct Kind {
    kind: String,
    number: u64,
}

#[derive(Deserialize)]
struct Table {
    schema: String,
    name: String,
    rows: Option<u64>,
    heap: u64,
    toast: u64,
    indexes: u64,
}

#[derive(Deserialize)]
struct Sequence {
    schema: String,
    name: String,
    last_value: String,
    max_value: String,
    percent: u32,
}

/// Lists what there is; nothing if the server refuses to tell the kinds.
pub(super) async fn list(source: Answers<'_>) -> Result<Option<Holdings>, PgError> {
    let Some(kinds) = source.ask(OBJECTS).await? else { return Ok(None) };
    let tables = source.ask(TOP_TABLES).await?.unwrap_or_default();
    let sequences = source.ask(SEQUENCES).await?.unwrap_or_default();
    let mut holdings = Holdings::default();
    for Kind { kind, number } in kinds.parse().map_err(undecodable)? {
        holdings.objects.push((kind, number));
    }
    for table in tables.parse::<Table>().map_err(undecodable)?.into_iter().take(NAMED) {
        holdings.top_tables.push(TopTable {
            name: qualified(&table.schema, &table.name),
            rows: table.rows,
            heap_bytes: table.heap,
            toast_bytes: table.toast,
            index_bytes: table.indexes,
        });
    }
    for sequence in sequences.parse::<Sequence>().map_err(undecodable)?.into_iter().take(NAMED) {
        holdings.sequences.push(UsedSequence {
            name: qualified(&sequence.schema, &sequence.name),
            percent: sequence.percent,
            last_value: sequence.last_value,
            max_value: sequence.max_value,
        });
    }
    Ok(Some(holdings))
}
