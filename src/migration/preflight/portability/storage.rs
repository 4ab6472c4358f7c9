//! Where and how data is stored, and what is attached to objects.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{human, human_line, literal};

pub(super) fn checks() -> Vec<Check> {
    let check = |code, title, about, explain, look| Check { code, title, about, grant: CATALOGS, explain, look };
    let rows = |query, evaluate| Look::Rows { side: Side::Source, query, evaluate };
    vec![
        check("G7", "Tablespaces", "which tablespaces are used", TABLESPACES_TEXT, rows(TABLESPACES, tablespaces)),
        check("G8", "Labels and default privileges", "what is attached to objects", LABELS_TEXT, rows(LABELS, labels)),
        check("G16", "Large special indexes", "how large indexes are", INDEXES_TEXT, rows(INDEXES, indexes)),
        check("G18", "Many relations", "how many relations there are", MANY_TEXT, rows(MANY, many)),
        check("G18", "Other databases", "which other databases there are", MANY_TEXT, rows(DATABASES, databases)),
        check("G19", "Table access methods", "how tables are stored", STORED_TEXT, rows(METHODS, methods)),
        check(
            "G19",
            "Table access methods of the target",
            "whether the target has the access methods of tables",
            STORED_TEXT,
            Look::Pair { source: METHODS, target: METHODS_KNOWN, evaluate: methods_missing },
        ),
        check(
            "G19",
            "lz4 compression",
            "whether the target knows lz4",
            STORED_TEXT,
            Look::Pair { source: LZ4_COLUMNS, target: LZ4_KNOWN, evaluate: lz4 },
        ),
    ]
}

const TABLESPACES_TEXT: &str = "\
Tables, materialized views and indexes are named that are stored in a tablespace other than the default one.

A tablespace is a directory of the server's machine. A migration does not carry it over: on the target everything is created in \
the default tablespace of its database, which is all there is on Neon. Nothing is lost by that.

If the tablespace was made for speed, see that the target is fast enough as a whole. If it was made for room, see that the \
target has room for everything together.";

const LABELS_TEXT: &str = "\
Security labels belong to a module such as sepgsql or one that masks columns, and are created only where that module is \
loaded. Default privileges (alter default privileges) say what roles may do with objects that will be created later. Both are \
looked for in this database.

Security labels are not carried over. Default privileges go with the other privileges, and are void for roles that do not exist \
on the target.

Set security labels again after the migration, if the target has the module; if a label hides something, do so before anybody \
connects. Look through the default privileges with \\ddp in psql on both sides.";

const INDEXES_TEXT: &str = "\
Indexes of other kinds than btree are named that are 10 GB and more, by the page count that the last vacuum or analyze noted.

Indexes are built anew on the target, and such an index (gin, gist, hnsw and so on) takes far longer to build than to copy: hours are \
not unusual, and it is often the longest step of a migration. Some are built by a single process only.

Give the target much maintenance_work_mem and a large compute for the time of the migration, and plan for the build when you \
choose the time of the cutover. An index that nobody uses (pg_stat_user_indexes.idx_scan) can be dropped before.

Named as well are indexes that are the same as another one of their table in all but the name: columns, expressions, order, operator \
classes, collations and condition. Of each set the one that belongs to a constraint stays, then a unique one, then one that is the \
replica identity or by which the table was clustered, then the oldest. The statements drop the others; each waits for transactions \
that use the table, and keeps nobody from it.";

const MANY_TEXT: &str = "\
Relations are tables, partitions, indexes, views, sequences and TOAST tables of this database. More than 50,000 of them are \
told. The other databases of the server are told by their names, but for templates, postgres and those of providers.

With very many relations it takes minutes to read and to create the schema, however little data there is, and pg_dump locks \
every table while it reads. One migration carries over one database: the others stay where they are, and are migrated one \
by one.

Do not forget the others when you plan to switch off the server, and see in postgres too, if anybody ever put tables there.";

