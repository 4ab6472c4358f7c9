//! What logical replication does not carry: unlogged tables, large objects, materialized views, foreign tables.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::{Column, size, taken};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human;

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
        rows("F4", "Unlogged tables", "whether there are unlogged tables", UNLOGGED_TEXT, UNLOGGED, unlogged),
        rows("F6", "Large objects", "whether there are large objects", LARGE_OBJECTS_TEXT, LARGE_OBJECTS, large_objects),
        rows("F9", "Materialized views", "whether there are materialized views", MATVIEWS_TEXT, MATVIEWS, matviews),
        rows("F10", "Foreign tables", "whether there are foreign tables and user mappings", FOREIGN_TEXT, FOREIGN, foreign),
    ]
}

const UNLOGGED_TEXT: &str = "\
Unlogged tables leave no trace in the WAL, so logical replication cannot see what happens to them, and a publication does not \
take them. Their rows are copied once, and whatever changes afterwards stays on the source.

A table that has to follow can be made an ordinary one on the source with alter table … set logged. This rewrites the table \
and keeps everybody else out of it meanwhile. Where the rows can be made again (caches, queues, sessions), nothing has to be \
done; or copy these tables once more while the source is closed to writers.

At Neon an unlogged table is emptied whenever the compute restarts or suspends, so an ordinary one is better there in any \
case.";

const LARGE_OBJECTS_TEXT: &str = "\
Large objects (lo_create, lo_import, the columns of type oid or lo that hold their numbers) are not part of any table, and \
logical replication does not carry them. They are copied once; those that are made, changed or removed afterwards have to be \
brought over while the source is closed to writers.

Large objects that no row refers to any more can be removed before with the client tool vacuumlo. Small ones are often better \
kept in a column of type bytea, which is replicated.";

const MATVIEWS_TEXT: &str = "\
The rows of a materialized view are not copied. They are made again on the target by refresh materialized view, in the order \
in which the views depend on each other; a view that is not populated on the source stays so. How long that takes depends on \
its query and not on its size alone.

Changes of materialized views are not replicated either. While the target follows the source, its views stay as they were when \
they were last refreshed, so they have to be refreshed at the cutover, before applications use them.";

const FOREIGN_TEXT: &str = "\
The rows behind a foreign table are somewhere else and stay there: only the definitions of the foreign server, the table and \
the user mappings can travel. The target has to have the foreign data wrapper, and has to be able to reach the foreign server.

User mappings usually hold a password. Few roles may see it, so it is often not part of a dump. Where it is missing, it has to \
be entered again on the target with alter user mapping. Neon has the wrappers postgres_fdw and no other.";

const UNLOGGED: &str = "
select 'table' as kind, n.nspname::text as schema, c.relname::text as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence = 'u' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname";

fn unlogged(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let tables = cx.objects(rows)?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} unlogged.", count(tables.len(), "table is", "tables are"));
    let why = "Changes of unlogged tables are not in the WAL, so they are not replicated: the rows are copied once, and what \
               changes afterwards is missing on the target.";
    let words = "Leave them if their rows can be made again, or copy them once more at the cutover. To have them replicated, \
                 execute this on the source as their owner; it rewrites each table, and nobody else can use it meanwhile";
    let sql: Vec<String> = tables.iter().map(|table| format!("alter table {} set logged;", table.sql())).collect();
    let finding = Finding::new("F4", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(tables.iter().map(Object::label).collect())])
}

/// How many large objects there are, up to a million and one, and the columns that may hold their numbers. A number without a column
/// comes as a row without one.
const LARGE_OBJECTS: &str = "
select o.total, c.kind, c.schema, coalesce(c.name, '') as name, coalesce(c.column, '') as column, c.detail
  from (select count(*) as total from (select from pg_largeobject_metadata limit 1000001) m) o
  left join (
    select 'table' as kind, n.nspname::text as schema, c.relname::text as name, a.attname::text as column,
           format_type(a.atttypid, null) as detail, a.attnum
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      join pg_type t on t.oid = a.atttypid
     where c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
       and n.nspname <> 'information_schema' and (t.oid = 'oid'::regtype or t.typtype = 'd' and t.typbasetype = 'oid'::regtype)
  ) c on true
 where o.total > 0
 order by c.schema collate \"C\", c.name collate \"C\", c.attnum";

#[derive(Deserialize)]
struct LargeObjects {
    total: usize,
    #[serde(flatten)]
    column: Column,
}

