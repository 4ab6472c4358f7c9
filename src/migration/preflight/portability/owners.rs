//! Owners, roles, and what names them. Roles belong to the whole server, so they are not part of a database's copy.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human, literal};

pub(super) fn checks() -> Vec<Check> {
    let check = |code, title, about, explain, look| Check { code, title, about, grant: CATALOGS, explain, look };
    let alone = |query, evaluate| Look::Rows { side: Side::Source, query, evaluate };
    let pair = |source, evaluate| Look::Pair { source, target: TARGET_ROLES, evaluate };
    vec![
        check("G1", "Owners", "whose the objects are", OWNERS_TEXT, alone(OWNED, owners_alone)),
        check("G1", "Owners on the target", "which owners the target has", "", pair(OWNED, owners_missing)),
        check("G9", "Roles", "which roles there are", ROLES_TEXT, alone(ROLES, roles_alone)),
        check("G9", "Roles on the target", "which roles the target has", "", pair(ROLES, roles_missing)),
        check("G10", "Policies for roles", "which roles policies name", POLICIES_TEXT, pair(POLICIES, policies)),
        check("G13", "Creating in the schema public", "who creates in public", PUBLIC_TEXT, alone(PUBLIC, create_in_public)),
    ]
}

const OWNERS_TEXT: &str = "\
The owners of tables, views, functions, types and schemas are counted, and looked for on the target. An owner may do everything \
with an object, is exempt from its row-level security unless that is forced, and a security definer function runs with the \
rights of its owner.

A copy gives everything to the role that migrates, unless owners are to be kept (--keep-owners). Then the owners have to exist on \
the target, and the migrating role has to be a member of each. If everything belongs to one role, nothing gets mixed up and it is \
a note; if there are several, what they were kept apart for is lost unless they are kept.";

const ROLES_TEXT: &str = "\
Roles belong to the whole server, not to a database, and a copy does not carry them: neither their attributes, memberships, \
expiry dates and connection limits, nor passwords, nor settings made with alter role. Superusers, the roles that Postgres has by \
itself and those of providers are not counted. With a target, only those that are missing there are named.

The statements create them, without passwords, which nobody but a superuser can read; set a password for each role that logs in. \
Replication and bypassrls are left out of the statements where the target's role could not give them, and memberships are given \
without admin option. Create only the roles that this database's users need.";

const POLICIES_TEXT: &str = "\
Row-level security policies that are meant for certain roles are looked for where the target does not have the roles.

Such a policy cannot be created, and is left out by name. A table with row-level security and without its policy shows no row to \
anybody but its owner; if the policy that is left out was a restrictive one, it shows too many. Create the roles first.";

const PUBLIC_TEXT: &str = "\
Until Postgres 14 everybody may create objects in the schema public. From 15 on only the owner of the database may, unless \
somebody is granted it. This is looked at where the source is of major 14, and the target newer or not known. Named are the roles \
that own something in public only because everybody may create there.

On the target their next create table, or the deployment that makes it, fails with permission denied for schema public. Grant it to \
those that still need it.";

const TARGET_ROLES: &str = "select r.rolname::text as name from pg_roles r order by r.rolname";

/// Counted without what is only a part of another object: a table's row type and indexes, a range type's constructors, sequences.
const OWNED: &str = "
with owned as (
  select 'pg_class'::regclass as catalog, c.oid, c.relnamespace as namespace, c.relname::text as name, c.relowner as owner
    from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'f')
  union all
  select 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname::text, p.proowner from pg_proc p
  union all
  select 'pg_type'::regclass, t.oid, t.typnamespace, t.typname::text, t.typowner from pg_type t
   where t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
), user_schemas as (
  select n.oid, n.nspname::text as name, n.nspowner from pg_namespace n
   where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
)
select n.name as schema, o.name, r.rolname::text as owner, r.rolsuper as superuser
  from owned o join user_schemas n on n.oid = o.namespace join pg_roles r on r.oid = o.owner
 where not exists (select from pg_depend d where d.classid = o.catalog and d.objid = o.oid and d.objsubid = 0 and d.deptype in ('e', 'i'))
