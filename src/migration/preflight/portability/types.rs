//! Types, casts, operators and text search: what only a superuser may create.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count};
use super::{Routine, is_managed, labels, schema_objects, takes_schema};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G4",
            title: "Casts of built-in types",
            about: "which casts were made by hand",
            grant: CATALOGS,
            explain: "Lists casts that are not part of an extension and that only a superuser may create: those without a function, \
                      and those between two types that came with Postgres.\n\n\
                      A cast belongs to nobody; creating one takes the ownership of one of its types. Where the target's role is no \
                      superuser it is left out by name, and so are views and defaults that need it. Queries that rely on it fail \
                      with an error.\n\n\
                      Write the conversion into the queries instead: call the function, or cast by way of text.",
            look: Look::Rows { side: Side::Source, query: CASTS, evaluate: casts },
        },
        Check {
            code: "G5",
            title: "Text search",
            about: "which text search objects need files or a superuser",
            grant: CATALOGS,
            explain: "Lists text search parsers and templates, which only a superuser may create, and dictionaries that read files of \
                      the server (Ispell, Hunspell, synonyms, thesauri).\n\n\
                      Where the target's role is no superuser, parsers and templates are left out by name, with the configurations \
                      and indexes that need them. A dictionary whose files are not on the target's server cannot be created and is \
                      left out too. Managed servers take no files.\n\n\
                      Base the configurations on what the target has, such as the built-in parser and the snowball dictionaries, and \
                      build the columns and indexes that use them anew; or use a target whose server has the files.",
            look: Look::Rows { side: Side::Source, query: TEXT_SEARCH, evaluate: text_search },
        },
        Check {
            code: "G6",
            title: "Types and operators only a superuser may create",
            about: "which types, operator classes, access methods and wrappers were made by hand",
            grant: CATALOGS,
            explain: "Lists base types (made of functions that read and write their values), operator classes, access methods and \
                      foreign data wrappers that are not part of an extension. Domains, enums, composite types and ranges are not \
                      meant: everybody may create those.\n\n\
                      Where the target's role is no superuser, they are left out by name, with the indexes and foreign servers that \
                      need them. A table with a column of such a type cannot be created without it, and the copy stops: then this is a \
                      blocker.\n\n\
                      Give the columns a type that comes with Postgres or with an extension of the target, or leave the tables out \
                      with --exclude. If the type belongs to an extension that was installed by hand, install the extension itself on \
                      the source (create extension … ), so that it can be looked for on the target.",
            look: Look::Rows { side: Side::Source, query: TYPES, evaluate: types },
        },
    ]
}

/// From 16384 on oids are those of objects that were made after `initdb` (`FirstNormalObjectId`, Postgres source, `transam.h`).
const CASTS: &str = "
select 'cast' as kind, null as schema, format_type(c.castsource, null) || ' as ' || format_type(c.casttarget, null) as call,
       case c.castmethod when 'f' then 'by ' || c.castfunc::regprocedure::text when 'i' then 'by way of text'
                         else 'without a function' end as detail
  from pg_cast c
 where c.oid >= 16384 and (c.castmethod = 'b' or c.castsource < 16384 and c.casttarget < 16384)
   and not exists (select from pg_depend d where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype in ('e', 'i'))
 order by 3";

