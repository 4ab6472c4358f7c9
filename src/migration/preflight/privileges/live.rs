//! What the role needs to replicate a source that is in use, and to hand over at the end.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::answer::Rows;
use crate::migration::preflight::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql, qualified};
use crate::migration::provider::Provider;
use crate::pg::names::{Ident, human};

pub(super) fn checks() -> Vec<Check> {
    vec![replication_right(), subscribing(), publishing(), ending_sessions()]
}

fn replication_right() -> Check {
    Check {
        code: "C1",
        title: "The right to replicate",
        about: "whether the role may replicate from the source",
        grant: CATALOGS,
        explain: "Live replication reads the changes of the source through a replication slot. Only superusers and roles with the \
                  attribute `replication` may make one; Amazon's services use membership in `rds_replication` in its stead. The \
                  attribute is never inherited: the role that connects has to have it itself.\n\n\
                  The check reads the role's attributes. It also looks at the target, where a native subscription needs \
                  `pg_create_subscription` from Postgres 16 on, and a superuser or the provider's administrative role before.\n\n\
                  Give the right as the finding says, and take it back when the migration is over. A copy without live replication \
                  does not need it.",
        look: Look::Rows { side: Side::Source, query: REPLICATION, evaluate: replication },
    }
}

fn subscribing() -> Check {
    Check {
        code: "C1",
        title: "The right to subscribe",
        about: "whether the role may create a subscription on the target",
        grant: CATALOGS,
        explain: "",
        look: Look::Rows { side: Side::Target, query: SUBSCRIBING, evaluate: subscription },
    }
}

fn publishing() -> Check {
    Check {
        code: "C5",
        title: "Publishing tables",
        about: "whether the role may publish the tables of the source",
        grant: CATALOGS,
        explain: "Live replication starts with a publication. To create one, a role needs `create` on the database, and each table in \
                  it has to belong to the role, directly or through a role whose rights it inherits. The same goes for changing what \
                  identifies the rows of a table (`alter table … replica identity`). No grant on a table stands in for owning it, and \
                  a publication of all tables takes a superuser.\n\n\
                  The check asks the server for each table in scope whether the role has its owner's rights.\n\n\
                  Make the role a member of each owner, which gives it all rights of that owner for as long as it is a member, and \
                  take the membership back with `revoke owner from role` when the migration is over. Or let the owner, or a \
                  superuser, create the publication.",
        look: Look::Rows { side: Side::Source, query: PUBLISHING, evaluate: publication },
    }
}

fn ending_sessions() -> Check {
    Check {
        code: "C7",
        title: "Ending sessions",
        about: "whether the role may end the sessions of others on the source",
        grant: CATALOGS,
        explain: "When a live migration ends, sessions of the application that still write to the source have to go, or what they \
                  write last is lost. A role may end sessions of its own and of roles that it is a member of; for all others it \
                  takes `pg_signal_backend`, and sessions of superusers can be ended by superusers only.\n\n\
                  The check asks whether the role has the rights of `pg_signal_backend`. Without them stop the application yourself \
                  before the handover, connection poolers and scheduled jobs included.",
        look: Look::Rows { side: Side::Source, query: SIGNALLING, evaluate: signalling },
    }
}

/// The attribute counts for the very role only, membership in `rds_replication` also through others.
const REPLICATION: &str = "
select r.rolname::text as name from pg_roles r
 where r.rolname = current_user and not r.rolsuper and not r.rolreplication
   and not exists (select from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(g.oid, 'MEMBER'))";

fn replication(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(Side::Source);
    let sentence = format!("The role {} may not replicate from the source.", human(role.as_str()));
    let why = "Changes that are made while the tables are copied are read through a replication slot, and the server makes one only \
               for roles with that right.";
    let finding = Finding::new("C1", cx.live(Severity::Blocker), "source", sentence, why);
    Ok(vec![finding.with_fix(replication_fix(cx.host(Side::Source), &role))])
}

/// How a role gets the right to replicate at a provider.
fn replication_fix(provider: &Provider, role: &Ident) -> String {
    match provider.logical.grant_replication(role) {
        Some(sql) => fix_sql("Execute this on the source as a superuser or as the provider's administrative role", &[sql]),
        None => format!(
            "{} gives the right by no statement that is known: use the role that it made for administration, or ask its support \
             for a role that may replicate.",
            provider.name
        ),
    }
}

/// Providers let their administrative roles subscribe where Postgres would want a superuser.
const SUBSCRIBING: &str = "
select r.rolname::text as name, has_database_privilege(current_database(), 'CREATE') as create_in_database
  from pg_roles r
 where r.rolname = current_user and not r.rolsuper
   and not (has_database_privilege(current_database(), 'CREATE')
            and exists (select from pg_roles g
                         where g.rolname in ('pg_create_subscription', 'rds_superuser', 'neon_superuser', 'cloudsqlsuperuser',
                                             'alloydbsuperuser', 'azure_pg_admin', 'avnadmin', 'doadmin', 'crunchy_superuser')
                           and pg_has_role(g.oid, 'USAGE')))";

#[derive(Deserialize)]
struct Subscriber {
    create_in_database: bool,
}

