//! Roles: they belong to the server, not to the database, so no dump of a database has them.

use std::collections::HashSet;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use super::{is_managed, is_platform_role};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human, literal};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G9",
            title: "Roles",
            about: "which roles have to do with the database",
            grant: CATALOGS,
            explain: ROLES_EXPLAINED,
            look: Look::Rows { side: Side::Source, query: ROLES, evaluate: roles_without_target },
        },
        Check {
            code: "G9",
            title: "Roles that the target lacks",
            about: "which roles of the source the target lacks",
            grant: CATALOGS,
            explain: "",
            look: Look::Pair { source: ROLES, target: NAMES, evaluate: missing_roles },
        },
        Check {
            code: "G10",
            title: "Roles in policies",
            about: "which roles the row-level security policies name",
            grant: CATALOGS,
            explain: "Lists the row-level security policies that are for certain roles rather than for everybody.\n\n\
                      A policy cannot be created where one of its roles is missing, so it is left out, by name. Its table still has \
                      row-level security, which shows nothing to anybody for whom no policy is left: applications would find no rows \
                      and get no error.\n\n\
                      Create the roles on the target before the migration. Their passwords are not needed for that.",
            look: Look::Rows { side: Side::Source, query: POLICIES, evaluate: policies_without_target },
        },
        Check {
            code: "G10",
            title: "Roles in policies that the target lacks",
            about: "which roles in policies the target lacks",
            grant: CATALOGS,
            explain: "",
            look: Look::Pair { source: POLICIES, target: NAMES, evaluate: policies_of_missing_roles },
        },
    ]
}

const ROLES_EXPLAINED: &str = "Lists the roles that have to do with the database: those that own something in it, were granted \
     something, are named in a policy or have settings for it, and, in both directions, those that are members of them.\n\n\
     Roles and their passwords belong to a server, not to a database, so a migration does not carry them. Managed servers do not show \
     password hashes, and Neon takes no hashes: every role needs a new password.\n\n\
     The statements create the roles with their attributes, connection limits, ends of validity and memberships, and without \
     passwords. On a target where you are no superuser the attributes superuser, replication and bypassrls are left out, because \
     only who has them may give them. Set a password for each role that logs in, with \\password of psql.";

/// Roles with something to do with the database, those that are members of them, and those that they are members of. Predefined roles
/// lead nowhere: everybody is a member of them; nor do memberships that only let a creator administer what it created (from 16 on).
/// The bootstrap superuser (oid 10) is on every server under one name or another.
const ROLES: &str = "
with recursive here as (
  select d.oid from pg_database d where d.datname = current_database()
), graph as (
  select distinct m.roleid, m.member from pg_auth_members m
   where coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true) or coalesce((to_jsonb(m) ->> 'set_option')::bool, true)
), direct as (
  select d.refobjid as oid from pg_shdepend d, here
   where d.refclassid = 'pg_authid'::regclass
     and (d.dbid = here.oid or d.classid = 'pg_database'::regclass and d.objid = here.oid)
  union
  select s.setrole from pg_db_role_setting s, here where s.setrole <> 0 and s.setdatabase in (0, here.oid)
), members (oid) as (
  select d.oid from direct d join pg_roles r on r.oid = d.oid where r.rolname !~ '^pg_'
  union select g.member from members m join graph g on g.roleid = m.oid
), groups (oid) as (
  select m.oid from members m
  union select g.roleid from groups m join graph g on g.member = m.oid
)
select r.rolname::text as name, r.rolsuper as superuser, r.rolreplication as replication, r.rolbypassrls as bypass_rls,
       r.rolcreatedb as create_database, r.rolcreaterole as create_role, r.rolcanlogin as login, r.rolinherit as inherit,
       r.rolconnlimit as connections, r.rolvaliduntil::text as valid_until,
       array(select g.rolname::text from graph m join pg_roles g on g.oid = m.roleid
              where m.member = r.oid order by g.rolname) as member_of
  from pg_roles r join groups c on c.oid = r.oid
 where r.oid <> 10 and r.rolname !~ '^pg_' and r.rolname <> current_user
 order by 1";

const NAMES: &str = "select r.rolname::text as name from pg_roles r order by 1";

#[derive(Deserialize)]
struct Role {
    name: String,
    superuser: bool,
    replication: bool,
    bypass_rls: bool,
    create_database: bool,
    create_role: bool,
    login: bool,
    inherit: bool,
    connections: i64,
    valid_until: Option<String>,
    member_of: Vec<String>,
}

