//! Rights that belong to the server and its roles rather than to a database's objects.

use serde::Deserialize;

use crate::engine::finding::{Finding, Severity};
use crate::migration::preflight::answer::Rows;
use crate::migration::preflight::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use crate::migration::preflight::facts::ServerFacts;
use crate::pg::names::{Ident, human, human_line};

pub(super) fn checks() -> Vec<Check> {
    vec![replication_role(), visibility(), passwords(), admin_option(), catalog_grants()]
}

fn replication_role() -> Check {
    Check {
        code: "C10",
        title: "Keeping triggers still",
        about: "whether the role may set session_replication_role on the target",
        grant: "",
        explain: "A session in which `session_replication_role` is `replica` fires no ordinary triggers and checks no foreign keys, so \
                  changes can be replayed in any order. Superusers may set it, and from Postgres 15 on whoever was granted it. On \
                  Neon nobody can, and that is no obstacle.\n\n\
                  The role tries to set it on the target, in a transaction that is rolled back. Where it may not, foreign keys and \
                  triggers are created after the rows, at the handover of a live migration; so the handover takes as long as it \
                  takes to check the foreign keys.",
        look: Look::Both(keeps_triggers_still),
    }
}

fn visibility() -> Check {
    Check {
        code: "C11",
        title: "Statistics and settings",
        about: "whether the role may read all statistics and settings",
        grant: CATALOGS,
        explain: "Postgres hides from ordinary roles what the sessions of other roles do, the progress of replication, and some \
                  settings. Several checks look there.\n\n\
                  The check asks whether the role has the rights of `pg_read_all_stats` and `pg_read_all_settings`. Without them \
                  those checks say that they could not look. `pg_monitor` includes both; it shows the text of other sessions' \
                  queries, but no data of tables.",
        look: Look::Rows { side: Side::Source, query: HIDDEN, evaluate: hidden },
    }
}

fn passwords() -> Check {
    Check {
        code: "C12",
        title: "Passwords of roles",
        about: "whether the passwords of roles can be carried over",
        grant: CATALOGS,
        explain: "Passwords are kept as hashes in `pg_authid`, which superusers may read, and which most providers show to nobody. \
                  Even where they can be read, a managed target may refuse to take a hash; Neon takes plain passwords only.\n\n\
                  The check looks for login roles other than yours and whether the role may read `pg_authid`; it reads no hash. \
                  Plan new passwords for these roles, and change the applications' connection strings along with the host name.",
        look: Look::Rows { side: Side::Source, query: PASSWORDS, evaluate: unreadable_passwords },
    }
}

fn admin_option() -> Check {
    Check {
        code: "C13",
        title: "Handing objects to their owners",
        about: "whether the target's role may act for the owners that the source has",
        grant: CATALOGS,
        explain: "To give a table to another role one must be able to become that role. Before Postgres 16, `createrole` was enough to \
                  arrange that; from 16 on a role can grant only those roles for which it has the admin option, which it has for \
                  roles that it made itself.\n\n\
                  The check compares the owners of the source's objects with the roles of the same name on a target of 16 or newer. \
                  Roles that the target lacks are another matter. Where nothing is changed the objects belong to the role that \
                  migrates; have the memberships granted before you hand them over.",
        look: Look::Pair { source: OWNERS, target: OUT_OF_REACH, evaluate: unreachable_owners },
    }
}

fn catalog_grants() -> Check {
    Check {
        code: "C14",
        title: "Grants on system catalogs",
        about: "whether somebody was given rights on system catalogs",
        grant: CATALOGS,
        explain: "Now and then rights on system catalogs, views and functions are granted to a role for monitoring, for instance \
                  `select` on `pg_authid` or `execute` on `pg_read_file`. Only a superuser can grant them, so they cannot be carried \
                  to a managed server, where the monitoring then fails.\n\n\
                  The check compares the access lists in the schema `pg_catalog` with those that the server came with. Roles that \
                  belong to the provider are left aside. On the target use the predefined roles instead, above all `pg_monitor`.",
        look: Look::Rows { side: Side::Source, query: CATALOG_GRANTS, evaluate: granted_catalogs },
    }
}

