//! Where extensions are, and what of them is in the database's own tables.

use serde::Deserialize;

use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::Wish;
use crate::migration::preflight::answer::Rows;
use crate::migration::preflight::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use crate::pg::names::{Ident, human};

pub(super) fn checks() -> Vec<Check> {
    vec![own_schema(), equal_schema(), configuration(), types()]
}

fn own_schema() -> Check {
    Check {
        code: "D4",
        title: "Schemas of extensions",
        about: "in which schemas the extensions are",
        grant: CATALOGS,
        explain: "Definitions name an extension's types and functions with their schema, so each extension has to be in the same schema \
                  on both sides. The schema is made along with the extension.\n\n\
                  Three things are looked for: extensions that somebody put into a system schema, where a managed server lets nobody \
                  create anything; extensions in a schema that stays behind, because it belongs to the provider's platform or was left \
                  out; and extensions that the target already has in another schema, which stand in the way.\n\n\
                  Move the extension with `alter extension … set schema`, if it can be moved. Views, defaults and indexes follow by \
                  themselves; functions and applications that write the schema's name do not.",
        look: Look::Rows { side: Side::Source, query: SCHEMAS, evaluate: misplaced },
    }
}

fn equal_schema() -> Check {
    Check {
        code: "D4",
        title: "Schemas of extensions on the target",
        about: "whether the target's extensions are in the same schemas",
        grant: CATALOGS,
        explain: "",
        look: Look::Pair { source: SCHEMAS, target: SCHEMAS, evaluate: elsewhere },
    }
}

fn configuration() -> Check {
    Check {
        code: "D5",
        title: "Rows in extensions' tables",
        about: "which tables of extensions hold rows of yours",
        grant: CATALOGS,
        explain: "Some extensions keep what their users configure in tables of their own, and tell pg_dump so. Those rows travel with \
                  the data: the jobs of pg_cron, the parents that pg_partman maintains, reference systems that were added to PostGIS. \
                  All other tables of an extension are made anew by it.\n\n\
                  The check lists such tables that hold anything. pg_cron is a warning, because its jobs would run on the target as \
                  soon as they are there, beside those on the source. Switch the jobs off on the target until the handover, and look \
                  at the rows of the others afterwards.",
        look: Look::Rows { side: Side::Source, query: CONFIGURATION, evaluate: configured },
    }
}

fn types() -> Check {
    Check {
        code: "D6",
        title: "Columns of extensions' types",
        about: "which columns have the types of extensions",
        grant: CATALOGS,
        explain: "Values of types that an extension brings, such as `citext`, `geometry` or `vector`, can be read on the target only when \
                  the extension is there, and are replicated as text. Their text form, and how equal values are told apart, are the \
                  extension's affair and may change with its version.\n\n\
                  The check counts the columns per type. Nothing has to be done where both sides have the same version; otherwise try \
                  a table with such a column first.",
        look: Look::Rows { side: Side::Source, query: TYPES, evaluate: columns },
    }
}

/// `fixed` is the schema that the extension's author chose; such a one is where it has to be.
const SCHEMAS: &str = "
select e.extname::text as name, n.nspname::text as schema, e.extrelocatable as relocatable,
       exists (select from pg_available_extension_versions v
                where v.name = e.extname and v.version = e.extversion and v.schema = n.nspname) as fixed
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname <> 'plpgsql' order by 1";

#[derive(Deserialize)]
struct Placed {
    name: String,
    schema: String,
    relocatable: bool,
    fixed: bool,
}

/// pg_cron has no schema in its control file and puts itself into `pg_catalog`.
fn is_misplaced(placed: &Placed) -> bool {
    (placed.schema.starts_with("pg_") || placed.schema == "information_schema") && !placed.fixed && placed.name != "pg_cron"
}

