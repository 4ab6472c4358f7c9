//! What a major changes on the way, what lies where no dump looks, and how much there is.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::{is_platform_role, labels, target_is_at_least};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G13",
            title: "Creating in the schema public",
            about: "who creates objects in the schema public",
            grant: CATALOGS,
            explain: "Until Postgres 14 every role could create objects in the schema public; from 15 on only its owner can. Listed are \
                      the roles, other than the schema's owner and superusers, that own something there on a source where everybody \
                      may create in it.\n\n\
                      On the target their migrations of the schema, and applications that make tables as they go, fail with \
                      `permission denied for schema public`.\n\n\
                      Grant it to those that need it, on the target, when the roles are there.",
            look: Look::Rows { side: Side::Source, query: PUBLIC_CREATORS, evaluate: public_creators },
        },
        Check {
            code: "G18",
            title: "Objects in system schemas",
            about: "whether there are objects in system schemas",
            grant: CATALOGS,
            explain: "Lists tables, functions, types and operators that somebody made in pg_catalog or information_schema.\n\n\
                      No dump contains these schemas, so such objects are missing on the target, and nothing says so: neither \
                      pg_dump nor the copy sees them. What uses them is refused there.\n\n\
                      Move them to a schema of your own. The statements do that for functions; calls that name pg_catalog, and \
                      callers whose search path does not have the new schema, have to be changed as well. Tables, views and sequences \
                      there have to be made anew elsewhere.\n\n\
                      Under this code it is also said if there are more than 50,000 relations, because reading and creating the schema \
                      takes minutes then, and if the server has other databases, because a migration moves one.",
            look: Look::Rows { side: Side::Source, query: SYSTEM_OBJECTS, evaluate: system_objects },
        },
        Check {
            code: "G18",
            title: "Number of relations",
            about: "how many relations there are",
            grant: "",
            explain: "",
            look: Look::Facts(relations),
        },
        Check {
            code: "G18",
            title: "Other databases",
            about: "which other databases the server has",
            grant: CATALOGS,
            explain: "",
            look: Look::Rows { side: Side::Source, query: DATABASES, evaluate: databases },
        },
    ]
}

const PUBLIC_CREATORS: &str = "
with public as (
  select n.oid, n.nspowner from pg_namespace n
   where n.nspname = 'public'
     and exists (select from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                  where a.grantee = 0 and a.privilege_type = 'CREATE')
)
select r.rolname::text as name, count(*)::int8 as objects
  from public p join pg_class c on c.relnamespace = p.oid join pg_roles r on r.oid = c.relowner
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relowner <> p.nspowner and not r.rolsuper
   and not pg_has_role(r.oid, p.nspowner, 'USAGE')
 group by 1 order by 1";

#[derive(Deserialize)]
struct Creator {
    name: String,
    objects: usize,
}