fn keeps_triggers_still(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    if target.can.set_replication_role != Some(false) {
        return Vec::new();
    }
    let role = cx.role(Side::Target);
    let neon = cx.host(Side::Target).id == "neon";
    let severity = if neon { Severity::Note } else { cx.live(Severity::Warning) };
    let normal = if neon { ", as is normal on Neon" } else { "" };
    let sentence = format!("The role {} may not set session_replication_role on the target{normal}.", human(role.as_str()));
    let why = "Foreign keys and triggers then cannot be kept still while changes are replayed; they are created after the rows \
               instead, and checking the foreign keys takes time at the handover.";
    let finding = Finding::new("C10", severity, "target", sentence, why);
    if neon {
        return vec![finding];
    }
    vec![finding.with_fix(if target.version.major() >= 15 {
        let sql = format!("grant set on parameter session_replication_role to {role};");
        fix_sql("If you want it otherwise, execute this on the target as a superuser, and revoke it afterwards", &[sql])
    } else {
        "Nothing, if the time at the handover does not matter. Otherwise migrate as a superuser of the target, or use a target of \
         Postgres 15 or newer, where the right can be granted."
            .to_owned()
    })]
}

const HIDDEN: &str = "
select r.name from unnest(array['pg_read_all_stats', 'pg_read_all_settings']) r (name) where not pg_has_role(r.name, 'USAGE') order by 1";

fn hidden(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let lacking: Vec<String> = rows.parse::<Object>()?.into_iter().map(|row| row.name).collect();
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(side);
    let sentence =
        format!("The role {} does not have the rights of {} on the source.", human(role.as_str()), lacking.join(" and "));
    let why = "Postgres hides from it what other sessions do, or some settings, and checks that look there can tell less.";
    let sql: Vec<String> = lacking.iter().map(|name| format!("grant {name} to {role};")).collect();
    let fix = fix_sql("Execute this on the source as a superuser or as a role that may give it, and take it back afterwards", &sql);
    Ok(vec![Finding::new("C11", Severity::Warning, "source", sentence, why).with_fix(fix)])
}

/// Superusers and predefined roles do not travel, and the role that is connected has its own password on the target.
const PASSWORDS: &str = "
select o.rolname::text as name from pg_roles o
 where o.rolcanlogin and not o.rolsuper and o.rolname !~ '^pg_' and o.rolname <> current_user
   and has_database_privilege(o.oid, current_database(), 'CONNECT') and not has_table_privilege('pg_authid', 'SELECT')
 order by 1";

