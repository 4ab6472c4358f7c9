//! What preflight learned, for the phases that follow.

use std::sync::LazyLock;

use futures_util::future::{try_join, try_join3, try_join4};
use serde::{Deserialize, Serialize};

use super::Address;
use super::answer::{Answers, undecodable};
use super::check::{Object, Side};
use crate::migration::provider::{self, Marks, Provider};
use crate::pg::error::PgError;
use crate::pg::names::literal;
use crate::pg::types::{Oid, ServerVersion};

/// The schema that a migration keeps its own records in, on the target.
pub const OWN_SCHEMA: &str = "neon_migrate";

/// Both ends, as they were when preflight looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The source.
    pub source: ServerFacts,
    /// The target.
    pub target: ServerFacts,
    /// How much there is to move.
    pub size: SourceSize,
    /// Extensions of the source that the target does not offer.
    pub missing_extensions: Vec<String>,
    /// What the target held already; nothing if the role may not see it.
    pub target_content: Option<TargetContent>,
    /// How many jobs both servers have connections for, at most as many as were wanted; 0 if not even one.
    pub jobs: u32,
    /// Whether the target is Neon, or like it a server where the role is no superuser: owners, grants and other people's objects
    /// stay out.
    pub neon_shaped: bool,
}

/// What is known before the checks run. There may be no target, or one that does not exist yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// The source.
    pub(super) source: ServerFacts,
    /// The target, or what is published about the one that would be created.
    pub(super) target: Option<ServerFacts>,
    /// The target does not exist yet.
    pub(super) assumed: bool,
    /// How much there is to move.
    pub(super) size: SourceSize,
    /// Extensions of the source.
    pub(super) extensions: Vec<Installed>,
    /// What the target offers, by name; nothing without a target.
    pub(super) offered: Option<Vec<Offered>>,
    /// What the target held already; nothing if the role may not see it.
    pub(super) target_content: Option<TargetContent>,
    /// How many jobs both servers have connections for.
    pub(super) jobs: u32,
    /// Who hosts the source.
    pub(super) provider: &'static Provider,
    /// Schemas of the source that belong to the provider's platform and stay behind.
    pub(super) platform_schemas: Vec<String>,
}

/// An extension of the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Installed {
    /// Its name.
    pub(super) name: String,
    /// Its version there.
    pub(super) version: String,
    /// The schema that it is in.
    pub(super) schema: String,
}

/// An extension that the target offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Offered {
    /// Its name.
    pub(super) name: String,
    /// The version that `create extension` would make; that of the installed one where there is one.
    pub(super) version: String,
    /// Whether only a superuser may create it.
    pub(super) superuser_only: bool,
}

impl Known {
    /// Extensions of the source that the target does not offer.
    pub(super) fn missing_extensions(&self) -> Vec<String> {
        let Some(offered) = &self.offered else { return Vec::new() };
        let missing = self.extensions.iter().filter(|installed| offered.iter().all(|offered| offered.name != installed.name));
        missing.map(|installed| installed.name.clone()).collect()
    }

    /// What the phases of a copy need to know; nothing without a target.
    pub(super) fn facts(&self) -> Option<Facts> {
        let target = self.target.clone()?;
        Some(Facts {
            jobs: self.jobs,
            neon_shaped: !target.can.superuser || target.provider.as_deref() == Some("Neon"),
            source: self.source.clone(),
            target,
            size: self.size,
            missing_extensions: self.missing_extensions(),
            target_content: self.target_content.clone(),
        })
    }
}

