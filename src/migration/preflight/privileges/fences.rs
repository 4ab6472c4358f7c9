//! C8: how the source can be closed to writers at the end of a live migration.
//!
//! Nothing here is a finding: which ways there are is a result of its own. What each way takes, from Postgres's documentation and code:
//!
//! * Connections not allowed, a connection limit, and sessions that begin read-only are properties of the database, so they take its
//!   owner. The first cannot be set from a session in that database, superusers pass the second, and everyone may undo the third.
//! * Login taken from roles takes `createrole`, from 16 on also the admin option on each role, and a superuser for superusers.
//! * Locked tables take `update`, `delete` or `truncate` (from 17 on also `maintain`) on each.

use crate::migration::preflight::answer::{Answers, undecodable};
use crate::migration::preflight::check::{Object, Place};
use crate::pg::error::PgError;

/// What the role could do to keep writers away from the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fences {
    /// It is a superuser, so every way is open.
    pub superuser: bool,
    /// It owns the database, directly or through a role: it can refuse connections, limit them, and make sessions begin read-only.
    pub owns_database: bool,
    /// Roles that may log in to the database and whose login it cannot take away; superusers are not among them.
    pub roles_out_of_reach: Vec<String>,
    /// Tables that it cannot lock against writers, as (schema, name).
    pub tables_not_lockable: Vec<(String, String)>,
}

impl Fences {
    /// Whether `alter database … allow_connections false` is possible, from a session in another database.
    pub fn can_refuse_connections(&self) -> bool {
        self.superuser || self.owns_database
    }

    /// Whether `alter database … connection limit 0` is possible, which superusers pass.
    pub fn can_limit_connections(&self) -> bool {
        self.superuser || self.owns_database
    }

    /// Whether `alter database … set default_transaction_read_only` is possible, which binds nobody who does not want to be bound.
    pub fn can_begin_read_only(&self) -> bool {
        self.superuser || self.owns_database
    }

    /// Whether `alter role … nologin` is possible for every role that may connect, other than superusers.
    pub fn can_take_logins(&self) -> bool {
        self.superuser || self.roles_out_of_reach.is_empty()
    }

    /// Whether every table can be locked.
    pub fn can_lock_tables(&self) -> bool {
        self.superuser || self.tables_not_lockable.is_empty()
    }
}

/// What the server, its roles and its tables allow; `kind` tells them apart.
pub(in crate::migration::preflight) const FENCES: &str = "
select 'superuser' as kind, null::text as schema, r.rolname::text as name from pg_roles r where r.rolname = current_user and r.rolsuper
union all
select 'owner', null, d.datname::text from pg_database d where d.datname = current_database() and pg_has_role(d.datdba, 'USAGE')
union all
select 'role', null, o.rolname::text
  from pg_roles o, pg_roles r
 where r.rolname = current_user and not r.rolsuper and o.rolcanlogin and not o.rolsuper and o.oid <> r.oid
   and has_database_privilege(o.oid, current_database(), 'CONNECT')
   and not (r.rolcreaterole
            and (to_number(current_setting('server_version_num'), '9999999999')::int4 < 160000 or pg_has_role(o.oid, 'USAGE WITH ADMIN OPTION')))
union all
select 'table', n.nspname::text, c.relname::text
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'
       || case when to_number(current_setting('server_version_num'), '9999999999')::int4 >= 170000 then ', MAINTAIN' else '' end)
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1, 2, 3";

/// Asks the source which ways there are. Tables out of scope count too; the caller knows the scope.
///
/// # Errors
///
/// What the server or the file answers; a lost connection.
pub async fn fences(source: Place<'_>) -> Result<Fences, PgError> {
    let answers = match source {
        Place::Live(end) => Answers::Session(end.client),
        Place::File(metadata) => Answers::File(metadata),
    };
    let mut fences =
        Fences { superuser: false, owns_database: false, roles_out_of_reach: Vec::new(), tables_not_lockable: Vec::new() };
    for Object { kind, schema, name, .. } in answers.rows(FENCES).await?.parse().map_err(undecodable)? {
        match (kind.as_deref(), schema) {
            (Some("superuser"), _) => fences.superuser = true,
            (Some("owner"), _) => fences.owns_database = true,
            (Some("role"), _) => fences.roles_out_of_reach.push(name),
            (_, Some(schema)) => fences.tables_not_lockable.push((schema, name)),
            _ => {}
        }
    }
    Ok(fences)
}
