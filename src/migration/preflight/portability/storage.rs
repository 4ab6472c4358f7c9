//! Where and how rows are stored: tablespaces, access methods, compression.

use std::collections::HashSet;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use super::{is_managed, labels};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, QualifiedName, human};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G7",
            title: "Tablespaces",
            about: "which tables and indexes are in tablespaces of their own",
            grant: CATALOGS,
            explain: "Lists tables, indexes and materialized views that are not in the database's default tablespace, and says so if \
                      that default is not pg_default.\n\n\
                      Everything is created in the default tablespace of the target; Neon has no others. No row is lost. If a \
                      tablespace was there for speed or for space, the target needs both in one place.\n\n\
                      Nothing needs to be done. On a server of your own you can move objects after the migration, with alter table … \
                      set tablespace. The statements of the finding do the same on the source ahead of time: each copies the table \
                      or index and keeps everybody from it meanwhile.",
            look: Look::Rows { side: Side::Source, query: TABLESPACES, evaluate: tablespaces },
        },
        Check {
            code: "G19",
            title: "Table access methods",
            about: "how tables are stored",
            grant: CATALOGS,
            explain: "Lists tables and materialized views that are stored by another access method than heap, and columns that are \
                      compressed with lz4, and looks whether the target has the one and was built with the other.\n\n\
                      A table cannot be created with an access method that the target lacks, nor with a compression that it does not \
                      know, and a copy stops there.\n\n\
                      Changing the compression of a column on the source takes a moment's lock; rows that are there stay as they \
                      are and travel well. Changing the access method rewrites the table under a lock that keeps everybody out, and \
                      needs Postgres 15.",
            look: Look::Rows { side: Side::Source, query: ACCESS_METHODS, evaluate: access_methods },
        },
        Check {
            code: "G19",
            title: "Access methods that the target lacks",
            about: "whether the target has the access methods of the source's tables",
            grant: CATALOGS,
            explain: "",
            look: Look::Pair { source: ACCESS_METHODS, target: METHODS, evaluate: missing_methods },
        },
        Check {
            code: "G19",
            title: "Columns compressed with lz4",
            about: "whether the target knows the compression of the source's columns",
            grant: CATALOGS,
            explain: "",
            look: Look::Pair { source: LZ4_COLUMNS, target: COMPRESSIONS, evaluate: lz4_columns },
        },
    ]
}

const TABLESPACES: &str = "
select case c.relkind when 'm' then 'materialized view' when 'i' then 'index' when 'I' then 'index' else 'table' end as kind,
       n.nspname::text as schema, c.relname::text as name, 'in ' || quote_ident(s.spcname) as detail
  from pg_class c join pg_tablespace s on s.oid = c.reltablespace join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'm', 'i', 'I') and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select 'database', null, d.datname::text, 'in ' || quote_ident(s.spcname)
  from pg_database d join pg_tablespace s on s.oid = d.dattablespace
 where d.datname = current_database() and s.spcname <> 'pg_default'
 order by 1, 2, 3";

fn tablespaces(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let objects = cx.objects(rows)?;
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} in a tablespace, which the target does not get.", count(objects.len(), "object is", "objects are"));
    let why = "Everything is created in the target's default tablespace. Nothing is lost, but what lay on other disks for speed or \
               for space lies together there.";
    let movable =
        objects.iter().filter_map(|object| Some((object.kind.as_deref().filter(|kind| *kind != "database")?, object.sql())));
    let sql: Vec<String> = movable.map(|(kind, name)| format!("alter {kind} {name} set tablespace pg_default;")).collect();
    let finding = Finding::new("G7", Severity::Warning, "source", sentence, why).with_objects(labels(&objects));
    if sql.is_empty() {
        return Ok(vec![finding.with_fix("Nothing needs to be done: the target's database has a place of its own.")]);
    }
    let words = "Nothing needs to be done. If the source should be as the target will be, these statements copy each object into \
                 the default tablespace, which keeps everybody from it meanwhile";
    Ok(vec![finding.with_fix(fix_sql(words, &sql))])
}

const ACCESS_METHODS: &str = "
select case c.relkind when 'm' then 'materialized view' else 'table' end as kind, n.nspname::text as schema, c.relname::text as name,
       m.amname::text as detail
  from pg_class c join pg_am m on m.oid = c.relam join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'm') and m.amname <> 'heap' and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 2, 3";

const METHODS: &str = "select m.amname::text as name from pg_am m order by 1";

/// Without a target that can be asked: a managed one has no access methods but those of its extensions.
fn access_methods(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if cx.known.target.is_some() && !cx.known.assumed {
        return Ok(Vec::new());
    }
    let objects = if is_managed(cx) { cx.objects(rows)? } else { Vec::new() };
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} stored by another access method than heap, which the target may not have.",
        count(objects.len(), "table is", "tables are")
    );
    let why = "A table cannot be created with an access method that the target lacks, and the copy stops there.";
    Ok(vec![heap(Finding::new("G19", Severity::Warning, "source", sentence, why), cx, &objects)])
}