fn misplaced(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let label = |placed: &Placed| format!("extension {} (in {})", human(&placed.name), human(&placed.schema));
    let placed: Vec<Placed> = rows.parse()?;
    let system: Vec<&Placed> = placed.iter().filter(|placed| is_misplaced(placed)).collect();
    let stays = |placed: &&Placed| {
        let left_out = cx.is_platform(&placed.schema) || !cx.options.scope.may_match_schema(&placed.schema);
        left_out && !placed.schema.starts_with("pg_") && !placed.fixed
    };
    let behind: Vec<&Placed> = placed.iter().filter(stays).collect();
    let mut findings = Vec::new();
    if !system.is_empty() {
        let sentence = format!("{} in a system schema.", are(system.len()));
        let why = "A managed target lets nobody create anything in a system schema, and definitions name the schema.";
        findings.push(
            Finding::new("D4", Severity::Warning, "source", sentence, why)
                .with_fix(moving(&system))
                .with_objects(system.iter().map(|one| label(one)).collect()),
        );
    }
    if !behind.is_empty() {
        let sentence = format!("{} in a schema that stays behind.", are(behind.len()));
        let why = "The schema is not made on the target, but definitions that use the extension name it.";
        findings.push(
            Finding::new("D4", Severity::Warning, "source", sentence, why)
                .with_fix(moving(&behind))
                .with_objects(behind.iter().map(|one| label(one)).collect()),
        );
    }
    Ok(findings)
}

fn are(n: usize) -> String {
    format!("{} {}", count(n, "extension of the source", "extensions of the source"), if n == 1 { "is" } else { "are" })
}

fn moving(placed: &[&Placed]) -> String {
    let movable: Vec<String> = placed
        .iter()
        .filter(|placed| placed.relocatable)
        .map(|placed| format!("alter extension {} set schema \"public\";", Ident::new(&placed.name)))
        .collect();
    if movable.is_empty() {
        return "These extensions cannot be moved. Create the schema and the extension on the target by hand before the migration, or do \
                without what depends on them."
            .to_owned();
    }
    let words = "Execute this on the source as the extensions' owner, or with another schema than public. It is quick, but locks the \
                 extension's objects; functions and applications that write the schema's name have to be changed along with it";
    fix_sql(words, &movable)
}

