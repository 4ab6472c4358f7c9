//! Family C: what the roles may do.
//!
//! Privileges are asked of the server, so that memberships, `public` and predefined roles such as `pg_read_all_data` count as they
//! do when the work is done. Objects out of scope are not asked for.

mod cluster;
pub(super) mod fences;
mod live;

use std::collections::BTreeSet;

pub(super) use self::fences::FENCES;
pub use self::fences::{Fences, fences};
use super::Purpose;
use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::facts::ServerFacts;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human};

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = readable(Side::Source);
    if purpose == Purpose::Verify {
        checks.extend(readable(Side::Target));
        return checks;
    }
    checks.push(Check {
        code: "C4",
        title: "Reading large objects",
        about: "whether every large object may be read",
        grant: CATALOGS,
        explain: "",
        look: Look::Rows { side: Side::Source, query: LARGE_OBJECTS, evaluate: large_objects },
    });
    checks.push(Check {
        code: "C9",
        title: "Creating on the target",
        about: "what the role may create on the target",
        grant: "",
        explain: "On the target the role creates schemas, tables in `public`, and temporary tables to compare with. From Postgres \
                  15 on, only the database's owner may create in `public` unless others are allowed to.\n\n\
                  The check asks the server for these three rights, and whether sessions on the target begin read-only \
                  (`default_transaction_read_only`). Grant what is missing as the finding says. If sessions begin read-only, find out \
                  first who meant it so.",
        look: Look::Both(create),
    });
    if purpose == Purpose::Check {
        checks.extend(live::checks());
        checks.extend(cluster::checks());
    }
    checks
}

/// What it takes to read everything on one side.
fn readable(side: Side) -> Vec<Check> {
    vec![
        Check {
            code: "C3",
            title: "Using schemas",
            about: "whether every schema may be used",
            grant: CATALOGS,
            explain: "To reach anything in a schema, a role needs `usage` on the schema, whatever it was granted on the tables.\n\n\
                      The check asks the server for every schema in scope whether the role may use it, so that memberships and grants \
                      to `public` count as they will when rows are read. Schemas of extensions and of the provider's platform are left \
                      aside. Have the right granted as the finding says, or leave the schema out with `--exclude`.",
            look: Look::Rows { side, query: SCHEMAS, evaluate: schemas },
        },
        Check {
            code: "C4",
            title: "Reading tables",
            about: "whether every table, view and sequence may be read",
            grant: CATALOGS,
            explain: "A migration reads every row, the state of every sequence, and every large object. One table that may not be read \
                      stops pg_dump altogether, because it locks all tables first.\n\n\
                      The check asks the server for every table, materialized view and sequence in scope whether the role may select \
                      from it. A grant on some columns is not enough. Of large objects the access lists are read. Grant `select` as the \
                      finding says; the predefined role `pg_read_all_data` covers tables and sequences at once, but no large \
                      objects.",
            look: Look::Rows { side, query: RELATIONS, evaluate: relations },
        },
        Check {
            code: "C6",
            title: "Row-level security",
            about: "whether row-level security hides rows",
            grant: CATALOGS,
            explain: "Where row-level security is on, policies decide which rows a role sees, and the others are missing from every \
                      answer without an error. A copy would lose them in silence, and a comparison made by the same role would not \
                      notice.\n\n\
                      The check lists tables with row-level security whose policies bind the role. They do not bind superusers, roles \
                      with `bypassrls`, and the owner of the table, unless they are forced on the owner too.\n\n\
                      Let a superuser give the role `bypassrls` for the time of the migration, or migrate as the owner of the tables.",
            look: Look::Rows { side, query: ROW_SECURITY, evaluate: row_security },
        },
    ]
}

/// Schemas that belong to an extension are made by it, on both sides.
const SCHEMAS: &str = "
select n.nspname::text as name from pg_namespace n
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not has_schema_privilege(n.oid, 'USAGE')
   and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
 order by 1";

fn schemas(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let names = rows.parse::<Object>()?.into_iter().map(|schema| schema.name);
    let names: Vec<String> = names.filter(|name| cx.options.scope.may_match_schema(name) && !cx.is_platform(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(side);
    let sql: Vec<String> = names.iter().map(|name| format!("grant usage on schema {} to {role};", Ident::new(name))).collect();
    let sentence = format!(
        "The role {} may not use {} of the {}.",
        human(role.as_str()),
        count(names.len(), "schema", "schemas"),
        side.name()
    );
    let why = "Nothing in a schema can be read without the right to use the schema.";
    let finding = Finding::new("C3", Severity::Blocker, side.name(), sentence, why);
    let fix = fix_sql(&format!("Execute this on the {} as the owner of the schemas or a superuser", side.name()), &sql);
    Ok(vec![finding.with_fix(fix).with_objects(names.iter().map(|name| human(name)).collect())])
}

/// An extension's objects are made by the extension; only the rows of its configuration tables travel.
const RELATIONS: &str = "
select n.nspname::text as schema, c.relname::text as name,
       case c.relkind when 'S' then 'sequence' when 'm' then 'materialized view' else 'table' end as kind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'm', 'S') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'SELECT') else has_table_privilege(c.oid, 'SELECT') end
   and (not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
        or exists (select from pg_extension e where c.oid = any (e.extconfig)))
 order by 1, 2";