union all
select n.name, '', r.rolname::text, r.rolsuper from user_schemas n join pg_roles r on r.oid = n.nspowner where n.name <> 'public'
 order by 3, 1, 2";

#[derive(Deserialize)]
struct Owned {
    schema: String,
    name: String,
    owner: String,
    superuser: bool,
}

/// How many objects each owner has, and whether it is a superuser.
fn owners(cx: &Context<'_>, rows: &Rows) -> Result<BTreeMap<String, (usize, bool)>, serde_json::Error> {
    let mut owners = BTreeMap::new();
    for owned in rows.parse::<Owned>()? {
        let taken = if owned.name.is_empty() { !cx.is_platform(&owned.schema) } else { cx.takes(&owned.schema, &owned.name) };
        if taken {
            owners.entry(owned.owner).or_insert((0, owned.superuser)).0 += 1;
        }
    }
    Ok(owners)
}

fn owner_label((owner, (n, superuser)): (&String, &(usize, bool))) -> String {
    let superuser = if *superuser { ", a superuser" } else { "" };
    format!("role {} ({}{superuser})", human(owner), count(*n, "object", "objects"))
}

/// Where everything belongs to one role, all is as usual.
fn owners_alone(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let owners = owners(cx, rows)?;
    if owners.len() < 2 || has_target(cx) {
        return Ok(Vec::new());
    }
    let sentence = format!("What is to be moved belongs to {} roles.", owners.len());
    let why = "On the target everything will belong to the role that migrates, unless owners are kept. Whom each object is \
               kept from, and with whose rights functions run, depends on owners.";
    let fix = "To keep them, create these roles on the target before the copy, and copy with --keep-owners.";
    let finding = Finding::new("G1", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(owners.iter().map(owner_label).collect())])
}

fn owners_missing(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let (owners, there) = (owners(cx, source)?, names(target)?);
    let missing: Vec<_> = owners.iter().filter(|(owner, _)| !there.contains(*owner)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let migrating = cx.role(Side::Target);
    let objects: usize = missing.iter().map(|(_, (n, _))| n).sum();
    let sentence = format!(
        "{} to {} that the target does not have.",
        count(objects, "object belongs", "objects belong"),
        count(missing.len(), "role", "roles")
    );
    let why = format!("They will belong to {}, as all does unless owners are kept.", human(migrating.as_str()));
    let sql = missing.iter().map(|(owner, _)| create_and_join(cx, owner)).collect::<Vec<_>>();
    let words = "Nothing has to be done if that is right. To keep owners, execute this on the target, as a role that may create roles, and \
                 copy with --keep-owners";
    let severity = if owners.len() > 1 { Severity::Warning } else { Severity::Note };
    let finding = Finding::new("G1", severity, Side::Target.name(), sentence, &why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(missing.into_iter().map(owner_label).collect())])
}

/// A role that is to own something has to have the one who gives it away among its members.
fn create_and_join(cx: &Context<'_>, owner: &str) -> String {
    let owner = Ident::new(owner);
    match cx.of(Side::Target) {
        Some(target) if !target.can.superuser => format!("create role {owner};\ngrant {owner} to {};", cx.role(Side::Target)),
        _ => format!("create role {owner};"),
    }
}

/// Whether there is a target that was asked for its roles.
fn has_target(cx: &Context<'_>) -> bool {
    cx.known.target.is_some() && !cx.known.assumed
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

fn names(rows: &Rows) -> Result<BTreeSet<String>, serde_json::Error> {
    Ok(rows.parse::<Name>()?.into_iter().map(|row| row.name).collect())
}

/// Roles that people made. Providers' own have names of these kinds.
const ROLES: &str = "
select r.rolname::text as name, r.rolcanlogin as login, r.rolcreatedb as createdb, r.rolcreaterole as createrole,
       r.rolreplication as replication, r.rolbypassrls as bypassrls, not r.rolinherit as noinherit,
       nullif(r.rolconnlimit, -1)::int8 as connections, r.rolvaliduntil::text as until,
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
              where m.member = r.oid group by g.rolname order by g.rolname) as groups
  from pg_roles r
 where not r.rolsuper and r.rolname !~ '^(pg_|rds|aws_|cloudsql|alloydb|azure_|neon_|supabase_)'
   and r.rolname not in ('cloud_admin', 'avnadmin', 'doadmin', 'crunchy_superuser', 'pscale_admin', 'tsdbadmin')
 order by r.rolname";