const STORED_TEXT: &str = "\
Tables and materialized views with another table access method than heap are named; columnar storage is an example. So are \
columns that are compressed with lz4, if the target does not know lz4; Neon does.

A table access method comes with an extension, and the table can be created only where that extension is. With a target that \
was built without lz4, the statement that sets the compression of a column fails, and with it the table. A copy stops at a table that \
cannot be created.

Create the extension on the target before, if it has it. Otherwise, store the table as heap (alter table … set access method \
heap, from Postgres 15 on), which rewrites and locks it.";

/// Relations outside the database's default tablespace have its number.
const TABLESPACES: &str = "
select case c.relkind when 'i' then 'index' when 'I' then 'index' when 'm' then 'materialized view' else 'table' end as kind,
       n.nspname::text as schema, c.relname::text as name, s.spcname::text as detail
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_tablespace s on s.oid = c.reltablespace
 where c.relkind in ('r', 'p', 'm', 'i', 'I') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
 order by n.nspname, c.relname";

fn tablespaces(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} in other tablespaces.", count(found.len(), "relation is stored", "relations are stored"));
    let why = "Tablespaces are not carried over: on the target everything is in the default one. Nothing is lost by that.";
    let finding = Finding::new("G7", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_objects(found.iter().map(Object::label).collect())])
}

const LABELS: &str = "
select 'security label on ' || l.objtype as kind, null::text as schema, coalesce(l.objname, '') as name, l.provider as detail
  from pg_seclabels l
 where l.objtype <> 'database' or l.objoid = (select oid from pg_database where datname = current_database())
union all
select 'default privileges of', n.nspname::text, r.rolname::text,
       case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
                            when 'n' then 'schemas' else 'large objects' end
  from pg_default_acl d join pg_roles r on r.oid = d.defaclrole left join pg_namespace n on n.oid = d.defaclnamespace
 where not exists (select from pg_depend p
                    where p.classid = 'pg_default_acl'::regclass and p.objid = d.oid and p.deptype = 'e')
 order by 1 desc, 2 nulls first, 3, 4";

/// Names of labelled objects come from the server ready for people, and those of default privileges are roles, with the schema that
/// they are limited to.
fn labels(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut found: Vec<Object> = rows.parse()?;
    found.retain(|one| one.schema.as_ref().is_none_or(|schema| !cx.is_platform(schema)));
    let label = |one: &Object| {
        let (kind, detail) = (one.kind.as_deref().unwrap_or_default(), one.detail.as_deref().unwrap_or_default());
        if kind.starts_with("security") {
            return format!("{kind} {} ({})", human_line(&one.name), human(detail));
        }
        let schema = one.schema.as_ref().map(|schema| format!(" in schema {}", human(schema))).unwrap_or_default();
        format!("{kind} {}{schema} ({detail})", human(&one.name))
    };
    let is_label = |one: &&Object| one.kind.as_deref().is_some_and(|kind| kind.starts_with("security"));
    let (labels, privileges): (Vec<&Object>, Vec<&Object>) = found.iter().partition(is_label);
    let finding = |objects: &[&Object], sentence: String, why: &str| {
        let finding = Finding::new("G8", Severity::Note, side.name(), sentence, why);
        finding.with_objects(objects.iter().map(|one| label(one)).collect())
    };
    let mut findings = Vec::new();
    if !labels.is_empty() {
        let sentence = format!("{} set.", count(labels.len(), "security label is", "security labels are"));
        let why = "Security labels are not carried over, as they are void without the module that gives them a meaning.";
        let fix = "If the target has that module, set them again after the migration, before anybody connects.";
        findings.push(finding(&labels, sentence, why).with_fix(fix));
    }
    if !privileges.is_empty() {
        let sentence = format!("{} set.", count(privileges.len(), "default privilege is", "default privileges are"));
        let why = "They decide who may use what is created later, and are carried over only together with the other privileges.";
        let fix = "Compare the output of \\ddp in psql on both sides after the migration.";
        findings.push(finding(&privileges, sentence, why).with_fix(fix));
    }
    Ok(findings)
}