fn large_objects(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<LargeObjects> = rows.parse()?;
    let Some(total) = found.first().map(|row| row.total) else { return Ok(Vec::new()) };
    let columns = found.iter().map(|row| &row.column);
    let columns: Vec<String> = columns
        .filter(|column| column.table.schema.as_ref().is_some_and(|schema| cx.takes(schema, &column.table.name)))
        .map(Column::label)
        .collect();
    let sentence = match total {
        1_000_001.. => "There are more than a million large objects.".to_owned(),
        1 => "There is 1 large object.".to_owned(),
        n => format!("There are {n} large objects."),
    };
    let why = "Large objects are not replicated: they are copied once, and what is made, changed or removed afterwards is \
               missing on the target. The columns that are named, if there are any, may hold their numbers.";
    let fix = "Plan to copy them once more at the cutover, while the source is closed to writers. Those that no row refers to \
               can be removed before with vacuumlo. Contents of moderate size are better off in a column of type bytea.";
    let finding = Finding::new("F6", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(columns)])
}

const MATVIEWS: &str = "
select 'materialized view' as kind, n.nspname::text as schema, c.relname::text as name, c.relispopulated as populated,
       pg_relation_size(c.oid) as bytes
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'm' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by bytes desc, n.nspname, c.relname";

#[derive(Deserialize)]
struct Matview {
    #[serde(flatten)]
    object: Object,
    populated: bool,
    /// Nothing if it was dropped meanwhile.
    bytes: Option<i64>,
}

fn matviews(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let views = taken(cx, rows, |view: &Matview| &view.object)?;
    if views.is_empty() {
        return Ok(Vec::new());
    }
    let label = |view: &Matview| {
        let detail = if view.populated { size(view.bytes.unwrap_or(0)) } else { "not populated".to_owned() };
        Object { detail: Some(detail), ..view.object.clone() }.label()
    };
    let total: i64 = views.iter().filter_map(|view| view.bytes).sum();
    let sentence = format!(
        "There {}, {} in all.",
        if views.len() == 1 { "is 1 materialized view".to_owned() } else { format!("are {} materialized views", views.len()) },
        size(total)
    );
    let why = "Their rows are not copied but made again on the target, which takes as long as their queries take; and they are not \
               replicated, so that they are out of date at the cutover.";
    let fix = "Plan the time to refresh them on the target at the cutover, in the order in which they depend on each other. Drop \
               on the source what nobody uses any more.";
    let finding = Finding::new("F9", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(views.iter().map(label).collect())])
}

/// The view hides the options of mappings from those who may not see them, but never the mappings.
const FOREIGN: &str = "
select 'foreign table' as kind, n.nspname::text as schema, c.relname::text as name,
       s.srvname::text as server, w.fdwname::text as wrapper
  from pg_foreign_table f join pg_class c on c.oid = f.ftrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_foreign_server s on s.oid = f.ftserver join pg_foreign_data_wrapper w on w.oid = s.srvfdw
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select 'user mapping', null, m.usename::text, m.srvname::text, w.fdwname::text
  from pg_user_mappings m join pg_foreign_server s on s.oid = m.srvid join pg_foreign_data_wrapper w on w.oid = s.srvfdw
 order by kind, schema, name, server";

#[derive(Deserialize)]
struct Foreign {
    #[serde(flatten)]
    object: Object,
    server: String,
    wrapper: String,
}

fn foreign(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = taken(cx, rows, |row: &Foreign| &row.object)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |row: &Foreign| {
        let detail = format!("server {} of {}", human(&row.server), human(&row.wrapper));
        Object { detail: Some(detail), ..row.object.clone() }.label()
    };
    let mappings = found.iter().filter(|row| row.object.schema.is_none()).count();
    let tables = found.len() - mappings;
    let parts: Vec<String> = [(tables, "foreign table", "foreign tables"), (mappings, "user mapping", "user mappings")]
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, many)| count(n, one, many))
        .collect();
    let be = if found.len() == 1 || tables == 1 || tables == 0 && mappings == 1 { "is" } else { "are" };
    let sentence = format!("There {be} {}.", parts.join(" and "));
    let why = "The rows behind foreign tables are elsewhere and are neither copied nor replicated, and passwords in user \
               mappings are often not visible to a dump.";
    let fix = "See that the target has the foreign data wrapper and can reach the foreign servers, and be ready to enter the \
               passwords again there (alter user mapping for … server … options (set password '…')). Otherwise leave the tables \
               out with --exclude.";
    let finding = Finding::new("F10", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(label).collect())])
}