fn casts(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Routine> = rows.parse()?;
    if found.is_empty() || !is_managed(cx) {
        return Ok(Vec::new());
    }
    let sentence = format!("{} only a superuser may create.", count(found.len(), "cast is one that", "casts are some that"));
    let why = "The target's role is no superuser, so they are left out, by name, with what needs them. Queries that rely on them \
               fail there.";
    let fix = "Write the conversion into the queries that rely on it, as a call of its function or by way of text.";
    let objects = found.iter().map(Routine::label).collect();
    Ok(vec![Finding::new("G4", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

const TEXT_SEARCH: &str = r"
with found as (
  select 'pg_ts_parser'::regclass as catalog, p.oid, 'text search parser' as kind, p.prsnamespace as namespace, p.prsname as name,
         null as detail, false as has_files from pg_ts_parser p
  union all
  select 'pg_ts_template'::regclass, t.oid, 'text search template', t.tmplnamespace, t.tmplname, null, false from pg_ts_template t
  union all
  select 'pg_ts_dict'::regclass, d.oid, 'text search dictionary', d.dictnamespace, d.dictname, d.dictinitoption, true
    from pg_ts_dict d where d.dictinitoption ~* '\m(dictfile|afffile|synonyms)\M'
)
select f.kind, n.nspname::text as schema, f.name::text as name, f.detail, f.has_files
  from found f join pg_namespace n on n.oid = f.namespace
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = f.catalog and d.objid = f.oid and d.deptype = 'e')
 order by 1, 2, 3";

#[derive(Deserialize)]
struct TextSearch {
    #[serde(flatten)]
    object: Object,
    has_files: bool,
}

fn text_search(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let all: Vec<TextSearch> = rows.parse()?;
    let matters = |one: &TextSearch| takes_schema(cx, one.object.schema.as_deref()) && (one.has_files || is_managed(cx));
    let objects: Vec<Object> = all.into_iter().filter(matters).map(|one| one.object).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let (there, need) = if objects.len() == 1 { ("", "needs") } else { ("s", "need") };
    let sentence = format!(
        "{} text search object{there} {need} files of the server, or a superuser to create {}.",
        objects.len(),
        them(&objects)
    );
    let why = "What the target cannot create is left out, by name, with the text search configurations and indexes that need it.";
    let fix = "Base the configurations on parsers and dictionaries that the target has, or have the files put on the target's server \
               before the migration.";
    Ok(vec![Finding::new("G5", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(labels(&objects))])
}

fn them(objects: &[Object]) -> &'static str {
    if objects.len() == 1 { "it" } else { "them" }
}

/// Arrays of a base type and domains over it are of it, too.
const TYPES: &str = "
with recursive base as (
  select t.oid, t.typnamespace, t.typname from pg_type t
   where t.typtype = 'b' and t.typisdefined and t.oid >= 16384 and t.typinput <> 'array_in'::regproc
     and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
), built (oid, of) as (
  select b.oid, b.oid from base b
  union
  select t.oid, b.of from built b join pg_type t on b.oid in (t.typbasetype, case when t.typinput = 'array_in'::regproc then t.typelem end)
), needed as (
  select distinct b.of as oid from built b join pg_attribute a on a.atttypid = b.oid and a.attnum > 0 and not a.attisdropped
    join pg_class c on c.oid = a.attrelid where c.relkind in ('r', 'p')
), found as (
  select 'pg_type'::regclass as catalog, b.oid, 'base type' as kind, b.typnamespace as namespace, b.typname as name from base b
  union all
  select 'pg_opclass'::regclass, o.oid, 'operator class', o.opcnamespace, o.opcname from pg_opclass o where o.oid >= 16384
  union all
  select 'pg_am'::regclass, m.oid, 'access method', null, m.amname from pg_am m where m.oid >= 16384
  union all
  select 'pg_foreign_data_wrapper'::regclass, w.oid, 'foreign data wrapper', null, w.fdwname from pg_foreign_data_wrapper w
)
select f.kind, n.nspname::text as schema, f.name::text as name, f.oid in (select n.oid from needed n) as needed,
       case when f.oid in (select n.oid from needed n) then 'a table needs it' end as detail
  from found f left join pg_namespace n on n.oid = f.namespace
 where coalesce(n.nspname !~ '^pg_' and n.nspname <> 'information_schema', true)
   and not exists (select from pg_depend d where d.classid = f.catalog and d.objid = f.oid and d.deptype = 'e')
 order by 1, 2, 3";

#[derive(Deserialize)]
struct Needed {
    needed: bool,
}

fn types(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let objects = schema_objects(cx, rows)?;
    if objects.is_empty() || !is_managed(cx) {
        return Ok(Vec::new());
    }
    let is_needed = rows.parse::<Needed>()?.into_iter().any(|one| one.needed);
    let sentence = format!("{} only a superuser may create.", count(objects.len(), "object is one that", "objects are some that"));
    let (severity, why) = if is_needed {
        let why =
            "The target's role is no superuser. A table with a column of such a type cannot be created there, so a copy stops.";
        (Severity::Blocker, why)
    } else {
        let why = "The target's role is no superuser, so they are left out, by name, with the indexes and foreign tables that need \
                   them.";
        (Severity::Warning, why)
    };
    let fix = "Give columns a type that comes with Postgres or with an extension that the target offers, and indexes the default \
               operator class; or leave the tables out with --exclude.";
    Ok(vec![Finding::new("G6", severity, "source", sentence, why).with_fix(fix).with_objects(labels(&objects))])
}