fn subscription(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(Subscriber { create_in_database }) = rows.first()? else { return Ok(Vec::new()) };
    let Some(target) = cx.of(side) else { return Ok(Vec::new()) };
    let role = cx.role(side);
    let sentence = format!("The role {} may not create a subscription on the target.", human(role.as_str()));
    let why = "A native subscription is one of the ways in which changes reach the target. It takes the right to create in the \
               database, and pg_create_subscription from Postgres 16 on; before, it takes a superuser.";
    let finding = Finding::new("C1", cx.live(Severity::Warning), "target", sentence, why);
    if target.version.major() < 16 {
        return Ok(vec![finding.with_fix(
            "Use a superuser or the provider's administrative role on the target, or a target of Postgres 16 or newer.",
        )]);
    }
    let mut sql = vec![format!("grant pg_create_subscription to {role};")];
    if !create_in_database {
        sql.push(format!("grant create on database {} to {role};", Ident::new(&target.database)));
    }
    Ok(vec![finding.with_fix(fix_sql("Execute this on the target as a superuser", &sql))])
}

/// The owner's rights count only where the role has them without `set role`. A row without a table says that publications may not be
/// created at all.
const PUBLISHING: &str = "
select null::text as schema, null::text as name, null::text as owner, r.rolinherit as inherits
  from pg_roles r where r.rolname = current_user and not has_database_privilege(current_database(), 'CREATE')
union all
select n.nspname::text, c.relname::text, o.rolname::text, r.rolinherit
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner, pg_roles r
 where r.rolname = current_user and c.relkind in ('r', 'p') and c.relpersistence = 'p'
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not pg_has_role(c.relowner, 'USAGE')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1 nulls first, 2";

#[derive(Deserialize)]
struct Unpublished {
    schema: Option<String>,
    name: Option<String>,
    owner: Option<String>,
    inherits: bool,
}

fn publication(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let (mut tables, mut owners, mut inherits, mut may_create) = (Vec::new(), BTreeSet::new(), true, true);
    for row in rows.parse::<Unpublished>()? {
        inherits = row.inherits;
        match (row.schema, row.name, row.owner) {
            (Some(schema), Some(name), Some(owner)) if cx.takes(&schema, &name) => {
                tables.push(format!("table {} (owner: {})", qualified(&schema, &name), human(&owner)));
                owners.insert(owner);
            }
            (None, ..) => may_create = false,
            _ => {}
        }
    }
    if tables.is_empty() && may_create {
        return Ok(Vec::new());
    }
    let role = cx.role(Side::Source);
    let mut cannot = Vec::new();
    if !may_create {
        cannot.push("create a publication in the database".to_owned());
    }
    if !tables.is_empty() {
        cannot.push(format!("publish {} of the source", count(tables.len(), "table", "tables")));
    }
    let sentence = format!("The role {} may not {}.", human(role.as_str()), cannot.join(" and not "));
    let why = "Live replication reads the changes of published tables, and only the owner of a table may publish it. Being the owner's \
               member is enough; a grant on the table is not.";
    let finding = Finding::new("C5", cx.live(Severity::Blocker), "source", sentence, why).with_objects(tables);
    Ok(vec![finding.with_fix(publication_fix(cx, &owners, inherits, may_create))])
}

fn publication_fix(cx: &Context<'_>, owners: &BTreeSet<String>, inherits: bool, may_create: bool) -> String {
    let (role, source) = (cx.role(Side::Source), cx.source());
    // From 16 on each membership says for itself whether its rights are inherited.
    let each = source.version.major() >= 16;
    let inherit = if each { " with inherit true" } else { "" };
    let mut sql = Vec::new();
    if !may_create {
        sql.push(format!("grant create on database {} to {role};", Ident::new(&source.database)));
    }
    if !owners.is_empty() && !inherits && !each {
        sql.push(format!("alter role {role} inherit;"));
    }
    sql.extend(owners.iter().map(|owner| format!("grant {} to {role}{inherit};", Ident::new(owner))));
    let words = "Execute this on the source as a superuser or as a role that may give these memberships. The role then has all rights \
                 of the owners, which are a superuser's where an owner is one; revoke each membership when the migration is over \
                 (revoke … from …)";
    fix_sql(words, &sql)
}

const SIGNALLING: &str = "
select r.rolname::text as name from pg_roles r
 where r.rolname = current_user and not r.rolsuper and not pg_has_role('pg_signal_backend', 'USAGE')";

fn signalling(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(Side::Source);
    let sentence = format!("The role {} may not end the sessions of other roles on the source.", human(role.as_str()));
    let why = "At the handover, sessions that still write to the source must end. Without this right you have to stop the application \
               yourself.";
    let fix = fix_sql(
        "Execute this on the source as a superuser or as a role that may give it, and take it back afterwards",
        &[format!("grant pg_signal_backend to {role};")],
    );
    Ok(vec![Finding::new("C7", cx.live(Severity::Warning), "source", sentence, why).with_fix(fix)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_replicate_is_given_as_the_provider_gives_it() {
        let fix = |id: &str| {
            replication_fix(crate::migration::provider::by_id(id).unwrap_or_else(|| unreachable!("{id}")), &Ident::new("a \"b"))
        };
        assert!(fix("self-hosted").ends_with("\nalter role \"a \"\"b\" with replication;"), "{}", fix("self-hosted"));
        assert!(fix("rds").ends_with("\ngrant rds_replication to \"a \"\"b\";"), "{}", fix("rds"));
        assert!(fix("heroku").starts_with("Heroku gives the right by no statement"), "{}", fix("heroku"));
    }
}