/// By pages of 8 kB that were noted, so that no file has to be looked at.
const INDEXES: &str = "
select 'index' as kind, n.nspname::text as schema, c.relname::text as name, a.amname::text as detail, c.relpages::int8 * 8 as kb
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
 where c.relkind = 'i' and a.amname not in ('btree', 'brin') and c.relpages >= 10 * 1024 * 128
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
 order by c.relpages desc, n.nspname, c.relname";

#[derive(Deserialize)]
struct Sized {
    #[serde(flatten)]
    object: Object,
    kb: i64,
}

fn indexes(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut found: Vec<Sized> = rows.parse()?;
    found.retain(|one| one.object.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.object.name)));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |one: &Sized| format!("{}, {} GB", one.object.label(), one.kb >> 20);
    let sentence =
        format!("{} large.", count(found.len(), "index of another kind than btree is", "indexes of other kinds than btree are"));
    let why = "Indexes are built anew on the target, and such an index takes far longer to build than to copy.";
    let fix = "Give the target much maintenance_work_mem and a large compute for the time of the migration.";
    let finding = Finding::new("G16", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(label).collect())])
}

/// From how many relations on their number is told.
const RELATIONS_MAX: i64 = 50_000;

const MANY: &str = "select count(*) as relations from pg_class where oid >= 16384";

#[derive(Deserialize)]
struct Many {
    relations: i64,
}

fn many(_: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(Many { relations }) = rows.first()?.filter(|many: &Many| many.relations > RELATIONS_MAX) else {
        return Ok(Vec::new());
    };
    let sentence = format!("There are {relations} relations.");
    let why = "It takes minutes to read and to create so large a schema, however little data there is.";
    Ok(vec![Finding::new("G18", Severity::Note, side.name(), sentence, why)])
}

const DATABASES: &str = "
select d.datname::text as name from pg_database d
 where d.datallowconn and not d.datistemplate and d.datname <> current_database()
   and d.datname not in ('postgres', 'rdsadmin', 'cloudsqladmin', 'alloydbadmin', 'azure_maintenance', 'azure_sys', '_dodb')
 order by d.datname";

fn databases(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("The server has {}.", count(found.len(), "other database", "other databases"));
    let why = "One migration carries over one database; the others stay where they are.";
    let finding = Finding::new("G18", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_objects(found.iter().map(Object::label).collect())])
}

const METHODS: &str = "
select case c.relkind when 'm' then 'materialized view' else 'table' end as kind,
       n.nspname::text as schema, c.relname::text as name, a.amname::text as detail
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
 where c.relkind in ('r', 'p', 'm') and a.amname <> 'heap' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname";

/// With a target that can be asked, it is asked.
fn methods(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() || cx.known.target.is_some() && !cx.known.assumed {
        return Ok(Vec::new());
    }
    let sentence = format!("{} otherwise than as heap.", count(found.len(), "table is stored", "tables are stored"));
    let why = "They can be created only on a server that has the same table access method.";
    Ok(vec![stored_as_heap(cx, Finding::new("G19", Severity::Warning, side.name(), sentence, why), &found)])
}

const METHODS_KNOWN: &str = "select a.amname::text as name from pg_am a order by a.amname";

fn methods_missing(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let there: BTreeSet<String> = target.parse::<Object>()?.into_iter().map(|method| method.name).collect();
    let mut found = cx.objects(source)?;
    found.retain(|table| table.detail.as_ref().is_some_and(|method| !there.contains(method)));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("The target lacks the access method of {}.", count(found.len(), "table", "tables"));
    let why = "The table cannot be created there, and the copy would stop before any row is moved.";
    Ok(vec![stored_as_heap(cx, Finding::new("G19", Severity::Blocker, Side::Target.name(), sentence, why), &found)])
}