#[derive(Deserialize)]
struct Role {
    name: String,
    login: bool,
    createdb: bool,
    createrole: bool,
    replication: bool,
    bypassrls: bool,
    noinherit: bool,
    connections: Option<i64>,
    until: Option<String>,
    groups: Vec<String>,
}

impl Role {
    /// What it has that a role does not have by itself. What only a superuser gives is included if `all`.
    fn attributes(&self, all: bool) -> Vec<String> {
        let flags = [
            (self.login, "login"),
            (self.createdb, "createdb"),
            (self.createrole, "createrole"),
            (self.replication && all, "replication"),
            (self.bypassrls && all, "bypassrls"),
            (self.noinherit, "noinherit"),
        ];
        let mut attributes: Vec<String> = flags.iter().filter(|(has, _)| *has).map(|(_, word)| (*word).to_owned()).collect();
        attributes.extend(self.connections.map(|n| format!("connection limit {n}")));
        attributes.extend(self.until.as_ref().map(|until| format!("valid until {}", literal(until))));
        attributes
    }

    fn label(&self) -> String {
        let mut details = self.attributes(true);
        if !self.groups.is_empty() {
            details.push(format!("in {}", self.groups.iter().map(|group| human(group)).collect::<Vec<_>>().join(", ")));
        }
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        format!("role {}{details}", human(&self.name))
    }

    /// Creates it in those of its groups that will be there.
    fn create(&self, all: bool, there: &BTreeSet<String>) -> String {
        let groups: Vec<String> =
            self.groups.iter().filter(|group| there.contains(*group)).map(|group| Ident::new(group).to_string()).collect();
        let mut words = vec![format!("create role {}", Ident::new(&self.name))];
        words.extend(self.attributes(all));
        if !groups.is_empty() {
            words.push(format!("in role {}", groups.join(", ")));
        }
        format!("{};", words.join(" "))
    }
}

fn roles_alone(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let roles: Vec<Role> = rows.parse()?;
    if has_target(cx) {
        return Ok(Vec::new());
    }
    // What every server of that age has.
    let there = roles.iter().flat_map(|role| &role.groups).filter(|group| group.starts_with("pg_")).cloned().collect();
    let sentence = format!("The source's server has {} that a copy does not carry.", count(roles.len(), "role", "roles"));
    Ok(not_carried(cx, Side::Source, Severity::Note, sentence, roles, there))
}

fn roles_missing(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let (mut roles, there): (Vec<Role>, _) = (source.parse()?, names(target)?);
    roles.retain(|role| !there.contains(&role.name));
    let sentence = format!("The target does not have {} of the source's server.", count(roles.len(), "role", "roles"));
    // That whoever migrates goes by another name there is as usual.
    let only_us = roles.iter().all(|role| role.name == cx.source().role);
    let severity = if only_us { Severity::Note } else { Severity::Warning };
    Ok(not_carried(cx, Side::Target, severity, sentence, roles, there))
}

/// `there` are roles of the target.
fn not_carried(
    cx: &Context<'_>,
    side: Side,
    severity: Severity,
    sentence: String,
    roles: Vec<Role>,
    mut there: BTreeSet<String>,
) -> Vec<Finding> {
    if roles.is_empty() {
        return Vec::new();
    }
    let all = cx.of(Side::Target).is_some_and(|target| target.can.superuser);
    let objects = roles.iter().map(Role::label).collect();
    let mut sql = Vec::new();
    for role in groups_first(roles) {
        sql.push(role.create(all, &there));
        there.insert(role.name);
    }
    let why =
        "Roles belong to the whole server. Who logs in by such a role cannot reach the target, and grants to it are not there.";
    let words = "Create those that this database's users need, on the target, as a role that may create roles; then give each that logs \
                 in a password with psql's \\password";
    vec![Finding::new("G9", severity, side.name(), sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)]
}

