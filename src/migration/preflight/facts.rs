//! What preflight learned, for the phases that follow.

use futures_util::future::{try_join, try_join3, try_join4};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use super::check::{Side, query_alone};
use crate::pg::error::PgError;
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

impl Facts {
    /// The facts of one end.
    pub fn of(&self, side: Side) -> &ServerFacts {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
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
select current_setting('server_version_num')::int4 as version,
       (extract(epoch from pg_postmaster_start_time()) * 1000000)::int8 as started_at_us,
       pg_is_in_recovery() as in_recovery,
       d.datname::text as database, d.oid as database_oid, r.rolname::text as role,
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
       current_setting('max_connections')::int4 as max_connections,
       current_setting('superuser_reserved_connections')::int4
         + coalesce(current_setting('reserved_connections', true), '0')::int4 as reserved,
       current_setting('max_locks_per_transaction')::int8
         * (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8) as lock_slots,
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

const SYSTEM_IDENTIFIER: &str = "select system_identifier::text from pg_control_system()";

/// Asks by trying, because providers allow it in ways of their own: the setting ends with the statement's own transaction, and an
/// error is the answer no. Servers log such errors, so the source, which is in use, is not asked.
const REPLICATION_ROLE: &str = "select set_config('session_replication_role', 'replica', true)";

/// `reset_val` is what the session began with, whatever it was set to since.
const FORCED: &str = "
select name::text, reset_val || coalesce(' ' || unit, '') as value
  from pg_settings
 where (name in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
                 'transaction_timeout') and reset_val not in ('0', ''))
    or (name = 'default_transaction_read_only' and reset_val = 'on')
 order by name";

/// Prefixes of settings and names of roles that give a provider away.
const PROVIDER: &str = "
select distinct split_part(name, '.', 1)::text as mark from pg_settings
 where name ~ '^(rds|apg|aurora|cloudsql|alloydb|azure|neon|supautils|aiven|crunchy)\\.'
union
select rolname::text from pg_roles
 where rolname in ('rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin', 'neon_superuser', 'supabase_admin',
                   'avnadmin', 'tsdbadmin', 'doadmin', 'crunchy_superuser', 'pscale_admin', '_rdb_admin')";

/// From the most telling mark to the least: Supabase, for one, has settings of others.
const PROVIDERS: [(&str, &str); 21] = [
    ("supabase_admin", "Supabase"),
    ("supautils", "Supabase"),
    ("neon_superuser", "Neon"),
    ("neon", "Neon"),
    ("apg", "Amazon Aurora"),
    ("aurora", "Amazon Aurora"),
    ("rds", "Amazon RDS"),
    ("rds_superuser", "Amazon RDS"),
    ("alloydb", "AlloyDB"),
    ("alloydbsuperuser", "AlloyDB"),
    ("cloudsql", "Cloud SQL"),
    ("cloudsqlsuperuser", "Cloud SQL"),
    ("azure", "Azure"),
    ("azure_pg_admin", "Azure"),
    ("aiven", "Aiven"),
    ("avnadmin", "Aiven"),
    ("tsdbadmin", "Timescale"),
    ("doadmin", "DigitalOcean"),
    ("crunchy", "Crunchy Bridge"),
    ("crunchy_superuser", "Crunchy Bridge"),
    ("pscale_admin", "PlanetScale"),
];

/// Learns about one end.
pub(super) async fn server(client: &Client, side: Side) -> Result<ServerFacts, PgError> {
    let needed = try_join4(
        query_alone(client, SERVER),
        query_alone(client, SESSIONS),
        query_alone(client, FORCED),
        query_alone(client, PROVIDER),
    );
    let ((server, sessions, forced, marks), identifier) = try_join(needed, ask(client, SYSTEM_IDENTIFIER)).await?;
    let (Some(server), Some(sessions)) = (server.first(), sessions.first()) else {
        return Err(PgError::Protocol("no row about the connected role and database".to_owned()));
    };
    let mut facts = decode(server, connections(server, sessions)?)?;
    facts.system_identifier = identifier.and_then(|rows| rows.first().and_then(|row| row.try_get(0).ok()));
    if side == Side::Target {
        facts.can.set_replication_role = Some(ask(client, REPLICATION_ROLE).await?.is_some());
    }
    facts.provider = provider(&marks)?;
    for row in &forced {
        facts.forced.push(ForcedSetting { name: row.try_get("name")?, value: row.try_get("value")? });
    }
    Ok(facts)
}

/// Asks what a server may refuse to answer; a refusal is no answer, anything else that fails is a failure.
pub(super) async fn ask(client: &Client, query: &str) -> Result<Option<Vec<Row>>, PgError> {
    match query_alone(client, query).await {
        Ok(rows) => Ok(Some(rows)),
        Err(PgError::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn decode(row: &Row, connections: Connections) -> Result<ServerFacts, tokio_postgres::Error> {
    let superuser: bool = row.try_get("rolsuper")?;
    Ok(ServerFacts {
        version: ServerVersion(unsigned(row.try_get::<_, i32>("version")?)),
        system_identifier: None,
        started_at_us: row.try_get("started_at_us")?,
        in_recovery: row.try_get("in_recovery")?,
        database: row.try_get("database")?,
        database_oid: row.try_get("database_oid")?,
        role: row.try_get("role")?,
        encoding: row.try_get("encoding")?,
        locale: Locale {
            provider: row.try_get("provider")?,
            collate: row.try_get("collate")?,
            ctype: row.try_get("ctype")?,
            name: row.try_get("locale")?,
        },
        provider: None,
        can: Capabilities {
            superuser,
            bypass_rls: superuser || row.try_get::<_, bool>("rolbypassrls")?,
            create_role: superuser || row.try_get::<_, bool>("rolcreaterole")?,
            create_database: superuser || row.try_get::<_, bool>("rolcreatedb")?,
            replication: superuser || row.try_get::<_, bool>("rolreplication")?,
            owns_database: row.try_get("owns_database")?,
            create_in_database: row.try_get("create_in_database")?,
            create_in_public: row.try_get("create_in_public")?,
            create_temporary: row.try_get("create_temporary")?,
            create_event_triggers: superuser || row.try_get::<_, bool>("neon_superuser")?,
            set_replication_role: None,
        },
        connections,
        lock_slots: u64::try_from(row.try_get::<_, i64>("lock_slots")?).unwrap_or(0),
        relations: u64::try_from(row.try_get::<_, i64>("relations")?).unwrap_or(0),
        forced: Vec::new(),
    })
}

/// The least of what the server, the role and the database leave; a limit of -1 is none.
fn connections(server: &Row, sessions: &Row) -> Result<Connections, tokio_postgres::Error> {
    let superuser: bool = server.try_get("rolsuper")?;
    let max = server.try_get::<_, i32>("max_connections")?;
    let reserved = if superuser { 0 } else { server.try_get::<_, i32>("reserved")? };
    let used = sessions.try_get::<_, i32>("used")?;
    let mut free = max - reserved - used;
    if !superuser {
        for (limit, used) in [("rolconnlimit", "used_by_role"), ("datconnlimit", "used_in_database")] {
            let limit = server.try_get::<_, i32>(limit)?;
            if limit >= 0 {
                free = free.min(limit - sessions.try_get::<_, i32>(used)?);
            }
        }
    }
    Ok(Connections { max: unsigned(max), reserved: unsigned(reserved), used: unsigned(used), free: unsigned(free) })
}

fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn provider(marks: &[Row]) -> Result<Option<String>, tokio_postgres::Error> {
    let marks = marks.iter().map(|row| row.try_get::<_, String>("mark")).collect::<Result<Vec<_>, _>>()?;
    let known = PROVIDERS.iter().find(|(mark, _)| marks.iter().any(|seen| seen == mark));
    Ok(known.map(|(_, name)| (*name).to_owned()))
}

/// Sizes by statistics: the rows of leaf tables are counted, not those of partitioned parents; `reltuples` is -1 where nothing is
/// known.
const SIZE: &str = "
select count(*) filter (where c.relkind = 'r') as tables,
       coalesce(sum(greatest(c.reltuples, 0)) filter (where c.relkind = 'r'), 0)::int8 as rows_estimate
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

const DATABASE_SIZE: &str = "select pg_database_size(current_database())";

const LARGE_OBJECTS: &str = "select exists (select from pg_largeobject_metadata)";

/// Learns how much there is to move.
pub(super) async fn size(source: &Client) -> Result<SourceSize, PgError> {
    let (size, bytes, large_objects) =
        try_join3(query_alone(source, SIZE), ask(source, DATABASE_SIZE), ask(source, LARGE_OBJECTS)).await?;
    let bytes = bytes.and_then(|rows| rows.first().and_then(|row| row.try_get::<_, i64>(0).ok()));
    let Some(row) = size.first() else { return Ok(SourceSize::default()) };
    let number = |name: &str| row.try_get::<_, i64>(name).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(SourceSize {
        database_bytes: bytes.and_then(|n| u64::try_from(n).ok()),
        tables: number("tables")?,
        rows_estimate: number("rows_estimate")?,
        large_objects: large_objects.and_then(|rows| rows.first().and_then(|row| row.try_get(0).ok())),
    })
}

#[cfg(test)]
impl Facts {
    /// Two plain servers of major 17 with nothing to say about them.
    pub(super) fn plain() -> Facts {
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
        Facts {
            source: server("1", 1),
            target: server("2", 2),
            size: SourceSize::default(),
            missing_extensions: Vec::new(),
            target_content: Some(TargetContent::default()),
            jobs: 4,
            neon_shaped: true,
        }
    }
}