/// One end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// The server's version.
    pub version: ServerVersion,
    /// The cluster's system identifier; nothing if the role may not see it.
    pub system_identifier: Option<String>,
    /// When the server started, in microseconds since 1970.
    pub started_at_us: i64,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// The database.
    pub database: String,
    /// The database's oid.
    pub database_oid: Oid,
    /// The role that is connected.
    pub role: String,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// The database's locale.
    pub locale: Locale,
    /// The hosting provider, where it can be told.
    pub provider: Option<String>,
    /// What the role may do.
    pub can: Capabilities,
    /// Connections.
    pub connections: Connections,
    /// How many locks fit into the server's lock table, approximately.
    pub lock_slots: u64,
    /// How many relations (tables, indexes, sequences, TOAST) there are in the database's user schemas.
    pub relations: u64,
    /// Settings that a role, a database or the server forces on each session and that concern a migration.
    pub forced: Vec<ForcedSetting>,
}

/// A database's locale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// `c` for libc, `i` for ICU, `b` for the built-in one.
    pub provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The locale of an ICU or built-in provider.
    pub name: Option<String>,
}

/// What the connected role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It is a superuser.
    pub superuser: bool,
    /// Row-level security does not apply to it.
    pub bypass_rls: bool,
    /// It may create roles.
    pub create_role: bool,
    /// It may create databases.
    pub create_database: bool,
    /// It may replicate.
    pub replication: bool,
    /// It owns the database, directly or through a role.
    pub owns_database: bool,
    /// It may create schemas in the database.
    pub create_in_database: bool,
    /// It may create objects in the schema `public`; nothing if there is no such schema.
    pub create_in_public: Option<bool>,
    /// It may create temporary tables.
    pub create_temporary: bool,
    /// It may create event triggers: superusers may, and on Neon the members of `neon_superuser`.
    pub create_event_triggers: bool,
    /// It may set `session_replication_role`, which keeps triggers and foreign keys still. Asked of the target only.
    pub set_replication_role: Option<bool>,
}

/// How many connections a server has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// `max_connections`.
    pub max: u32,
    /// Those kept for superusers and for reserved roles.
    pub reserved: u32,
    /// Those in use by others on the whole server.
    pub used: u32,
    /// How many more this role can open in this database; every limit is taken into account.
    pub free: u32,
}

/// A setting that each session starts with, other than Postgres's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedSetting {
    /// Its name.
    pub name: String,
    /// Its value, with its unit.
    pub value: String,
}

/// How much there is to move, by the source's own statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceSize {
    /// The database's size on disk, in bytes; nothing if the role may not see it.
    pub database_bytes: Option<u64>,
    /// Tables with rows of their own.
    pub tables: u64,
    /// Rows, as the last `analyze` estimated them.
    pub rows_estimate: u64,
    /// Whether there are large objects; nothing if the role may not see it.
    pub large_objects: Option<bool>,
}

/// What the target held before the migration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetContent {
    /// Objects that a person made, the first few, as `table app.orders`.
    pub objects: Vec<String>,
    /// How many there are.
    pub objects_total: u64,
    /// Whether an earlier migration left its records.
    pub own_schema: bool,
}

/// One row about the server, the database and the role; only what every role may see. `to_jsonb` reads columns that not every major
/// has.
const SERVER: &str = "
select to_number(current_setting('server_version_num'), '9999999999')::int4 as version,
       (extract(epoch from pg_postmaster_start_time()) * 1000000)::int8 as started_at_us,
       pg_is_in_recovery() as in_recovery,
       d.datname::text as database, d.oid::int8 as database_oid, r.rolname::text as role,
       pg_encoding_to_char(d.encoding)::text as encoding,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') as provider, d.datcollate::text as collate, d.datctype::text as ctype,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
       r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolconnlimit, d.datconnlimit,
       pg_has_role(d.datdba, 'USAGE') as owns_database,
       has_database_privilege(d.oid, 'CREATE') as create_in_database,
       has_database_privilege(d.oid, 'TEMP') as create_temporary,
       (select has_schema_privilege(n.oid, 'CREATE') from pg_namespace n where n.nspname = 'public') as create_in_public,
       exists (select from pg_roles g where g.rolname = 'neon_superuser' and pg_has_role(g.oid, 'MEMBER'))
         and exists (select from pg_settings where name ~ '^neon\\.') as neon_superuser,
       to_number(current_setting('max_connections'), '9999999999')::int4 as max_connections,
       to_number(current_setting('superuser_reserved_connections'), '9999999999')::int4
         + to_number(coalesce(current_setting('reserved_connections', true), '0'), '9999999999')::int4 as reserved,
       to_number(current_setting('max_locks_per_transaction'), '9999999999')::int8
         * (to_number(current_setting('max_connections'), '9999999999')::int8 + to_number(current_setting('max_prepared_transactions'), '9999999999')::int8) as lock_slots,
       (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'i', 'I', 'm', 'S', 't')
           and (n.nspname = 'pg_toast' or n.nspname !~ '^pg_' and n.nspname <> 'information_schema')) as relations
  from pg_database d, pg_roles r
 where d.datname = current_database() and r.rolname = current_user";