fn public_creators(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let creators: Vec<Creator> = rows.parse()?;
    let creators: Vec<Creator> = creators.into_iter().filter(|one| !is_platform_role(cx, &one.name)).collect();
    if creators.is_empty() || !target_is_at_least(cx, 15) || !super::takes_schema(cx, Some("public")) {
        return Ok(Vec::new());
    }
    let sentence =
        format!("On the target {} may no longer create objects in the schema public.", count(creators.len(), "role", "roles"));
    let why = "From Postgres 15 on only the owner of the schema public may create in it. Schema changes by these roles, and \
               applications that make tables as they go, fail there.";
    let sql: Vec<String> =
        creators.iter().map(|one| format!("grant create on schema public to {};", Ident::new(&one.name))).collect();
    let words = "Execute this in the target database after the migration, when the roles are there";
    let label = |one: &Creator| format!("role {} ({} in public)", human(&one.name), count(one.objects, "object", "objects"));
    let objects = creators.iter().map(label).collect();
    Ok(vec![Finding::new("G13", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

const SYSTEM_OBJECTS: &str = "
with system as (
  select n.oid, n.nspname from pg_namespace n where n.nspname in ('pg_catalog', 'information_schema')
), found as (
  select 'pg_class'::regclass as catalog, c.oid, c.relnamespace as namespace, c.relname as name, c.relowner as owner, null as call,
         case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
                        when 'c' then 'type' else 'table' end as kind
    from pg_class c where c.oid >= 16384 and c.relkind <> 'i'
  union all
  select 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname, p.proowner, p.oid::regprocedure::text,
         case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end
    from pg_proc p where p.oid >= 16384
  union all
  select 'pg_type'::regclass, t.oid, t.typnamespace, t.typname, t.typowner, null, 'type'
    from pg_type t where t.oid >= 16384 and t.typrelid = 0 and t.typinput <> 'array_in'::regproc
  union all
  select 'pg_operator'::regclass, o.oid, o.oprnamespace, o.oprname, o.oprowner, null, 'operator'
    from pg_operator o where o.oid >= 16384
)
select f.kind, s.nspname::text as schema, f.name::text as name, f.call, r.rolname::text as owner
  from found f join system s on s.oid = f.namespace join pg_roles r on r.oid = f.owner
 where not exists (select from pg_depend d where d.classid = f.catalog and d.objid = f.oid and d.deptype in ('e', 'i'))
 order by 1, 2, 3, 4";

#[derive(Deserialize)]
struct Misplaced {
    #[serde(flatten)]
    object: Object,
    /// A function, as the server writes it; functions of `pg_catalog` are written without their schema.
    call: Option<String>,
    owner: String,
}

impl Misplaced {
    fn to_public(&self) -> Option<String> {
        let call = self.call.as_ref()?;
        let schema = if self.object.schema.as_deref() == Some("pg_catalog") { "pg_catalog." } else { "" };
        let what = if self.object.kind.as_deref() == Some("aggregate") { "aggregate" } else { "routine" };
        Some(format!("alter {what} {schema}{call} set schema public;"))
    }
}

fn system_objects(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Misplaced> = rows.parse()?;
    let found: Vec<Misplaced> = found.into_iter().filter(|one| !is_platform_role(cx, &one.owner)).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} in a system schema, which no dump contains.", count(found.len(), "object is", "objects are"));
    let why = "They are missing on the target without a word, and what uses them is refused there.";
    let sql: Vec<String> = found.iter().filter_map(Misplaced::to_public).collect();
    let fix = if sql.is_empty() {
        "Make them anew in a schema of your own on the source, and change what uses them.".to_owned()
    } else {
        let words = "Move functions to a schema of your own, here public, as a superuser of the source, and change callers that name \
                     pg_catalog; make anything else anew elsewhere";
        fix_sql(words, &sql)
    };
    let objects: Vec<Object> = found.into_iter().map(|one| one.object).collect();
    Ok(vec![Finding::new("G18", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(labels(&objects))])
}

/// Above this many relations a dump of the schema takes minutes and much memory.
const RELATIONS_MANY: u64 = 50_000;

fn relations(cx: &Context<'_>) -> Vec<Finding> {
    let relations = cx.source().relations;
    if relations <= RELATIONS_MANY {
        return Vec::new();
    }
    let sentence = format!("The source has {relations} relations (tables, indexes, sequences, TOAST).");
    let why = "Reading and creating the schema takes minutes and not seconds, and holds a lock on every table of the source \
               meanwhile: changes of tables have to wait.";
    let fix = "Nothing needs to be done. Begin at a quiet time, and leave out with --exclude what is not needed.";
    vec![Finding::new("G18", Severity::Note, "source", sentence, why).with_fix(fix)]
}

const DATABASES: &str = "
select 'database' as kind, null as schema, d.datname::text as name, null as detail
  from pg_database d
 where not d.datistemplate and d.datallowconn and d.datname not in (current_database(), 'postgres')
 order by 3";

fn databases(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let platform = &cx.host(Side::Source).databases;
    let others: Vec<Object> = rows.parse()?;
    let others: Vec<Object> = others.into_iter().filter(|database| !platform.contains(&database.name)).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "The server has {} beside {}.",
        count(others.len(), "other database", "other databases"),
        human(&cx.source().database)
    );
    let why = "A migration moves one database. If another one belongs to the same application, it needs a migration of its own.";
    let fix = "Run this command for each that should move.";
    Ok(vec![Finding::new("G18", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(labels(&others))])
}