fn unreadable_passwords(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let provider = cx.host(side);
    let of_provider = |name: &str| provider.leave_out_roles.iter().chain(&provider.roles).any(|role| role == name);
    let names = rows.parse::<Object>()?.into_iter().map(|role| role.name).filter(|name| !of_provider(name));
    let objects: Vec<String> = names.map(|name| format!("role {}", human(&name))).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("The passwords of {} cannot be read.", count(objects.len(), "login role", "login roles"));
    let why = "Roles come without their passwords, so nobody can log in to the target as one of them until it has a new one.";
    let fix = "Plan new passwords for the roles that go on to be used, and set them on the target before the handover \
               (\\password in psql, or the provider's console).";
    Ok(vec![Finding::new("C12", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

const OWNERS: &str = "
select distinct o.rolname::text as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not o.rolsuper
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1";

/// From 16 on, who has the admin option on a role can give itself the rest. Earlier majors do not know the privilege `SET`.
const OUT_OF_REACH: &str = "
select o.rolname::text as name
  from pg_roles o, pg_roles r
 where r.rolname = current_user and not r.rolsuper and o.rolname !~ '^pg_' and o.oid <> r.oid
   and case when to_number(current_setting('server_version_num'), '9999999999')::int4 >= 160000
            then not pg_has_role(o.oid, 'SET, USAGE WITH ADMIN OPTION') else false end
 order by 1";

fn unreachable_owners(cx: &Context<'_>, owners: &Rows, out_of_reach: &Rows) -> Evaluated {
    let out_of_reach: Vec<String> = out_of_reach.parse::<Object>()?.into_iter().map(|role| role.name).collect();
    let owners = owners.parse::<Object>()?.into_iter().map(|role| role.name);
    let owners: Vec<String> = owners.filter(|owner| out_of_reach.contains(owner)).collect();
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let role = cx.role(Side::Target);
    let sentence = format!(
        "On the target the role {} may not act for {} of the source's objects.",
        human(role.as_str()),
        count(owners.len(), "owner", "owners")
    );
    let why = "The roles are there, but from Postgres 16 on only who has the admin option on a role can give objects to it. The objects \
               would belong to the role that migrates.";
    let sql: Vec<String> = owners.iter().map(|owner| format!("grant {} to {role} with admin option;", Ident::new(owner))).collect();
    let fix = fix_sql("Execute this on the target as a superuser or as a role that has the admin option itself", &sql);
    let objects = owners.iter().map(|owner| format!("role {}", human(owner))).collect();
    Ok(vec![Finding::new("C13", Severity::Warning, "target", sentence, why).with_fix(fix).with_objects(objects)])
}

/// Every major has what it came with in `pg_init_privs`, or an empty list.
const CATALOG_GRANTS: &str = "
with lists as (
  select 'relation' as kind, 'pg_class'::regclass as classid, c.oid, c.relname::text as name, c.relowner as owner, c.relacl as acl
    from pg_class c where c.relnamespace = 'pg_catalog'::regnamespace and c.relacl is not null
  union all
  select 'function', 'pg_proc'::regclass, p.oid, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', p.proowner, p.proacl
    from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.proacl is not null)
select l.kind, l.name, coalesce(g.rolname::text, 'public') as grantee, a.privilege_type::text as privilege
  from lists l cross join lateral aclexplode(l.acl) a left join pg_roles g on g.oid = a.grantee
 where a.grantee <> l.owner and coalesce(g.rolname, '') !~ '^pg_'
   and not exists (select from pg_depend d where d.classid = l.classid and d.objid = l.oid and d.deptype = 'e')
   and not exists (select from pg_init_privs i cross join lateral aclexplode(i.initprivs) b
                    where i.classoid = l.classid and i.objoid = l.oid and i.objsubid = 0 and b.grantee = a.grantee
                      and b.privilege_type = a.privilege_type)
   and not (l.kind = 'function' and a.grantee = 0
            and not exists (select from pg_init_privs i where i.classoid = l.classid and i.objoid = l.oid and i.objsubid = 0))
 order by 1 desc, 2, 3, 4";

#[derive(Deserialize)]
struct Granted {
    kind: String,
    name: String,
    grantee: String,
    privilege: String,
}

fn granted_catalogs(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    // A superuser may give such rights on the target too.
    if cx.known.target.as_ref().is_some_and(|target| target.can.superuser) {
        return Ok(Vec::new());
    }
    let provider = cx.host(side);
    let of_provider = |name: &str| provider.leave_out_roles.iter().chain(&provider.roles).any(|role| role == name);
    let granted: Vec<Granted> = rows.parse()?;
    let objects: Vec<String> = granted
        .into_iter()
        .filter(|grant| !of_provider(&grant.grantee))
        .map(|Granted { kind, name, grantee, privilege }| {
            format!("{} on {kind} {} to {}", privilege.to_ascii_lowercase(), human_line(&name), human(&grantee))
        })
        .collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("There are {} on system catalogs.", count(objects.len(), "grant", "grants"));
    let why = "Only a superuser can give rights on system catalogs, so they are not carried to a managed target, and what relies on them \
               fails there.";
    let fix = "Find out what uses them. On the target give those roles pg_monitor, pg_read_all_settings or another predefined role \
               that covers it; where nobody needs a grant any more, revoke it on the source.";
    Ok(vec![Finding::new("C14", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::preflight::facts::Known;
    use crate::migration::preflight::{Options, Wish};

    fn severity(provider: Option<&str>, wish: Wish, may: Option<bool>) -> Option<Severity> {
        let mut known = Known::plain();
        known.target_mut().provider = provider.map(str::to_owned);
        known.target_mut().can.set_replication_role = may;
        let options = Options { wish, ..Options::check() };
        let found = keeps_triggers_still(&Context { known: &known, options: &options }, known.target.as_ref()?);
        found.first().map(|finding| finding.severity)
    }

    #[test]
    fn triggers_that_cannot_be_kept_still_are_normal_on_neon() {
        assert_eq!(severity(None, Wish::Live, Some(false)), Some(Severity::Warning));
        assert_eq!(severity(None, Wish::Once, Some(false)), Some(Severity::Note));
        assert_eq!(severity(Some("Neon"), Wish::Live, Some(false)), Some(Severity::Note));
        assert_eq!(severity(None, Wish::Live, None), None);
        assert_eq!(severity(None, Wish::Live, Some(true)), None);
    }

    #[test]
    fn grants_to_the_roles_of_a_provider_are_not_the_users() -> Result<(), serde_json::Error> {
        let rows = |grantee: &str| {
            Rows(vec![serde_json::json!({"kind": "relation", "name": "pg_shadow", "grantee": grantee, "privilege": "SELECT"})])
        };
        let mut known = Known::plain();
        known.provider = crate::migration::provider::by_id("rds").unwrap_or_else(|| unreachable!("it is in the table"));
        let options = Options::check();
        let cx = Context { known: &known, options: &options };
        assert_eq!(granted_catalogs(&cx, Side::Source, &rows("rds_superuser"))?, []);
        let found = granted_catalogs(&cx, Side::Source, &rows("Watch \"er"))?;
        assert_eq!(found[0].objects, ["select on relation pg_shadow to \"Watch \"\"er\""]);
        Ok(())
    }
}