fn relations(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let objects = cx.objects(rows)?;
    let (mut table_schemas, mut sequence_schemas) = (BTreeSet::new(), BTreeSet::new());
    for object in &objects {
        let schemas = if object.kind.as_deref() == Some("sequence") { &mut sequence_schemas } else { &mut table_schemas };
        schemas.extend(object.schema.clone());
    }
    let objects: Vec<String> = objects.iter().map(Object::label).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(side);
    let grant = |what: &str, schema: &String| format!("grant select on all {what} in schema {} to {role};", Ident::new(schema));
    let mut sql: Vec<String> = table_schemas.iter().map(|schema| grant("tables", schema)).collect();
    sql.extend(sequence_schemas.iter().map(|schema| grant("sequences", schema)));
    let sentence = format!(
        "The role {} may not read {} of the {}.",
        human(role.as_str()),
        count(objects.len(), "object", "objects"),
        side.name()
    );
    let why = "What cannot be read cannot be copied, and pg_dump stops at the first table that it may not lock. Grants on single \
               columns do not help.";
    let words = format!(
        "Execute this on the {} as the owner of the objects or a superuser (or grant pg_read_all_data, which covers all of them)",
        side.name()
    );
    Ok(vec![
        Finding::new("C4", Severity::Blocker, side.name(), sentence, why).with_fix(fix_sql(&words, &sql)).with_objects(objects),
    ])
}

/// The function that would answer this exists from 18 on only, so the access lists are read. An empty list means that only the
/// owner may read.
const LARGE_OBJECTS: &str = "
select m.oid::text as name
  from pg_largeobject_metadata m, pg_roles r
 where r.rolname = current_user and not r.rolsuper and current_setting('lo_compat_privileges') = 'off'
   and not pg_has_role(m.lomowner, 'USAGE')
   and not exists (select from aclexplode(m.lomacl) a
                    where a.privilege_type = 'SELECT' and (a.grantee = 0 or pg_has_role(a.grantee, 'USAGE')))
 order by m.oid";

fn large_objects(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let objects: Vec<String> = rows.parse::<Object>()?.into_iter().map(|object| format!("large object {}", object.name)).collect();
    let role = cx.role(side);
    let sentence =
        format!("The role {} may not read {}.", human(role.as_str()), count(objects.len(), "large object", "large objects"));
    let why = "What cannot be read cannot be copied.";
    let sql = format!(
        "do $do$ declare lo oid; begin for lo in select oid from pg_largeobject_metadata loop \
         execute format('grant select on large object %s to %I', lo, {}); end loop; end $do$;",
        crate::pg::names::literal(role.as_str())
    );
    let fix = fix_sql("Execute this on the source as the owner of the large objects or a superuser", &[sql]);
    Ok(vec![Finding::new("C4", Severity::Blocker, side.name(), sentence, why).with_fix(fix).with_objects(objects)])
}

/// Policies bind everyone but superusers, roles with `bypassrls`, and the owner of the table unless it is forced on the owner too.
const ROW_SECURITY: &str = "
select n.nspname::text as schema, c.relname::text as name, 'table' as kind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_roles r
 where c.relrowsecurity and c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and r.rolname = current_user
   and not (r.rolsuper or r.rolbypassrls) and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'USAGE'))
   and (not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
        or exists (select from pg_extension e where c.oid = any (e.extconfig)))
 order by 1, 2";

fn row_security(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let objects: Vec<String> = cx.objects(rows)?.iter().map(Object::label).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(side);
    let tables = count(objects.len(), "table", "tables");
    let sentence =
        format!("Row-level security may hide rows of {tables} of the {} from the role {}.", side.name(), human(role.as_str()));
    let why =
        "Rows that a policy hides are not copied and not compared, and nothing else would tell: they would be lost in silence.";
    let words = format!(
        "Execute this on the {} as a superuser or as a role that may give bypassrls, and take it back afterwards",
        side.name()
    );
    let fix = fix_sql(&words, &[format!("alter role {role} bypassrls;")]);
    Ok(vec![Finding::new("C6", Severity::Blocker, side.name(), sentence, why).with_fix(fix).with_objects(objects)])
}

fn create(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let (role, can) = (cx.role(Side::Target), &target.can);
    let database = Ident::new(&target.database);
    let lacks = [
        (!can.create_in_database, "create schemas in the database", format!("grant create on database {database} to {role};")),
        (
            can.create_in_public == Some(false),
            "create objects in the schema public",
            format!("grant create on schema public to {role};"),
        ),
        (!can.create_temporary, "create temporary tables", format!("grant temporary on database {database} to {role};")),
    ];
    let lacks: Vec<_> = lacks.into_iter().filter(|(lacking, ..)| *lacking).collect();
    if lacks.is_empty() {
        return Vec::new();
    }
    let what: Vec<&str> = lacks.iter().map(|(_, what, _)| *what).collect();
    let sql: Vec<String> = lacks.iter().map(|(.., sql)| sql.clone()).collect();
    let sentence = format!("On the target the role {} may not {}.", human(role.as_str()), what.join(" and not "));
    let why = "The migration creates the source's schemas and tables there. From Postgres 15 on only its owner may create in the \
               schema public.";
    let fix = fix_sql("Execute this in the target database as its owner or a superuser", &sql);
    vec![Finding::new("C9", Severity::Blocker, "target", sentence, why).with_fix(fix)]
}
