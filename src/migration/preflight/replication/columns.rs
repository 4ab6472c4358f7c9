//! Columns, their types and names: values that mean something on this cluster only, types without a binary form, very wide rows,
//! names that differ only by case, and tables that the target has with other columns.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use super::{Column, size, taken};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human};

pub(super) fn checks() -> Vec<Check> {
    let rows = |code, title, about, explain, query, evaluate| Check {
        code,
        title,
        about,
        grant: CATALOGS,
        explain,
        look: Look::Rows { side: Side::Source, query, evaluate },
    };
    vec![
        rows("F17", "Values of this cluster", "whether columns hold values of this cluster", LOCAL_TEXT, LOCAL, local),
        rows("F18", "Types without a binary form", "which types have no binary form", NO_BINARY_TEXT, NO_BINARY, no_binary),
        rows("F19", "Very wide rows", "whether there are very wide rows", WIDE_TEXT, WIDE, wide),
        rows("F24", "Names that differ by case", "whether names differ only by case", CASE_TEXT, CASE, case_collisions),
        Check {
            code: "F26",
            title: "Tables with other columns",
            about: "whether tables that both have are alike",
            grant: CATALOGS,
            explain: OTHER_COLUMNS_TEXT,
            look: Look::Pair { source: TABLE_COLUMNS, target: TABLE_COLUMNS, evaluate: other_columns },
        },
    ]
}

const LOCAL_TEXT: &str = "\
Some types hold numbers that mean something on one cluster only: xid, xid8, cid, tid, pg_lsn, pg_snapshot and txid_snapshot. \
The values arrive as they are, but on the target they name other transactions, rows and places in the log. Whatever compares \
them with the state of its server, a queue that remembers a snapshot for instance, has to begin again after the cutover.

The types regclass, regtype, regproc, regprocedure, regoper, regoperator, regrole, regnamespace, regcollation, regconfig and \
regdictionary, and aclitem, travel by name. They arrive whole if what they name exists on the target when the row is written; \
otherwise the row is refused.

Store names as text where you can.";

const NO_BINARY_TEXT: &str = "\
Values of these types have no binary form, because their type has no send or no receive function. Tables with such columns are \
copied as text, which is a little slower, and a subscription with (binary = true) fails on them. There is nothing to mend.";

const WIDE_TEXT: &str = "\
A row is moved as one message, and Postgres cannot make one of more than 1 GB. As text a bytea takes twice its size, and its \
quotes and escapes come on top, so a row with 500 MB can be too long already. Logical decoding holds a changed row in memory, \
several times over.

No row is read for this check. It names tables whose TOAST table holds at least 512 MB, and at least 1 MB per row, or for \
which the number of rows is not known. One huge row among millions of small ones is not noticed. The statement of the fix \
tells how wide the widest row is; it reads the table itself, but not what is kept in TOAST.

Where there are such rows, split them, move the contents to object storage, or leave the table out and carry it over in \
another way.";

const CASE_TEXT: &str = "\
Postgres keeps upper and lower case apart in quoted names, so \"Orders\" and orders are two tables. They go over as they are. \
But other tools, drivers and file systems on the way do not always keep them apart, and a person who forgets the quotes reads \
the wrong table and compares the wrong counts.

Renaming one of them avoids this. If nothing but Postgres handles the names, there is nothing to do.";

const OTHER_COLUMNS_TEXT: &str = "\
Both sides have a table of this name, but with other columns: one is missing, or has another type, or is generated on one side \
only. The order of the columns does not matter. Rows cannot be copied into such a table, and a subscription stops at its first \
row.

Often somebody loaded an older definition of the schema. Bring the definitions in line, or use an empty target, for which the \
tables are made from the source's own definitions.";