impl Role {
    /// Attributes that only who has them may give.
    fn lofty(&self) -> Vec<&'static str> {
        let all = [(self.superuser, "superuser"), (self.replication, "replication"), (self.bypass_rls, "bypassrls")];
        all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
    }

    fn label(&self) -> String {
        let mut details = self.lofty();
        if !self.login {
            details.push("no login");
        }
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        format!("role {}{details}", human(&self.name))
    }

    fn create(&self, is_managed: bool) -> String {
        let mut words = vec![if self.login { "login" } else { "nologin" }];
        let more = [(self.create_database, "createdb"), (self.create_role, "createrole"), (!self.inherit, "noinherit")];
        words.extend(more.into_iter().filter_map(|(has, name)| has.then_some(name)));
        if !is_managed {
            words.extend(self.lofty());
        }
        let limit = if self.connections >= 0 { format!(" connection limit {}", self.connections) } else { String::new() };
        let until = self.valid_until.as_ref().map(|until| format!(" valid until {}", literal(until))).unwrap_or_default();
        format!("create role {} {}{limit}{until};", Ident::new(&self.name), words.join(" "))
    }

    /// Memberships in roles that the target has or is about to get.
    fn grants<'a>(&'a self, has: &'a dyn Fn(&str) -> bool) -> impl Iterator<Item = String> + 'a {
        let groups = self.member_of.iter().filter(move |group| has(group));
        groups.map(|group| format!("grant {} to {};", Ident::new(group), Ident::new(&self.name)))
    }
}

fn roles_without_target(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if cx.known.target.is_some() && !cx.known.assumed {
        return Ok(Vec::new());
    }
    missing(cx, rows, None)
}

fn missing_roles(cx: &Context<'_>, roles: &Rows, there: &Rows) -> Evaluated {
    missing(cx, roles, Some(&names(there)?))
}

fn names(rows: &Rows) -> Result<HashSet<String>, serde_json::Error> {
    Ok(rows.parse::<Object>()?.into_iter().map(|role| role.name).collect())
}

/// The roles that are not on the target; without a target, all of them.
fn missing(cx: &Context<'_>, rows: &Rows, there: Option<&HashSet<String>>) -> Evaluated {
    let is_there = |name: &str| there.is_some_and(|there| there.contains(name));
    let roles: Vec<Role> = rows.parse()?;
    let roles: Vec<Role> = roles.into_iter().filter(|role| !is_there(&role.name) && !is_platform_role(cx, &role.name)).collect();
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let new: HashSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let will_be = |group: &str| new.contains(group) || is_there(group);
    let mut sql: Vec<String> = roles.iter().map(|role| role.create(is_managed(cx))).collect();
    sql.extend(roles.iter().flat_map(|role| role.grants(&will_be).collect::<Vec<_>>()));
    let whose = if there.is_some() { "The target lacks" } else { "The migration does not carry" };
    let sentence = format!("{whose} {} of the source that have to do with the database.", count(roles.len(), "role", "roles"));
    let why = "Roles belong to a server, not to a database. Applications that log in as one of them cannot log in on the target, and \
               what was granted to them, or belongs to them, has nobody to go to.";
    let words = "Execute this on the target, then give those that log in a new password (\\password of psql), because passwords \
                 cannot be carried over";
    let objects = roles.iter().map(Role::label).collect();
    Ok(vec![Finding::new("G9", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

const POLICIES: &str = "
select n.nspname::text as schema, c.relname::text as name, p.polname::text as policy,
       array(select r.rolname::text from pg_roles r where r.oid = any (p.polroles) order by 1) as roles
  from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
 where p.polroles <> '{0}' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1, 2, 3";

#[derive(Deserialize)]
struct Policy {
    schema: String,
    name: String,
    policy: String,
    roles: Vec<String>,
}

fn policies_without_target(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    if cx.known.target.is_some() && !cx.known.assumed {
        return Ok(Vec::new());
    }
    policies(cx, rows, None)
}

fn policies_of_missing_roles(cx: &Context<'_>, rows: &Rows, there: &Rows) -> Evaluated {
    policies(cx, rows, Some(&names(there)?))
}

fn policies(cx: &Context<'_>, rows: &Rows, there: Option<&HashSet<String>>) -> Evaluated {
    let is_missing = |role: &&String| !role.starts_with("pg_") && there.is_none_or(|there| !there.contains(*role));
    let (mut objects, mut roles) = (Vec::new(), Vec::new());
    for Policy { schema, name, policy, roles: of } in rows.parse()? {
        let missing: Vec<&String> = of.iter().filter(is_missing).collect();
        if missing.is_empty() || !cx.takes(&schema, &name) {
            continue;
        }
        let named: Vec<String> = missing.iter().map(|role| human(role)).collect();
        objects.push(format!("policy {} on {} (for {})", human(&policy), qualified(&schema, &name), named.join(", ")));
        roles.extend(missing.into_iter().cloned());
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    roles.sort();
    roles.dedup();
    let what = count(objects.len(), "policy names", "policies name");
    let sentence = match there {
        Some(_) => format!("{what} a role that the target lacks."),
        None => format!("{what} a role, which must be on the target before it can be created there."),
    };
    let why = "A policy whose role is missing is left out. Its table still has row-level security, which hides every row from those \
               for whom no policy is left, without an error.";
    let sql: Vec<String> = roles.iter().map(|role| format!("create role {};", Ident::new(role))).collect();
    let words = "Execute this on the target before the migration (the statements of G9 give the roles their attributes too)";
    Ok(vec![Finding::new("G10", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}