/// Sorts roles so that each comes after its groups. (Memberships have no cycles.)
fn groups_first(mut roles: Vec<Role>) -> Vec<Role> {
    let mut sorted = Vec::with_capacity(roles.len());
    while !roles.is_empty() {
        let waiting: BTreeSet<String> = roles.iter().map(|role| role.name.clone()).collect();
        let (ready, rest): (Vec<_>, Vec<_>) =
            roles.into_iter().partition(|role| !role.groups.iter().any(|group| waiting.contains(group)));
        if ready.is_empty() {
            sorted.extend(rest);
            break;
        }
        sorted.extend(ready);
        roles = rest;
    }
    sorted
}

/// (The role 0 is public.)
const POLICIES: &str = "
select n.nspname::text as schema, c.relname::text as name, p.polname::text as policy, r.rolname::text as role
  from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
  cross join unnest(p.polroles) a (role) join pg_roles r on r.oid = a.role
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 1, 2, 3, 4";

#[derive(Deserialize)]
struct Policy {
    schema: String,
    name: String,
    policy: String,
    role: String,
}

fn policies(cx: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let (mut found, there): (Vec<Policy>, _) = (source.parse()?, names(target)?);
    found.retain(|policy| cx.takes(&policy.schema, &policy.name) && !there.contains(&policy.role));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |policy: &Policy| {
        format!("policy {} of {} (for {})", human(&policy.policy), qualified(&policy.schema, &policy.name), human(&policy.role))
    };
    let roles: BTreeSet<&String> = found.iter().map(|policy| &policy.role).collect();
    let sql: Vec<String> = roles.iter().map(|role| format!("create role {};", Ident::new(*role))).collect();
    let sentence =
        format!("Policies of row-level security name {} that the target does not have.", count(roles.len(), "role", "roles"));
    let why = "A policy for a role that is not there cannot be created. The table then shows too few rows, or too many if the policy \
               was restrictive.";
    let words = "Create the roles before the copy, on the target, as a role that may create roles";
    let finding = Finding::new("G10", Severity::Warning, Side::Target.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(label).collect())])
}

/// Roles that own something in public, and may create there only because everybody may.
const PUBLIC: &str = "
select 'role' as kind, null as schema, r.rolname::text as name, count(*) || ' in public' as detail
  from pg_namespace n join pg_class c on c.relnamespace = n.oid join pg_roles r on r.oid = c.relowner
 where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and not r.rolsuper and r.oid <> n.nspowner
   and not exists (select from pg_database d where d.datname = current_database() and d.datdba = r.oid)
   and exists (select from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                where a.grantee = 0 and a.privilege_type = 'CREATE')
   and not exists (select from aclexplode(n.nspacl) a where a.grantee = r.oid and a.privilege_type = 'CREATE')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 group by r.rolname
 order by r.rolname";

fn create_in_public(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let roles: Vec<Object> = rows.parse()?;
    let newer = cx.of(Side::Target).is_none_or(|target| target.version.major() >= 15);
    if roles.is_empty() || !newer || cx.source().version.major() >= 15 {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} in the schema public only because everybody may.",
        count(roles.len(), "role creates objects", "roles create objects")
    );
    let why = "From Postgres 15 on only the owner of a database may create in public, and others need to be granted it.";
    let sql: Vec<String> =
        roles.iter().map(|role| format!("grant create on schema public to {};", Ident::new(&role.name))).collect();
    let words = "Execute this in the target database, as its owner, once the roles are there, for those that still need it";
    let finding = Finding::new("G13", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(roles.iter().map(Object::label).collect())])
}