/// Sessions of others. Roles without `pg_read_all_stats` see no `backend_type` of other roles, but they do see who is connected.
const SESSIONS: &str = "
select count(*)::int4 as used,
       (count(*) filter (where a.usename = current_user))::int4 as used_by_role,
       (count(*) filter (where a.datname = current_database()))::int4 as used_in_database
  from pg_stat_activity a
 where a.usesysid is not null and a.datid is not null and coalesce(a.backend_type, 'client backend') = 'client backend'
   and a.pid <> pg_backend_pid()";

const SYSTEM_IDENTIFIER: &str = "select system_identifier::text as id from pg_control_system()";

/// Asks by trying, because providers allow it in ways of their own: the setting ends with the statement's own transaction, and an
/// error is the answer no. Servers log such errors, so the source, which is in use, is not asked.
const REPLICATION_ROLE: &str = "select set_config('session_replication_role', 'replica', true) as role";

/// `reset_val` is what the session began with, whatever it was set to since.
const FORCED: &str = "
select name::text, reset_val || coalesce(' ' || unit, '') as value
  from pg_settings
 where (name in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                 'transaction_timeout') and reset_val not in ('0', ''))
    or (name = 'default_transaction_read_only' and reset_val = 'on')
 order by name";

/// What gives a provider away ([`provider`]): prefixes of settings, and those roles, schemas, databases and extensions that are known to.
static MARKS: LazyLock<String> = LazyLock::new(|| {
    let known = |of: fn(&'static Provider) -> &'static [String]| {
        let names: Vec<String> = provider::all().iter().flat_map(of).map(|name| literal(name)).collect();
        if names.is_empty() { "''".to_owned() } else { names.join(", ") }
    };
    format!(
        "select distinct 'setting' as kind, split_part(name, '.', 1)::text as name from pg_settings where name like '%.%'
union all select 'role', rolname::text from pg_roles where rolname in ({})
union all select 'schema', nspname::text from pg_namespace where nspname in ({})
union all select 'database', datname::text from pg_database where datname in ({})
union all select 'extension', extname::text from pg_extension where extname in ({})
union all select 'setting', 'aurora' from pg_proc where proname = 'aurora_version'
order by 1, 2",
        known(|provider| &provider.roles),
        known(|provider| &provider.schemas),
        known(|provider| &provider.databases),
        known(|provider| &provider.extensions)
    )
});

/// The row of [`SERVER`].
#[derive(Debug, Deserialize)]
struct Server {
    version: u32,
    started_at_us: i64,
    in_recovery: bool,
    database: String,
    database_oid: Oid,
    role: String,
    encoding: String,
    provider: String,
    collate: String,
    ctype: String,
    locale: Option<String>,
    rolsuper: bool,
    rolbypassrls: bool,
    rolcreaterole: bool,
    rolcreatedb: bool,
    rolreplication: bool,
    rolconnlimit: i64,
    datconnlimit: i64,
    owns_database: bool,
    create_in_database: bool,
    create_temporary: bool,
    create_in_public: Option<bool>,
    neon_superuser: bool,
    max_connections: u32,
    reserved: u32,
    lock_slots: u64,
    relations: u64,
}

/// The row of [`SESSIONS`].
#[derive(Debug, Deserialize)]
struct Sessions {
    used: i64,
    used_by_role: i64,
    used_in_database: i64,
}

/// The questions that learning about an end asks, for the script of [`super::metadata`].
pub(super) fn questions() -> [(&'static str, &'static str); 8] {
    [
        ("The server, the database and the role", SERVER),
        ("How many sessions there are", SESSIONS),
        ("Settings that every session begins with", FORCED),
        ("The hosting provider", MARKS.as_str()),
        ("The identity of the cluster", SYSTEM_IDENTIFIER),
        ("How much there is to move", SIZE),
        ("The size of the database", DATABASE_SIZE),
        ("Whether there are large objects", LARGE_OBJECTS),
    ]
}

/// Learns about one end, and who hosts it. The address helps where the server itself shows no mark.
pub(super) async fn server(
    answers: Answers<'_>,
    side: Side,
    address: Option<&Address>,
) -> Result<(ServerFacts, &'static Provider), PgError> {
    let needed = try_join4(answers.rows(SERVER), answers.rows(SESSIONS), answers.rows(FORCED), answers.rows(&MARKS));
    let ((server, sessions, forced, marks), identifier) = try_join(needed, answers.ask(SYSTEM_IDENTIFIER)).await?;
    let nothing = || PgError::Protocol("no row about the connected role and database".to_owned());
    let server: Server = server.first().map_err(undecodable)?.ok_or_else(nothing)?;
    let sessions: Sessions = sessions.first().map_err(undecodable)?.ok_or_else(nothing)?;
    let connections = connections(&server, &sessions);
    let mut facts = decode(server, connections);
    facts.system_identifier = identifier.and_then(|rows| value(&rows, "id"));
    if side == Side::Target {
        facts.can.set_replication_role = Some(answers.ask(REPLICATION_ROLE).await?.is_some());
    }
    let host = hosted_by(&marks.parse::<Object>().map_err(undecodable)?, address, facts.can.superuser);
    facts.provider = (host.id != provider::self_hosted().id).then(|| host.name.clone());
    facts.forced = forced.parse().map_err(undecodable)?;
    Ok((facts, host))
}

/// One value of the first row.
fn value<T: serde::de::DeserializeOwned>(rows: &super::answer::Rows, column: &str) -> Option<T> {
    let row: serde_json::Value = rows.first().ok()??;
    serde_json::from_value(row.get(column)?.clone()).ok()
}

fn decode(server: Server, connections: Connections) -> ServerFacts {
    let superuser = server.rolsuper;
    ServerFacts {
        version: ServerVersion(server.version),
        system_identifier: None,
        started_at_us: server.started_at_us,
        in_recovery: server.in_recovery,
        database: server.database,
        database_oid: server.database_oid,
        role: server.role,
        encoding: server.encoding,
        locale: Locale { provider: server.provider, collate: server.collate, ctype: server.ctype, name: server.locale },
        provider: None,
        can: Capabilities {
            superuser,
            bypass_rls: superuser || server.rolbypassrls,
            create_role: superuser || server.rolcreaterole,
            create_database: superuser || server.rolcreatedb,
            replication: superuser || server.rolreplication,
            owns_database: server.owns_database,
            create_in_database: server.create_in_database,
            create_in_public: server.create_in_public,
            create_temporary: server.create_temporary,
            create_event_triggers: superuser || server.neon_superuser,
            set_replication_role: None,
        },
        connections,
        lock_slots: server.lock_slots,
        relations: server.relations,
        forced: Vec::new(),
    }
}

/// The least of what the server, the role and the database leave; a limit of -1 is none.
fn connections(server: &Server, sessions: &Sessions) -> Connections {
    let reserved = if server.rolsuper { 0 } else { server.reserved };
    let mut free = i64::from(server.max_connections) - i64::from(reserved) - sessions.used;
    if !server.rolsuper {
        let limits = [(server.rolconnlimit, sessions.used_by_role), (server.datconnlimit, sessions.used_in_database)];
        for (limit, used) in limits.into_iter().filter(|(limit, _)| *limit >= 0) {
            free = free.min(limit - used);
        }
    }
    let unsigned = |n: i64| u32::try_from(n).unwrap_or(0);
    Connections { max: server.max_connections, reserved, used: unsigned(sessions.used), free: unsigned(free) }
}

fn hosted_by(marks: &[Object], address: Option<&Address>, superuser: bool) -> &'static Provider {
    let of = |kind: &str| -> Vec<String> {
        marks.iter().filter(|mark| mark.kind.as_deref() == Some(kind)).map(|mark| mark.name.clone()).collect()
    };
    let (settings, roles, schemas, databases, extensions) =
        (of("setting"), of("role"), of("schema"), of("database"), of("extension"));
    let marks = Marks {
        setting_prefixes: &settings,
        roles: &roles,
        schemas: &schemas,
        databases: &databases,
        extensions: &extensions,
        superuser,
    };
    provider::recognise(address.map(|address| (address.host.as_str(), address.port, address.user.as_str())), &marks)
}