fn missing_methods(cx: &Context<'_>, tables: &Rows, methods: &Rows) -> Evaluated {
    let there: HashSet<String> = methods.parse::<Object>()?.into_iter().map(|method| method.name).collect();
    let is_missing = |object: &Object| object.detail.as_ref().is_some_and(|method| !there.contains(method));
    let objects: Vec<Object> = cx.objects(tables)?.into_iter().filter(is_missing).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} stored by an access method that the target lacks.", count(objects.len(), "table is", "tables are"));
    let why = "The table cannot be created there, and the copy stops.";
    Ok(vec![heap(Finding::new("G19", Severity::Blocker, "source", sentence, why), cx, &objects)])
}

fn heap(finding: Finding, cx: &Context<'_>, objects: &[Object]) -> Finding {
    let finding = finding.with_objects(labels(objects));
    if cx.source().version.major() < 15 {
        return finding.with_fix(
            "Copy the rows into tables with the access method heap on the source and rename them (a table's access method can be \
             changed from Postgres 15 on), or leave the tables out with --exclude.",
        );
    }
    let alter =
        |object: &Object| format!("alter {} {} set access method heap;", object.kind.as_deref().unwrap_or("table"), object.sql());
    let words = "Change them on the source (this rewrites each table and its indexes, and keeps everybody from it meanwhile), or \
                 leave the tables out with --exclude";
    finding.with_fix(fix_sql(words, &objects.iter().map(alter).collect::<Vec<_>>()))
}

/// An attribute without a compression of its own takes that of its session when a value is stored, so only those that have one are
/// written into a dump.
const LZ4_COLUMNS: &str = "
select case c.relkind when 'm' then 'materialized view' else 'table' end as kind, n.nspname::text as schema, c.relname::text as name,
       a.attname::text as column
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
 where a.attcompression = 'l' and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
 order by 2, 3, a.attnum";

/// The values that the setting may take tell how the server was built.
const COMPRESSIONS: &str = "
select unnest(s.enumvals) as name from pg_settings s where s.name = 'default_toast_compression'";

#[derive(Deserialize)]
struct Compressed {
    kind: String,
    schema: String,
    name: String,
    column: String,
}

fn lz4_columns(cx: &Context<'_>, columns: &Rows, compressions: &Rows) -> Evaluated {
    if compressions.parse::<Object>()?.iter().any(|compression| compression.name == "lz4") {
        return Ok(Vec::new());
    }
    let columns: Vec<Compressed> = columns.parse()?;
    let columns: Vec<Compressed> = columns.into_iter().filter(|column| cx.takes(&column.schema, &column.name)).collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let label = |c: &Compressed| format!("column {}.{}", qualified(&c.schema, &c.name), human(&c.column));
    let alter = |c: &Compressed| {
        let table = QualifiedName::new(&c.schema, &c.name);
        format!("alter {} {table} alter column {} set compression pglz;", c.kind, Ident::new(&c.column))
    };
    let sentence = format!(
        "{} compressed with lz4, which the target's server was built without.",
        count(columns.len(), "column is", "columns are")
    );
    let why = "The table cannot be created there with this compression, and the copy stops.";
    let words = "Change it on the source; this needs a moment's lock on each table, and what is stored already stays as it is";
    let finding = Finding::new("G19", Severity::Blocker, "source", sentence, why);
    let finding = finding.with_fix(fix_sql(words, &columns.iter().map(alter).collect::<Vec<_>>()));
    Ok(vec![finding.with_objects(columns.iter().map(label).collect())])
}

#[cfg(test)]
mod tests {
    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    /// Servers of the tests are built without lz4, so no real source has such a column.
    #[test]
    fn lz4_stands_in_the_way_only_where_the_target_lacks_it() {
        let known = Known::plain();
        let cx = Context { known: &known, options: &Options::check() };
        let columns = Rows(vec![
            serde_json::json!({"kind": "table", "schema": "app", "name": "It's \"q", "column": "Big.one"}),
            serde_json::json!({"kind": "materialized view", "schema": "app", "name": "m", "column": "b"}),
        ]);
        let known_there = |names: &[&str]| Rows(names.iter().map(|name| serde_json::json!({"name": name})).collect());
        let found = lz4_columns(&cx, &columns, &known_there(&["pglz"])).unwrap_or_default();
        assert_eq!(found[0].severity, Severity::Blocker);
        assert_eq!(found[0].objects, [r#"column app."It's ""q"."Big.one""#, "column app.m.b"]);
        let fix = found[0].fix.clone().unwrap_or_default();
        let statements: Vec<&str> = fix.lines().skip(1).collect();
        assert_eq!(
            statements,
            [
                r#"alter table "app"."It's ""q" alter column "Big.one" set compression pglz;"#,
                r#"alter materialized view "app"."m" alter column "b" set compression pglz;"#
            ]
        );
        assert!(lz4_columns(&cx, &columns, &known_there(&["pglz", "lz4"])).is_ok_and(|found| found.is_empty()));
        assert!(lz4_columns(&cx, &Rows::default(), &known_there(&["pglz"])).is_ok_and(|found| found.is_empty()));
    }
}
