//! Collations of the source: their versions, those that people made, and where order decides where a row belongs.

use serde::Deserialize;

use super::order;
use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::answer::Rows;
use crate::migration::preflight::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use crate::migration::preflight::facts::Locale;
use crate::pg::names::{Ident, QualifiedName, human, human_line};

pub(super) fn checks() -> Vec<Check> {
    vec![versions_on_source(), made_by_people(), partition_keys()]
}

fn versions_on_source() -> Check {
    Check {
        code: "E3",
        title: "Collation versions on the source",
        about: "whether the source's collations are still those that its indexes were built with",
        grant: CATALOGS,
        explain: "An index on text is in the order of the library that sorted it. When the operating system is upgraded, or the database \
                  files move to another system, the library may sort differently, and an index in the old order misses rows: a lookup does \
                  not find a row that is there, and a unique index lets a second one in. Postgres remembers the version that it saw when \
                  a collation was created, and from 15 on that of the database itself.\n\n\
                  The check compares the versions that are remembered with those that the library has now, for the collations that tables \
                  and indexes use. On 14 the database's own locale has no version, so nothing can be said about it. A copy reads whole \
                  tables and is not misled, but duplicates that a damaged unique index let in stop the same index from being built on \
                  the target.\n\n\
                  Rebuild the indexes first and then record the new version; never the other way round, because the record is all that \
                  tells of the danger. The extension amcheck finds indexes that are out of order (`bt_index_check`).",
        look: Look::Rows { side: Side::Source, query: VERSIONS, evaluate: versions },
    }
}

fn made_by_people() -> Check {
    Check {
        code: "E4",
        title: "Collations that people made",
        about: "which collations people made",
        grant: CATALOGS,
        explain: "Collations that were made with `create collation` travel with the definitions and mean on the target what its libraries \
                  say. Those of libc name a locale of the operating system, which the target's system may lack or sort differently. In a \
                  nondeterministic collation different texts can be equal, so uniqueness depends on the library's version as well, and \
                  before Postgres 18 `like` does not work with it.\n\n\
                  The check lists the collations in schemas in scope. Those of libc and nondeterministic ones are warnings, the others \
                  are mentioned. Try to create them on the target before the migration; ICU locales are the most portable.",
        look: Look::Rows { side: Side::Source, query: MADE, evaluate: made },
    }
}

fn partition_keys() -> Check {
    Check {
        code: "E6",
        title: "Text ranges of partitions",
        about: "whether partitions are ranges of text",
        grant: CATALOGS,
        explain: "A table that is partitioned by ranges of text decides by the sort order of the key's collation in which partition a row \
                  belongs. Where the target sorts differently, a row may not fit the partition that it was read from, ranges that are \
                  apart on the source may overlap on the target, and queries look for a row in the wrong partition.\n\n\
                  The check lists such tables in scope, but for keys that are sorted by `C` or by the built-in provider, which are the \
                  same on every server. Where the target is known and both databases are sorted byte by byte, nothing is said.\n\n\
                  Use a target with the source's locale and look at the comparison after the copy, or define the keys with \
                  `collate \"C\"`, which takes a new partitioned table.",
        look: Look::Rows { side: Side::Source, query: PARTITION_KEYS, evaluate: partitions },
    }
}