/// Numbers of this cluster, and names; also in arrays and in domains.
const LOCAL: &str = "
with local(oid, number) as (
  select t.oid, t.typname in ('xid', 'xid8', 'cid', 'tid', 'pg_lsn', 'txid_snapshot', 'pg_snapshot')
    from pg_type t
   where t.typnamespace = 'pg_catalog'::regnamespace
     and t.typname in ('xid', 'xid8', 'cid', 'tid', 'pg_lsn', 'txid_snapshot', 'pg_snapshot', 'aclitem', 'regproc', 'regprocedure',
                       'regoper', 'regoperator', 'regclass', 'regtype', 'regrole', 'regnamespace', 'regcollation', 'regconfig',
                       'regdictionary')
), every(oid, number) as (
  select oid, number from local
  union all
  select t.oid, l.number from pg_type t join local l on l.oid = t.typelem where t.typsubscript = 'array_subscript_handler'::regproc
  union all
  select t.oid, l.number from pg_type t join local l on l.oid = t.typbasetype where t.typtype = 'd'
)
select n.nspname::text as schema, c.relname::text as name, a.attname::text as column, format_type(a.atttypid, null) as detail,
       e.number
  from every e join pg_attribute a on a.atttypid = e.oid join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by e.number desc, n.nspname, c.relname, a.attnum";

#[derive(Deserialize)]
struct Local {
    #[serde(flatten)]
    column: Column,
    /// A number of this cluster, and not a name.
    number: bool,
}

fn local(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let columns = taken(cx, rows, |local: &Local| &local.column.table)?;
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = columns.iter().filter(|column| column.number).count();
    let names = columns.len() - numbers;
    let parts = [
        (numbers, count(numbers, "column holds numbers of this cluster", "columns hold numbers of this cluster")),
        (names, count(names, "column refers to objects by name", "columns refer to objects by name")),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, part)| part).collect();
    let sentence = format!("{}.", parts.join(", and "));
    let why = "Numbers of transactions, rows and places in the log mean something else on the target. Names arrive whole if what \
               they name is there when the row is written.";
    let fix = "See what your application does with these values after the move. Whatever compares them with the state of the \
               server has to begin again; names are safer kept as text.";
    let severity = if numbers > 0 { Severity::Warning } else { Severity::Note };
    let finding = Finding::new("F17", severity, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(columns.iter().map(|column| column.column.label()).collect())])
}

/// An array, a domain or a composite needs a binary form of its parts.
const NO_BINARY: &str = "
with recursive parts(part, whole) as (
  select t.typbasetype, t.oid from pg_type t where t.typtype = 'd'
  union all
  select t.typelem, t.oid from pg_type t where t.typsubscript = 'array_subscript_handler'::regproc
  union all
  select a.atttypid, c.reltype from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.relkind = 'c'
), textual(oid) as (
  select t.oid from pg_type t where t.typtype in ('b', 'c', 'd', 'e', 'm', 'r') and (t.typsend = 0 or t.typreceive = 0)
  union
  select p.whole from textual t join parts p on p.part = t.oid
)
select n.nspname::text as schema, c.relname::text as name, a.attname::text as column, format_type(a.atttypid, null) as detail
  from textual t join pg_attribute a on a.atttypid = t.oid join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname, a.attnum";

fn no_binary(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let columns = taken(cx, rows, Column::table)?;
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} a type without a binary form.", count(columns.len(), "column has", "columns have"));
    let why = "Their tables are copied as text, which is a little slower, and a subscription with (binary = true) fails on them.";
    let finding = Finding::new("F18", Severity::Note, Side::Source.name(), sentence, why);
    let fix = "Nothing; do not set binary for a subscription that you make yourself.";
    Ok(vec![finding.with_fix(fix).with_objects(columns.iter().map(Column::label).collect())])
}

