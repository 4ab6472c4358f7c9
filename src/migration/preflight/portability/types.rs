//! Objects below the tables: casts, text search, base types, and what hides in system schemas.

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count};
use super::{LEFT_OUT, NEEDED, refuses, stops_the_copy};
use crate::engine::finding::{Finding, Severity};

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
        rows("G4", "Casts of your own", "which casts there are", CASTS_TEXT, CASTS, casts),
        rows("G5", "Text search parsers", "which text search parsers there are", SEARCH_TEXT, SEARCH, search),
        rows("G6", "Base types and operator classes", "which base types there are", TYPES_TEXT, TYPES, types),
        rows("G18", "Objects in system schemas", "what is hidden in system schemas", SYSTEM_TEXT, SYSTEM, system),
    ]
}

const CASTS_TEXT: &str = "\
Casts are looked for that somebody made by hand (no extension did) and that only a superuser can make again: those without a \
function, which say that two types look the same on disk, and those between two built-in types, which nobody else owns. Casts \
that convert a type of your own by a function are made on every target.

An application relies on a cast without naming it: a comparison or an insert works with it and fails without. If the target's \
role is no superuser, write the conversion out in views and functions that use the cast, or look for a target where you are one.";

const SEARCH_TEXT: &str = "\
Parsers and templates of full text search that no extension brought along are looked for. They are made of C functions, and \
only a superuser may create them. Configurations and most dictionaries are data, and move; but dictionaries that read files of the \
server (Ispell, Hunspell, synonyms, thesauri) can be made only where the files are, so they are named too. Managed servers take no \
files but those that they come with.

A configuration that uses such a parser cannot be made on a target without it, and neither can an index or a generated column \
that uses the configuration. Install what they come from as an extension, or move the configuration to a built-in parser.";

const TYPES_TEXT: &str = "\
Objects are looked for that extend the server itself and belong to no extension: base types (with an input and an output \
function in C), operator classes and families, access methods, foreign data wrappers, transforms, and aggregates whose state is \
internal. Only a \
superuser may create them. Enums, domains, composite types, ranges and operators are no matter.

What is built on them cannot be made either: a column of such a type, an index with such an operator class. Where a table needs \
a base type, the copy would stop, so then this is a blocker. Install the \
extension that they once came from, if there is one, or replace the type by a built-in one, a domain or a composite type.";

const SYSTEM_TEXT: &str = "\
Tables, views, functions and types are looked for that somebody made in the schema pg_catalog or information_schema and that \
belong to no extension. No dump has them, so they are not copied, and nothing else would tell.

Move them to another schema. In pg_catalog they are found without being qualified; afterwards the schema has to be in the \
search path, or to be named.";

/// What a person made: above the oids that initdb gives, and part of no extension.
macro_rules! made {
    ($catalog:literal, $alias:literal) => {
        concat!(
            $alias,
            ".oid >= 16384 and not exists (select from pg_depend d where d.classid = '",
            $catalog,
            "'::regclass and d.objid = ",
            $alias,
            ".oid and d.deptype = 'e')"
        )
    };
}

/// To make a cast it takes a superuser, or the owner of one of the types if there is a function or the types' text is used.
const CASTS: &str = concat!(
    "
select 'cast' as kind, null as schema, format_type(c.castsource, null) || ' as ' || format_type(c.casttarget, null) as name,
       case c.castmethod when 'b' then 'without function' when 'i' then 'by text' else c.castfunc::regprocedure::text end as detail
  from pg_cast c
 where (c.castmethod = 'b' or (select count(*) = 2 from pg_type t where t.oid in (c.castsource, c.casttarget) and t.oid < 16384))
   and ",
    made!("pg_cast", "c"),
    " order by 3"
);

fn casts(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Object> = rows.parse()?;
    let sentence = format!("The source has {} that only a superuser can make.", count(found.len(), "cast", "casts"));
    let fix = "Write the conversion out where it is used, or use a target where you are superuser. If nothing uses it, nothing has \
               to be done.";
    // The name is made of two types, which are quoted already.
    let label = |cast: &Object| {
        let detail = cast.detail.as_deref().unwrap_or_default();
        format!("cast {} ({})", crate::pg::names::human_line(&cast.name), crate::pg::names::human_line(detail))
    };
    Ok(refused(cx, side, "G4", sentence, fix, found.iter().map(label).collect()))
}

const SEARCH: &str = concat!(
    "
select 'text search parser' as kind, n.nspname::text as schema, p.prsname::text as name
  from pg_ts_parser p join pg_namespace n on n.oid = p.prsnamespace where ",
    made!("pg_ts_parser", "p"),
    " union all
select 'text search template', n.nspname::text, t.tmplname::text
  from pg_ts_template t join pg_namespace n on n.oid = t.tmplnamespace where ",
    made!("pg_ts_template", "t"),
    r" union all
select 'text search dictionary', n.nspname::text, w.dictname::text
  from pg_ts_dict w join pg_namespace n on n.oid = w.dictnamespace where w.dictinitoption ~* '\m(dictfile|afffile|synonyms)\M' and ",
    made!("pg_ts_dict", "w"),
    " order by 1, 2, 3"
);