fn elsewhere(_: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let on_source: Vec<Placed> = source.parse()?;
    let (mut objects, mut sql) = (Vec::new(), Vec::new());
    for there in target.parse::<Placed>()? {
        let here = on_source.iter().find(|here| here.name == there.name && here.schema != there.schema);
        let Some(here) = here.filter(|here| !here.fixed && !there.fixed) else { continue };
        objects.push(format!(
            "extension {} (in {} on the source, in {} on the target)",
            human(&here.name),
            human(&here.schema),
            human(&there.schema)
        ));
        let (name, schema) = (Ident::new(&here.name), Ident::new(&here.schema));
        sql.push(format!("create schema if not exists {schema};"));
        sql.push(if there.relocatable {
            format!("alter extension {name} set schema {schema};")
        } else {
            format!("drop extension {name}; create extension {name} with schema {schema};")
        });
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence =
        format!("The target already has {} of the source in another schema.", count(objects.len(), "extension", "extensions"));
    let why = "An extension can be in a database only once, so it is left where it is; and tables, functions and indexes that name it with \
               the source's schema are refused.";
    let words = "Execute this in the target database as the extensions' owner; where an extension cannot be moved, it is dropped there with \
                 what it holds itself, and made again";
    Ok(vec![Finding::new("D4", Severity::Blocker, "target", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

const CONFIGURATION: &str = "
select e.extname::text as extension, n.nspname::text as schema, c.relname::text as name
  from pg_extension e cross join lateral unnest(e.extconfig) x (oid) join pg_class c on c.oid = x.oid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and pg_relation_size(c.oid) > 0 and (e.extname, c.relname) <> ('postgis', 'spatial_ref_sys')
 order by 1, 2, 3";

#[derive(Deserialize)]
struct Configured {
    extension: String,
    schema: String,
    name: String,
}

fn configured(_: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let rows: Vec<Configured> = rows.parse()?;
    let label = |row: &Configured| format!("table {} (of {})", qualified(&row.schema, &row.name), human(&row.extension));
    let (cron, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.extension == "pg_cron");
    let mut findings = Vec::new();
    if cron.iter().any(|row| row.name == "job") {
        findings.push(cron_jobs());
    }
    if !others.is_empty() {
        let sentence = format!("{} of extensions may hold rows of yours.", count(others.len(), "table", "tables"));
        let why = "Such rows travel with the data where the extension says so. What they ask for, such as partitions to be made, then \
                   happens on the target as well.";
        let objects = others.into_iter().map(label).collect();
        findings.push(Finding::new("D5", Severity::Note, "source", sentence, why).with_objects(objects));
    }
    Ok(findings)
}

fn cron_jobs() -> Finding {
    let sentence = "The source has pg_cron, and its jobs travel with the data.".to_owned();
    let why = "A job that is on the target runs there, while the same job still runs on the source: mails go out twice, and rows that it \
               writes on the target are in the way of those that come from the source.";
    let words = "Note which jobs are active (select jobid, jobname from cron.job where active), execute this in the target database as soon \
                 as the jobs are there, and make those active again at the handover";
    let sql = "update cron.job set active = false;".to_owned();
    Finding::new("D5", Severity::Warning, "source", sentence, why)
        .with_fix(fix_sql(words, &[sql]))
        .with_objects(vec!["table cron.job".to_owned()])
}

/// An array counts as what it is an array of; newer majors call its type a member of the extension, too.
const TYPES: &str = "
with types as (
  select t.oid, e.extname::text || '''s type ' || t.typname::text as type
    from pg_depend d join pg_extension e on e.oid = d.refobjid join pg_type t on t.oid = d.objid
   where d.classid = 'pg_type'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and t.typtype <> 'c'
     and t.oid not in (select b.typarray from pg_type b where b.typarray <> 0)),
with_arrays as (
  select y.oid, y.type from types y union all select t.typarray, y.type from types y join pg_type t on t.oid = y.oid where t.typarray <> 0)
select n.nspname::text as schema, c.relname::text as name, a.attname::text as detail, w.type as kind
  from with_arrays w join pg_attribute a on a.atttypid = w.oid and a.attnum > 0 and not a.attisdropped
  join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm') join pg_namespace n on n.oid = c.relnamespace
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1, 2, a.attnum";

fn columns(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if cx.options.wish == Wish::Once {
        return Ok(Vec::new());
    }
    let label = |object: Object| {
        let table = qualified(object.schema.as_deref().unwrap_or_default(), &object.name);
        format!("column {table}.{} ({})", human(&object.detail.unwrap_or_default()), object.kind.unwrap_or_default())
    };
    let objects: Vec<String> = cx.objects(rows)?.into_iter().map(label).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} the type of an extension.",
        if objects.len() == 1 { "1 column has".to_owned() } else { format!("{} columns have", objects.len()) }
    );
    let why = "Live replication carries such values as text, so the target needs the extension, and a version of it that writes and reads \
               them alike.";
    Ok(vec![Finding::new("D6", Severity::Note, "source", sentence, why).with_objects(objects)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::preflight::Options;
    use crate::migration::preflight::facts::Known;

    #[test]
    fn jobs_of_pg_cron_are_a_warning_of_their_own() -> Result<(), serde_json::Error> {
        let (known, options) = (Known::plain(), Options::check());
        let cx = Context { known: &known, options: &options };
        let row = |extension: &str, name: &str| serde_json::json!({"extension": extension, "schema": "cron", "name": name});
        let rows = Rows(vec![row("pg_cron", "job"), row("pg_partman", "part_config")]);
        let found = configured(&cx, Side::Source, &rows)?;
        let found: Vec<_> = found.iter().map(|finding| (finding.severity, finding.objects[0].as_str())).collect();
        assert_eq!(found, [(Severity::Warning, "table cron.job"), (Severity::Note, "table cron.part_config (of pg_partman)")]);
        Ok(())
    }

    #[test]
    fn extensions_of_the_platform_stay_behind() -> Result<(), serde_json::Error> {
        let mut known = Known::plain();
        known.platform_schemas = vec!["extensions".to_owned()];
        let options = Options::check();
        let cx = Context { known: &known, options: &options };
        let row =
            |name: &str, schema: &str| serde_json::json!({"name": name, "schema": schema, "relocatable": true, "fixed": false});
        let found = misplaced(
            &cx,
            Side::Source,
            &Rows(vec![row("citext", "extensions"), row("hstore", "app"), row("pg_cron", "pg_catalog")]),
        )?;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].objects, ["extension citext (in extensions)"]);
        Ok(())
    }
}