/// By sizes only; the number of rows is an estimate, and -1 where there is none. How wide a value is can be told without reading what
/// is kept in TOAST.
const WIDE: &str = "
select 'table' as kind, w.nspname::text as schema, w.relname::text as name, w.reltuples::int8 as rows, w.toast as bytes,
       (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
         where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped and a.attlen = -1
           and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'bytea'::regtype)) as raw,
       (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
         where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped and a.attlen = -1
           and a.atttypid not in ('text'::regtype, 'varchar'::regtype, 'bytea'::regtype)) as stored
  from (
    select c.oid, n.nspname, c.relname, c.reltuples, pg_relation_size(c.reltoastrelid) as toast
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_class t on t.oid = c.reltoastrelid
     where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  ) w
 where w.toast >= 512 * 1024 * 1024::int8 and w.toast >= w.reltuples * 1024 * 1024
 order by w.toast desc, w.nspname, w.relname";

#[derive(Deserialize)]
struct Wide {
    #[serde(flatten)]
    object: Object,
    /// About how many; -1 if not known.
    rows: i64,
    bytes: i64,
    /// Columns whose length in bytes tells their width.
    raw: Option<Vec<String>>,
    /// Columns of which only the stored, perhaps compressed, size can be told without reading them.
    stored: Option<Vec<String>>,
}

fn wide(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let tables = taken(cx, rows, |wide: &Wide| &wide.object)?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let label = |wide: &Wide| {
        let of = if wide.rows < 0 { "an unknown number of rows".to_owned() } else { format!("about {} rows", wide.rows) };
        Object { detail: Some(format!("{} in TOAST, {of}", size(wide.bytes))), ..wide.object.clone() }.label()
    };
    let sentence = format!("{} very wide rows.", count(tables.len(), "table may have", "tables may have"));
    let why = "A row of more than 1 GB as text cannot be moved, and bytea doubles as text; wide rows also take memory several \
               times over while they are replicated.";
    let sql: Vec<String> = tables.iter().map(widest).collect();
    let words = "See how wide the widest row of each is; this reads the table, but not what is in TOAST. If one comes near 500 \
                 MB, split it, or leave the table out and carry it over in another way";
    let finding = Finding::new("F19", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(tables.iter().map(label).collect())])
}

/// The query that tells how many bytes the widest row has.
fn widest(wide: &Wide) -> String {
    let of = |function: &str, columns: &Option<Vec<String>>| -> Vec<String> {
        let columns = columns.iter().flatten();
        columns.map(|column| format!("coalesce({function}({}), 0)::int8", Ident::new(column))).collect()
    };
    let mut widths = of("octet_length", &wide.raw);
    widths.extend(of("pg_column_size", &wide.stored));
    format!("select max({}) as bytes from only {};", widths.join(" + "), wide.object.sql())
}

/// Schemas, and what shares one space of names in a schema, and columns of one table.
const CASE: &str = "
with names as (
  select 'schema' as kind, ''::text as schema, ''::text as owner, n.nspname::text as name from pg_namespace n
   where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  union all
  select 'relation', n.nspname::text, '', c.relname::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  union all
  select 'column', n.nspname::text, c.relname::text, a.attname::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
   where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
     and n.nspname <> 'information_schema'
), mixed as (
  select kind, schema, owner, lower(name) as folded from names group by 1, 2, 3, 4 having count(*) > 1
)
select n.kind as what, n.schema, n.owner, n.name
  from names n join mixed m on m.kind = n.kind and m.schema = n.schema and m.owner = n.owner and m.folded = lower(n.name)
 order by n.kind collate \"C\" desc, n.schema collate \"C\", n.owner collate \"C\",
          lower(n.name) collate \"C\", n.name collate \"C\"";

#[derive(Deserialize)]
struct Named {
    what: String,
    /// Empty for schemas.
    schema: String,
    /// The table of a column.
    owner: String,
    name: String,
}

impl Named {
    fn is_taken(&self, cx: &Context<'_>) -> bool {
        match self.what.as_str() {
            "schema" => cx.options.scope.may_match_schema(&self.name) && !cx.is_platform(&self.name),
            "column" => cx.takes(&self.schema, &self.owner),
            _ => cx.takes(&self.schema, &self.name),
        }
    }