/// Sizes by statistics: the rows of leaf tables are counted, not those of partitioned parents; `reltuples` is -1 where nothing is
/// known.
const SIZE: &str = "
select count(*) filter (where c.relkind = 'r') as tables,
       coalesce(sum(greatest(c.reltuples, 0)) filter (where c.relkind = 'r'), 0)::int8 as rows_estimate
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

const DATABASE_SIZE: &str = "select pg_database_size(current_database()) as bytes";

const LARGE_OBJECTS: &str = "select exists (select from pg_largeobject_metadata) as found";

/// Learns how much there is to move.
pub(super) async fn size(source: Answers<'_>) -> Result<SourceSize, PgError> {
    let (size, bytes, large_objects) = try_join3(source.rows(SIZE), source.ask(DATABASE_SIZE), source.ask(LARGE_OBJECTS)).await?;
    Ok(SourceSize {
        database_bytes: bytes.and_then(|rows| value(&rows, "bytes")),
        tables: value(&size, "tables").unwrap_or(0),
        rows_estimate: value(&size, "rows_estimate").unwrap_or(0),
        large_objects: large_objects.and_then(|rows| value(&rows, "found")),
    })
}

#[cfg(test)]
impl Known {
    /// Two plain servers of major 17 with nothing to say about them.
    pub(super) fn plain() -> Known {
        let server = |identifier: &str, started_at_us: i64| ServerFacts {
            version: ServerVersion(170_002),
            system_identifier: Some(identifier.to_owned()),
            started_at_us,
            in_recovery: false,
            database: "shop".into(),
            database_oid: 16_384,
            role: "owner".into(),
            encoding: "UTF8".into(),
            locale: Locale { provider: "c".into(), collate: "C.UTF-8".into(), ctype: "C.UTF-8".into(), name: None },
            provider: None,
            can: Capabilities {
                superuser: false,
                bypass_rls: false,
                create_role: false,
                create_database: false,
                replication: false,
                owns_database: true,
                create_in_database: true,
                create_in_public: Some(true),
                create_temporary: true,
                create_event_triggers: false,
                set_replication_role: Some(false),
            },
            connections: Connections { max: 100, reserved: 3, used: 5, free: 92 },
            lock_slots: 6400,
            relations: 10,
            forced: Vec::new(),
        };
        Known {
            source: server("1", 1),
            target: Some(server("2", 2)),
            assumed: false,
            size: SourceSize::default(),
            extensions: Vec::new(),
            offered: Some(Vec::new()),
            target_content: Some(TargetContent::default()),
            jobs: 4,
            provider: provider::self_hosted(),
            platform_schemas: Vec::new(),
        }
    }

    /// The target of [`Known::plain`], to be changed.
    pub(super) fn target_mut(&mut self) -> &mut ServerFacts {
        self.target.get_or_insert_with(|| unreachable!("it was made with a target"))
    }
}