/// The database itself is the row without a schema. Version 14 lacks the function that tells its version, and a query that names it
/// would fail there; so from 15 on the name is in a text that is executed only where it is used. Opening a collation takes time, so
/// only those in use are.
const VERSIONS: &str = "
with used as materialized (
  select distinct a.attcollation as oid
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
   where a.attcollation <> 0 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'),
versions as (
  select n.nspname::text as schema, l.collname::text as name, l.collversion as recorded, pg_collation_actual_version(l.oid) as actual
    from used u join pg_collation l on l.oid = u.oid join pg_namespace n on n.oid = l.collnamespace
   where l.collversion is not null
  union all
  select null, d.datname::text, to_jsonb(d) ->> 'datcollversion',
         case when to_jsonb(d) ->> 'datcollversion' is not null then
           substring(query_to_xml(format('select pg_database_collation_actual_version(%s) as v', d.oid), true, true, '')::text
                     from '<v>(.*)</v>') end
    from pg_database d where d.datname = current_database())
select v.schema, v.name, v.recorded, v.actual from versions v where v.recorded <> v.actual order by 1 nulls first, 2";

#[derive(Deserialize)]
struct Versioned {
    schema: Option<String>,
    name: String,
    recorded: String,
    actual: String,
}

fn versions(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let changed: Vec<Versioned> = rows.parse()?;
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let (mut objects, mut sql) = (Vec::new(), Vec::new());
    sql.push(format!("reindex database concurrently {};", Ident::new(&cx.source().database)));
    for Versioned { schema, name, recorded, actual } in &changed {
        let versions = format!("recorded {}, now {}", human_line(recorded), human_line(actual));
        match schema {
            Some(schema) => {
                objects.push(format!("collation {} ({versions})", qualified(schema, name)));
                sql.push(format!("alter collation {} refresh version;", QualifiedName::new(schema, name)));
            }
            None => {
                objects.push(format!("database {} ({versions})", human(name)));
                sql.push(format!("alter database {} refresh collation version;", Ident::new(name)));
            }
        }
    }
    let sentence = format!(
        "The source's libraries sort by other versions of {} than those that are recorded.",
        count(changed.len(), "collation", "collations")
    );
    let why = "Indexes on text that were built before may be out of order: queries miss rows, and unique indexes let duplicates in, which \
               then stop the same index on the target.";
    let words = "Execute this on the source as the owner of the database and the collations. The first statement rebuilds every index \
                 without blocking writers; it takes long and needs room for the largest index, and it passes over exclusion constraints \
                 (reindex those by themselves, which locks their tables)";
    let finding = Finding::new("E3", Severity::Warning, "source", sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

const MADE: &str = "
select n.nspname::text as schema, l.collname::text as name,
       case l.collprovider when 'c' then 'libc' when 'i' then 'ICU' when 'b' then 'built-in' else 'default' end as kind,
       l.collisdeterministic as deterministic,
       coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate::text, '') as locale
  from pg_collation l join pg_namespace n on n.oid = l.collnamespace
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_collation'::regclass and d.objid = l.oid and d.deptype = 'e')
 order by 1, 2";

#[derive(Deserialize)]
struct Made {
    schema: String,
    name: String,
    kind: String,
    deterministic: bool,
    locale: String,
}

impl Made {
    fn needs_care(&self) -> bool {
        !self.deterministic || self.kind == "libc" && !is_bytewise(&self.locale)
    }

    fn label(&self) -> String {
        let nondeterministic = if self.deterministic { "" } else { ", nondeterministic" };
        format!(
            "collation {} ({} of {}{nondeterministic})",
            qualified(&self.schema, &self.name),
            human_line(&self.locale),
            self.kind
        )
    }
}

fn made(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let collations = rows.parse::<Made>()?.into_iter().filter(|made| cx.takes(&made.schema, &made.name));
    let (care, plain): (Vec<Made>, Vec<Made>) = collations.partition(Made::needs_care);
    let mut findings = Vec::new();
    if !care.is_empty() {
        let sentence =
            format!("People made {} that may mean something else on the target.", count(care.len(), "collation", "collations"));
        let why = "The locales of libc depend on the operating system; in a nondeterministic collation different texts can be equal, so \
                   what is unique depends on the library, too.";
        let fix = "Create them on the target's server before the migration, to see whether it knows the locales, and compare how it \
                   sorts; an ICU locale in the place of a libc locale is the same on every system with the same version of ICU.";
        let objects = care.iter().map(Made::label).collect();
        findings.push(Finding::new("E4", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects));
    }
    if !plain.is_empty() {
        let sentence = format!("People made {}.", count(plain.len(), "collation", "collations"));
        let why = "They travel with the definitions. The target's version of ICU decides how they sort there.";
        let objects = plain.iter().map(Made::label).collect();
        findings.push(Finding::new("E4", Severity::Note, "source", sentence, why).with_objects(objects));
    }
    Ok(findings)
}

/// `database` says that the key is sorted as the database is.
const PARTITION_KEYS: &str = "
select distinct n.nspname::text as schema, c.relname::text as name,
       case when l.collname = 'default' then 'database' else l.collname::text end as detail
  from pg_partitioned_table p join pg_class c on c.oid = p.partrelid join pg_namespace n on n.oid = c.relnamespace
  cross join lateral unnest(p.partcollation::oid[]) k (oid) join pg_collation l on l.oid = k.oid
 where p.partstrat = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and coalesce(l.collcollate::text, '') !~* '^(C|POSIX)([.]utf-?8)?$' and l.collprovider <> 'b'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1, 2, 3";

/// Whether a locale of libc sorts byte by byte, as these do everywhere.
fn is_bytewise(locale: &str) -> bool {
    matches!(locale.to_ascii_lowercase().replace("utf-8", "utf8").as_str(), "c" | "posix" | "c.utf8")
}

fn sorts_bytewise(locale: &Locale) -> bool {
    match locale.provider.as_str() {
        "b" => true,
        "c" => is_bytewise(&locale.collate),
        _ => false,
    }
}

fn partitions(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let source = &cx.source().locale;
    let target = cx.known.target.as_ref().map(|target| &target.locale);
    let database_is_safe = sorts_bytewise(source) && target.is_none_or(sorts_bytewise);
    let mut objects = cx.objects(rows)?;
    objects.retain(|object| object.detail.as_deref() != Some("database") || !database_is_safe);
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let label = |object: &Object| {
        let key = match object.detail.as_deref() {
            Some("database") | None => "sorted as the database is".to_owned(),
            Some(collation) => format!("sorted by {}", human(collation)),
        };
        format!("table {} ({key})", qualified(object.schema.as_deref().unwrap_or_default(), &object.name))
    };
    let sentence = format!(
        "{} partitioned by ranges of text whose order depends on the server.",
        if objects.len() == 1 { "1 table is".to_owned() } else { format!("{} tables are", objects.len()) }
    );
    let named_alike = target.is_some_and(|target| order(source) == order(target));
    let fix = if named_alike {
        "Both databases name the same locale. Compare the versions of the libraries (select collversion from pg_collation), and look at \
         the comparison after the copy."
    } else {
        "Use a target database with the source's locale, or make the partitioned tables anew with collate \"C\" in their keys before the \
         migration."
    };
    let why = "Where the target sorts differently, rows do not fit the partition that they come from, and ranges may overlap.";
    let labels = objects.iter().map(label).collect();
    Ok(vec![Finding::new("E6", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(labels)])
}