    fn label(&self) -> String {
        match self.what.as_str() {
            "schema" => format!("schema {}", human(&self.name)),
            "column" => format!("column {}.{}", qualified(&self.schema, &self.owner), human(&self.name)),
            _ => qualified(&self.schema, &self.name),
        }
    }
}

fn case_collisions(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut names: Vec<Named> = rows.parse()?;
    names.retain(|named| named.is_taken(cx));
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} from another only by upper and lower case.", count(names.len(), "name differs", "names differ"));
    let why = "Postgres keeps them apart, but people who forget the quotes, and some tools and file systems, do not.";
    let fix = "Nothing, if nothing but Postgres handles these names. Otherwise rename one of each (alter table … rename to …), \
               together with the application.";
    let finding = Finding::new("F24", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(names.iter().map(Named::label).collect())])
}

/// Each table with its columns and what they are. An extension may be in another schema on the other side.
const TABLE_COLUMNS: &str = "
with types as materialized (
  select t.oid, coalesce(nullif(t.typelem, 0), t.oid) in (
           select d.objid from pg_depend d where d.classid = 'pg_type'::regclass and d.deptype = 'e') as of_extension
    from pg_type t
)
select 'table' as kind, n.nspname::text as schema, c.relname::text as name,
       jsonb_object_agg(
         a.attname::text,
         case when t.of_extension then regexp_replace(format_type(a.atttypid, a.atttypmod), '^.*\\.', '')
              else format_type(a.atttypid, a.atttypmod) end
           || case when a.attgenerated <> '' then ', generated' else '' end
       ) filter (where a.attnum is not null) as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join types t on t.oid = a.atttypid
 where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 group by n.nspname, c.relname
 order by n.nspname, c.relname";

#[derive(Deserialize)]
struct Columns {
    #[serde(flatten)]
    object: Object,
    /// Their types by name; nothing for a table without columns.
    columns: Option<BTreeMap<String, String>>,
}

fn other_columns(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    if cx.options.replace_target {
        return Ok(Vec::new());
    }
    let on_target: Vec<Columns> = target.parse()?;
    let key = |table: &Columns| (table.object.schema.clone(), table.object.name.clone());
    let on_target: BTreeMap<_, _> = on_target.into_iter().map(|table| (key(&table), table.columns.unwrap_or_default())).collect();
    let mut labels = Vec::new();
    for table in taken(cx, source, |table: &Columns| &table.object)? {
        let Some(there) = on_target.get(&key(&table)) else { continue };
        if let Some(detail) = difference(&table.columns.clone().unwrap_or_default(), there) {
            labels.push(format!("{} ({detail})", table.object.label()));
        }
    }
    if labels.is_empty() {
        return Ok(Vec::new());
    }
    let sentence =
        format!("{} on the target with other columns than on the source.", count(labels.len(), "table is", "tables are"));
    let why = "Rows cannot be copied or replicated into a table that lacks their columns or has other types for them.";
    let fix = "Bring the definitions in line (alter table on the target), or use an empty database, for which the tables are \
               made from the source's definitions.";
    Ok(vec![Finding::new("F26", Severity::Blocker, Side::Target.name(), sentence, why).with_fix(fix).with_objects(labels)])
}

/// The first three columns that differ, for people.
fn difference(source: &BTreeMap<String, String>, target: &BTreeMap<String, String>) -> Option<String> {
    let mut differing: Vec<String> = Vec::new();
    for (column, here) in source {
        match target.get(column) {
            None => differing.push(format!("{} is missing there", human(column))),
            Some(there) if there != here => differing.push(format!("{} is {here} here, {there} there", human(column))),
            Some(_) => {}
        }
    }
    differing.extend(
        target.keys().filter(|column| !source.contains_key(*column)).map(|column| format!("{} is only there", human(column))),
    );
    let more = differing.len().saturating_sub(3);
    differing.truncate(3);
    match (differing.is_empty(), more) {
        (true, _) => None,
        (_, 0) => Some(differing.join("; ")),
        _ => Some(format!("{}; and {more} more", differing.join("; "))),
    }
}