fn search(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let is_read = |object: &Object| object.kind.as_deref() == Some("text search dictionary");
    let (dictionaries, found): (Vec<Object>, Vec<Object>) = cx.objects(rows)?.into_iter().partition(is_read);
    let what = count(found.len(), "text search parser or template", "text search parsers and templates");
    let sentence = format!("The source has {what} of its own.");
    let fix = "Use a built-in parser or template, or one of an extension that the target offers.";
    let mut findings = refused(cx, side, "G5", sentence, fix, found.iter().map(Object::label).collect());
    if !dictionaries.is_empty() {
        let sentence = format!(
            "{} files of the server.",
            count(dictionaries.len(), "text search dictionary reads", "text search dictionaries read")
        );
        let why = "On a server without these files the dictionary cannot be created. It is left out by name, with the configurations \
                   and indexes that need it.";
        let fix = "Have the files put into the directory tsearch_data of the target's server before the copy, or change the \
                   configurations to dictionaries that need none.";
        let finding = Finding::new("G5", Severity::Warning, side.name(), sentence, why);
        findings.push(finding.with_fix(fix).with_objects(dictionaries.iter().map(Object::label).collect()));
    }
    Ok(findings)
}

/// Arrays of a base type and domains over it are built on it.
const TYPES: &str = concat!(
    "
with recursive built (oid, base) as (
  select t.oid, t.oid from pg_type t where t.typtype = 'b' and t.typisdefined and t.typarray <> 0 and ",
    made!("pg_type", "t"),
    "
  union
  select t.oid, b.base from built b join pg_type t on t.typbasetype = b.oid or t.typelem = b.oid and t.typlen = -1
)
select 'base type' as kind, n.nspname::text as schema, t.typname::text as name,
       case when t.oid in (select b.base from built b join pg_attribute a on a.atttypid = b.oid and a.attnum > 0 and not a.attisdropped
                             join pg_class c on c.oid = a.attrelid where c.relkind in ('r', 'p')) then 'a table needs it' end as detail
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
 where t.typtype = 'b' and t.typisdefined and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_type e where e.typarray = t.oid) and ",
    made!("pg_type", "t"),
    " union all
select 'operator class', n.nspname::text, o.opcname::text, 'for ' || a.amname
  from pg_opclass o join pg_namespace n on n.oid = o.opcnamespace join pg_am a on a.oid = o.opcmethod where ",
    made!("pg_opclass", "o"),
    " union all
select 'operator family', n.nspname::text, f.opfname::text, 'for ' || a.amname
  from pg_opfamily f join pg_namespace n on n.oid = f.opfnamespace join pg_am a on a.oid = f.opfmethod
 where not exists (select from pg_opclass o where o.opcfamily = f.oid and o.opcname = f.opfname) and ",
    made!("pg_opfamily", "f"),
    " union all
select 'access method', null, a.amname::text, null from pg_am a where ",
    made!("pg_am", "a"),
    " union all
select 'transform for language', null, l.lanname::text, format_type(t.trftype, null)
  from pg_transform t join pg_language l on l.oid = t.trflang where ",
    made!("pg_transform", "t"),
    " union all
select 'aggregate', n.nspname::text, p.proname::text, 'state is internal'
  from pg_aggregate g join pg_proc p on p.oid = g.aggfnoid join pg_namespace n on n.oid = p.pronamespace
 where 'internal'::regtype in (g.aggtranstype, g.aggmtranstype) and ",
    made!("pg_proc", "p"),
    " union all
select 'foreign data wrapper', null, w.fdwname::text, null from pg_foreign_data_wrapper w where ",
    made!("pg_foreign_data_wrapper", "w"),
    " order by 1, 2, 3, 4"
);

fn types(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    let what = count(found.len(), "object that extends the server", "objects that extend the server");
    let sentence = format!("The source has {what}, outside of any extension.");
    let fix = "Use an extension that the target offers and that has them, replace them by built-in types, domains or composite \
               types, or use a target where you are superuser.";
    let is_needed = found.iter().any(|object| object.detail.as_deref() == Some(NEEDED));
    let findings = refused(cx, side, "G6", sentence, fix, found.iter().map(Object::label).collect());
    Ok(if is_needed { findings.into_iter().map(stops_the_copy).collect() } else { findings })
}

/// A warning, if there is anything and the target refuses it.
fn refused(cx: &Context<'_>, side: Side, code: &str, sentence: String, fix: &str, objects: Vec<String>) -> Vec<Finding> {
    if objects.is_empty() || !refuses(cx) {
        return Vec::new();
    }
    let finding = Finding::new(code, Severity::Warning, side.name(), sentence, LEFT_OUT);
    vec![finding.with_fix(fix).with_objects(objects)]
}

/// Of a row type or an array only what it belongs to is named.
const SYSTEM: &str = concat!(
    "
select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
                      else 'table' end as kind,
       n.nspname::text as schema, c.relname::text as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and ",
    made!("pg_class", "c"),
    " union all
select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end, n.nspname::text, p.proname::text
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname in ('pg_catalog', 'information_schema') and ",
    made!("pg_proc", "p"),
    " union all
select 'type', n.nspname::text, t.typname::text
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
 where n.nspname in ('pg_catalog', 'information_schema') and t.typelem = 0
   and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')) and ",
    made!("pg_type", "t"),
    " order by 1, 2, 3"
);

fn system(_: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Object> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} in the system's schemas, and will not be copied.",
        match found.len() {
            1 => "1 object of your own is".to_owned(),
            n => format!("{n} objects of your own are"),
        }
    );
    let why =
        "What is in pg_catalog or information_schema is taken for a part of the server: no dump has it, so no migration does.";
    let fix = "Move each to a schema of your own (alter function … set schema public, for instance), and see that this schema is in \
               the search path of what uses it. Or make them again on the target by hand.";
    let finding = Finding::new("G18", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}