fn stored_as_heap(cx: &Context<'_>, finding: Finding, found: &[Object]) -> Finding {
    let finding = finding.with_objects(found.iter().map(Object::label).collect());
    let first_words = "Create the extension that brings the access method on the target";
    // Before Postgres 15 there is no statement for it.
    if cx.source().version.major() < 15 {
        let words = "or make a new table with using heap, and copy the rows into it.";
        return finding.with_fix(format!("{first_words}, {words}"));
    }
    let heap = |one: &Object| format!("alter {} {} set access method heap;", one.kind.as_deref().unwrap_or("table"), one.sql());
    let sql: Vec<String> = found.iter().map(heap).collect();
    let words = format!("{first_words}, or store the tables of the source as heap, which rewrites each and locks it meanwhile");
    finding.with_fix(fix_sql(&words, &sql))
}

const LZ4_COLUMNS: &str = "
select case c.relkind when 'm' then 'materialized view' else 'table' end as kind, n.nspname::text as schema, c.relname::text as name,
       string_agg(a.attname::text, ', ' order by a.attnum) as detail
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
 where a.attcompression = 'l' and not a.attisdropped and c.relkind in ('r', 'p', 'm')
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
 group by c.relkind, n.nspname, c.relname order by n.nspname, c.relname";

const LZ4_KNOWN: &str = "select 'lz4' = any (enumvals) as known from pg_settings where name = 'default_toast_compression'";

#[derive(Deserialize)]
struct Lz4 {
    known: bool,
}

fn lz4(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let found = cx.objects(source)?;
    let known = target.first()?.is_some_and(|lz4: Lz4| lz4.known);
    if found.is_empty() || known {
        return Ok(Vec::new());
    }
    let sentence = format!("The target does not know lz4, with which {} compressed.", count(found.len(), "table is", "tables are"));
    let why = "The statement that sets the compression is part of the table's definition: the table cannot be created there, and the copy \
               would stop before any row is moved.";
    let sql = |one: &Object| {
        format!(
            "select format('alter table %s alter %I set compression default;', attrelid::regclass, attname) from pg_attribute \
                 where attrelid = {}::regclass and attcompression = 'l' \\gexec",
            literal(&one.sql())
        )
    };
    let words = "Use a target that was built with lz4, or let the source use the default compression for these columns, which changes \
                 nothing in what is stored already (a short lock per table)";
    let sql: Vec<String> = found.iter().map(sql).collect();
    let finding = Finding::new("G19", Severity::Blocker, Side::Target.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(Object::label).collect())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    fn with<T>(evaluate: impl FnOnce(&Context<'_>) -> T) -> T {
        let (known, options) = (Known::plain(), Options::check());
        evaluate(&Context { known: &known, options: &options })
    }

    #[test]
    fn many_relations_and_large_special_indexes_are_told() {
        let of =
            |relations: i64| with(|cx| many(cx, Side::Source, &Rows(vec![json!({"relations": relations})])).unwrap_or_default());
        assert!(of(RELATIONS_MAX).is_empty());
        assert_eq!(of(RELATIONS_MAX + 1)[0].sentence, "There are 50001 relations.");
        let row = json!({"kind": "index", "schema": "app", "name": "Fo.und", "detail": "gin", "kb": 25_i64 << 20});
        let found = with(|cx| indexes(cx, Side::Source, &Rows(vec![row])).unwrap_or_default());
        assert_eq!(found[0].objects, ["index app.\"Fo.und\" (gin), 25 GB"]);
    }

    #[test]
    fn lz4_matters_only_where_it_is_not_known() {
        let columns = || Rows(vec![json!({"kind": "table", "schema": "app", "name": "T", "detail": "a, b"})]);
        let of = |source: Rows, known: bool| with(|cx| lz4(cx, &source, &Rows(vec![json!({"known": known})])).unwrap_or_default());
        assert!(of(columns(), true).is_empty());
        assert!(of(Rows::default(), false).is_empty());
        assert_eq!(of(columns(), false)[0].objects, ["table app.\"T\" (a, b)"]);
    }
}
