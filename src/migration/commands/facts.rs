//! What the commands depend on, asked of both ends: read-only, with time limits, in one moment of each.

use tokio_postgres::{Client, Row};

use crate::migration::ends::in_time;
use crate::migration::error::{Error, Side};
use crate::migration::provider::{self, Marks, Provider};
use crate::pg::error::PgError;
use crate::pg::names::{QualifiedName, literal};
use crate::pg::types::Oid;

/// Nothing is written, nobody is waited for long, and no user's function stands in the place of a built-in one.
const BEGIN: &str = "begin isolation level repeatable read read only; set local search_path to pg_catalog, pg_temp; \
                     set local statement_timeout to '20s'; set local lock_timeout to '2s'";

/// What the source has.
#[derive(Debug, Default)]
pub struct OnSource {
    /// Its schemas.
    pub schemas: Vec<String>,
    /// Roles that own something.
    pub owners: Vec<String>,
    /// Roles that something is granted to.
    pub grantees: Vec<String>,
    /// Roles that policies and user mappings are for.
    pub named_roles: Vec<String>,
    /// Tablespaces that something is in, other than the default one.
    pub tablespaces: Vec<String>,
    /// Publications.
    pub publications: Vec<String>,
    /// How many subscriptions the database has.
    pub subscriptions: i64,
    /// How many security labels.
    pub security_labels: i64,
    /// Event triggers that belong to no extension.
    pub event_triggers: Vec<String>,
    /// Extensions but plpgsql.
    pub extensions: Vec<String>,
    /// Configuration tables of extensions.
    pub config: Vec<ConfigTable>,
    /// Whether somebody gave the schema `public` a comment.
    pub public_comment: bool,
    /// `wal_level`.
    pub wal_level: String,
    /// Replication slots.
    pub slots: Vec<String>,
    /// How many more slots there may be.
    pub slots_free: i64,
    /// Whether the role may replicate by membership (Amazon RDS).
    pub replicates_by_membership: bool,
    /// Whether this session is encrypted.
    pub encrypted: bool,
    /// Ordinary and partitioned tables that are nobody's partition.
    pub tables: Vec<Table>,
    /// Materialized views that are filled.
    pub materialized: Vec<QualifiedName>,
}

/// A configuration table of an extension, or a sequence, whose content a dump takes along.
#[derive(Debug)]
pub struct ConfigTable {
    /// Whether it is a sequence.
    pub is_sequence: bool,
    /// Its extension.
    pub extension: String,
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it has rows that belong to the user, or was used if it is a sequence.
    pub has_rows: bool,
}

/// A table that may be published, or not.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it is partitioned.
    pub is_root: bool,
    /// Whether the role owns it.
    pub is_own: bool,
    /// Whether it, or a partition of it, is unlogged.
    pub unlogged: bool,
    /// The parts without a usable replica identity: itself, or partitions of it.
    pub without_identity: Vec<QualifiedName>,
    /// The tables that hold its rows: itself, or its partitions, but no foreign ones.
    pub leaves: Vec<QualifiedName>,
    /// Whether a partition of it is a foreign table.
    pub has_foreign: bool,
    /// Whether triggers of a user would fire when rows are put in.
    pub has_triggers: bool,
}

/// What the target has.
#[derive(Debug, Default)]
pub struct OnTarget {
    /// Its roles.
    pub roles: Vec<String>,
    /// Its tablespaces.
    pub tablespaces: Vec<String>,
    /// Subscriptions, of every database.
    pub subscriptions: Vec<String>,
    /// Those of this database, with the publications that they subscribe to.
    pub pairs: Vec<(String, Vec<String>)>,
    /// Extensions that only a superuser may create here, and that are not there yet.
    pub untrusted: Vec<String>,
    /// Extensions whose objects will belong to whoever creates them here.
    pub user_level: Vec<String>,
    /// Whether the schema `public` belongs to the role.
    pub owns_public: bool,
    /// Whether the role is a member of `pg_create_subscription` or of Neon's role.
    pub may_subscribe: bool,
    /// Whether it is Neon.
    pub is_neon: bool,
    /// Whether this session is encrypted.
    pub encrypted: bool,
}

/// An object that cannot be restored, because it needs something that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The catalog that it is in.
    pub class: Oid,
    /// Its oid.
    pub oid: Oid,
    /// What it is, in Postgres's words.
    pub words: String,
    /// It is an extension that is left out itself.
    pub is_extension: bool,
    /// The archive has more about it that no oid tells: a comment, or what hangs on a table or a sequence.
    pub has_more: bool,
}

const LISTS: &str = "
with acl as (
  select relacl as acl from pg_class where oid >= 16384 union all select nspacl from pg_namespace
  union all select proacl from pg_proc where oid >= 16384 union all select typacl from pg_type where oid >= 16384
  union all select defaclacl from pg_default_acl),
owner as (
  select relowner as oid from pg_class where oid >= 16384 union select nspowner from pg_namespace where oid >= 16384
  union select proowner from pg_proc where oid >= 16384 union select typowner from pg_type where oid >= 16384)
select 'schema' as list, nspname::text as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
union all select 'owner', r.rolname from pg_roles r where r.oid in (select oid from owner)
union all select distinct 'grantee', r.rolname::text from acl cross join lateral aclexplode(acl.acl) g join pg_roles r on r.oid = g.grantee
union all select distinct 'named', r.rolname::text from pg_policy p cross join lateral unnest(p.polroles) as u (oid) join pg_roles r on r.oid = u.oid
union all select 'named', usename::text from pg_user_mappings where umuser <> 0
union all select distinct 'tablespace', t.spcname::text from pg_class c join pg_tablespace t on t.oid = c.reltablespace
  where c.oid >= 16384 and t.spcname <> 'pg_global'
union all select 'publication', pubname::text from pg_publication
union all select 'event trigger', evtname::text from pg_event_trigger t
  where not exists (select from pg_depend d where d.classid = 'pg_event_trigger'::regclass and d.objid = t.oid and d.deptype = 'e')
union all select 'extension', extname::text from pg_extension where extname <> 'plpgsql'
union all select 'slot', slot_name::text from pg_replication_slots
union all select distinct 'prefix', split_part(name, '.', 1) from pg_settings where name like '%.%'
union all select 'role', rolname::text from pg_roles
union all select 'database', datname::text from pg_database
order by 1, 2";

const SCALARS: &str = "
select (select count(*) from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = current_database()) as subscriptions,
       (select count(*) from pg_seclabel) as security_labels,
       coalesce((select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'public'), 'standard public schema')
         <> 'standard public schema' as public_comment,
       current_setting('wal_level') as wal_level,
       current_setting('max_replication_slots')::int8 - (select count(*) from pg_replication_slots) as slots_free,
       exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'MEMBER')) as replicates,
       coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted";

const CONFIG: &str = "
select e.extname::text, c.oid, n.nspname::text, c.relname::text, e.extcondition[u.position] as condition,
       c.relkind = 'S' as is_sequence
  from pg_extension e cross join lateral unnest(e.extconfig) with ordinality as u (oid, position)
  join pg_class c on c.oid = u.oid join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'S') order by 2";

/// An identity is usable if updates and deletes can be told by it: Postgres takes no deferrable key (`RelationGetReplicaIndex`).
const TABLES: &str = "
with part as (
  select c.oid as root, case when c.relkind = 'p' then t.relid::oid else c.oid end as oid
    from pg_class c left join lateral pg_partition_tree(c.oid) t on c.relkind = 'p' and t.isleaf
   where c.relkind in ('r', 'p') and not c.relispartition),
leaf as (
  select part.root, p.*, n.nspname, case p.relreplident when 'f' then true when 'n' then false
           when 'i' then exists (select from pg_index i where i.indrelid = p.oid and i.indisreplident and i.indisvalid and i.indimmediate)
           else exists (select from pg_index i where i.indrelid = p.oid and i.indisprimary and i.indisvalid and i.indimmediate) end as identified
    from part join pg_class p on p.oid = part.oid join pg_namespace n on n.oid = p.relnamespace)
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind = 'p' as is_root, pg_has_role(c.relowner, 'USAGE') as is_own,
       c.relpersistence = 'u' or coalesce(bool_or(l.relpersistence = 'u'), false) as unlogged,
       coalesce(bool_or(l.relkind = 'f'), false) as has_foreign,
       exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D') as has_triggers,
       coalesce(array_agg(l.nspname::text order by l.oid) filter (where not l.identified and l.relkind = 'r'), '{}') as bare_schemas,
       coalesce(array_agg(l.relname::text order by l.oid) filter (where not l.identified and l.relkind = 'r'), '{}') as bare_names,
       coalesce(array_agg(l.nspname::text order by l.oid) filter (where l.relkind = 'r'), '{}') as leaf_schemas,
       coalesce(array_agg(l.relname::text order by l.oid) filter (where l.relkind = 'r'), '{}') as leaf_names
  from pg_class c join pg_namespace n on n.oid = c.relnamespace left join leaf l on l.root = c.oid
 where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't' and c.oid >= 16384
   and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'neon_migrate')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 group by c.oid, n.nspname order by 2, 3";

const MATERIALIZED: &str = "
select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'm' and c.relispopulated and n.nspname !~ '^pg_' order by c.oid";

const TARGET_LISTS: &str = "
select 'role' as list, rolname::text as name from pg_roles
union all select 'tablespace', spcname::text from pg_tablespace
union all select 'subscription', subname::text from pg_subscription
union all select distinct 'untrusted', v.name::text from pg_available_extension_versions v join pg_available_extensions e on e.name = v.name
  where e.installed_version is null and v.version = e.default_version and v.superuser and not v.trusted
union all select distinct 'user level', v.name::text from pg_available_extension_versions v join pg_available_extensions e on e.name = v.name
  where e.installed_version is null and v.version = e.default_version and not v.superuser";

const PAIRS: &str = "
select s.subname::text, s.subpublications from pg_subscription s join pg_database d on d.oid = s.subdbid
 where d.datname = current_database() order by 1";

const TARGET_SCALARS: &str = "
select coalesce((select pg_has_role(nspowner, 'USAGE') from pg_namespace where nspname = 'public'), true) as owns_public,
       exists (select from pg_roles where rolname = 'pg_create_subscription' and pg_has_role(oid, 'USAGE')) as may_subscribe,
       exists (select from pg_settings where name ~ '^neon\\.')
         and exists (select from pg_roles where rolname = 'neon_superuser' and pg_has_role(oid, 'MEMBER')) as is_neon,
       coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted";

/// Looks at the source.
///
/// # Errors
/// Any failure of the source.
pub async fn on_source(client: &Client) -> Result<(OnSource, Marked), Error> {
    let failed = |error: tokio_postgres::Error| Side::Source.failed("looking at the source", error);
    let look = async {
        client.batch_execute(BEGIN).await.map_err(failed)?;
        let lists = client.query_typed(LISTS, &[]).await.map_err(failed)?;
        let list = |name: &str| named(&lists, name);
        let scalars = one(client, SCALARS).await.map_err(|error| Side::Source.failed("looking at the source", error))?;
        let mut found = read_scalars(&scalars).map_err(failed)?;
        (found.schemas, found.owners, found.grantees) = (list("schema"), list("owner"), list("grantee"));
        (found.named_roles, found.tablespaces, found.publications) = (list("named"), list("tablespace"), list("publication"));
        (found.event_triggers, found.extensions, found.slots) = (list("event trigger"), list("extension"), list("slot"));
        for row in client.query_typed(CONFIG, &[]).await.map_err(failed)? {
            found.config.push(config(client, &row).await.map_err(failed)?);
        }
        let tables = client.query_typed(TABLES, &[]).await.map_err(failed)?;
        found.tables = tables.iter().map(table).collect::<Result<_, _>>().map_err(failed)?;
        let views = client.query_typed(MATERIALIZED, &[]).await.map_err(failed)?;
        let name = |row: &Row| Ok(QualifiedName::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?));
        found.materialized = views.iter().map(name).collect::<Result<_, _>>().map_err(failed)?;
        client.batch_execute("rollback").await.map_err(failed)?;
        let marked = Marked { prefixes: list("prefix"), roles: list("role"), databases: list("database") };
        Ok((found, marked))
    };
    in_time(Side::Source, "looking at the source", look).await
}

/// Looks at the target.
///
/// # Errors
/// Any failure of the target.
pub async fn on_target(client: &Client) -> Result<OnTarget, Error> {
    let failed = |error: tokio_postgres::Error| Side::Target.failed("looking at the target", error);
    let look = async {
        client.batch_execute(BEGIN).await.map_err(failed)?;
        let lists = client.query_typed(TARGET_LISTS, &[]).await.map_err(failed)?;
        let row = one(client, TARGET_SCALARS).await.map_err(|error| Side::Target.failed("looking at the target", error))?;
        let pairs = client.query_typed(PAIRS, &[]).await.map_err(failed)?;
        let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let pairs = pairs.iter().map(pair).collect::<Result<_, _>>().map_err(failed)?;
        client.batch_execute("rollback").await.map_err(failed)?;
        let is = |name: &str| row.try_get::<_, bool>(name).map_err(failed);
        Ok(OnTarget {
            roles: named(&lists, "role"),
            tablespaces: named(&lists, "tablespace"),
            subscriptions: named(&lists, "subscription"),
            pairs,
            untrusted: named(&lists, "untrusted"),
            user_level: named(&lists, "user level"),
            owns_public: is("owns_public")?,
            may_subscribe: is("may_subscribe")?,
            is_neon: is("is_neon")?,
            encrypted: is("encrypted")?,
        })
    };
    in_time(Side::Target, "looking at the target", look).await
}

/// What gives a provider away, beside what [`OnSource`] has.
#[derive(Debug)]
pub struct Marked {
    prefixes: Vec<String>,
    roles: Vec<String>,
    databases: Vec<String>,
}

impl Marked {
    /// The source's provider.
    pub fn provider(&self, found: &OnSource, host: Option<(&str, u16, &str)>, superuser: bool) -> &'static Provider {
        provider::recognise(
            host,
            &Marks {
                setting_prefixes: &self.prefixes,
                roles: &self.roles,
                schemas: &found.schemas,
                databases: &self.databases,
                extensions: &found.extensions,
                superuser,
            },
        )
    }
}

/// Everything that depends on what is left out, and the extensions among that themselves. What is part of a left-out schema needs no mention: pg_dump
/// leaves it out with the schema.
///
/// # Errors
/// Any failure of the source.
pub async fn dependents(client: &Client, schemas: &[String], extensions: &[String]) -> Result<Vec<Dependent>, Error> {
    if schemas.is_empty() && extensions.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error: tokio_postgres::Error| Side::Source.failed("looking for what depends on what is left out", error);
    let array =
        |names: &[String]| format!("array[{}]::name[]", names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", "));
    let query = DEPENDENTS.replace("@schemas@", &array(schemas)).replace("@extensions@", &array(extensions));
    let look = async {
        client.batch_execute(BEGIN).await.map_err(failed)?;
        let rows = client.query_typed(&query, &[]).await.map_err(failed)?;
        client.batch_execute("rollback").await.map_err(failed)?;
        let dependent = |row: &Row| {
            Ok(Dependent {
                class: row.try_get(0)?,
                oid: row.try_get(1)?,
                words: row.try_get(2)?,
                is_extension: row.try_get(3)?,
                has_more: row.try_get(4)?,
            })
        };
        rows.iter().map(dependent).collect::<Result<Vec<_>, _>>().map_err(failed)
    };
    in_time(Side::Source, "looking for what depends on what is left out", look).await
}

/// `own`: what is left out, and what is a part of it (dependencies of the kinds a, i, P, S point from a part to its whole). `dependent`: what needs any
/// of that. A rule stands for its view, and a default for its table, as both are created together.
const DEPENDENTS: &str = "
with recursive ext as (select oid from pg_extension where extname = any (@extensions@)),
ns as (select oid from pg_namespace where nspname = any (@schemas@)),
own (classid, objid) as (
  select * from (
    select 'pg_extension'::regclass::oid, oid from ext
    union all select d.classid, d.objid from pg_depend d join ext on d.refclassid = 'pg_extension'::regclass and d.refobjid = ext.oid and d.deptype = 'e'
    union all select 'pg_class'::regclass::oid, oid from pg_class where relnamespace in (select oid from ns)
    union all select 'pg_proc'::regclass::oid, oid from pg_proc where pronamespace in (select oid from ns)
    union all select 'pg_type'::regclass::oid, oid from pg_type where typnamespace in (select oid from ns)
    union all select 'pg_namespace'::regclass::oid, oid from ns) as seed
  union
  select d.classid, d.objid from own o join pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid
   where d.deptype in ('a', 'i', 'P', 'S')),
dependent (classid, objid) as (
  select classid, objid from own
  union
  select case when r.oid is not null or a.oid is not null then 'pg_class'::regclass::oid else d.classid end,
         coalesce(r.ev_class, a.adrelid, d.objid)
    from dependent o join pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
    left join pg_attrdef a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
   where d.deptype in ('n', 'a', 'i', 'P', 'S'))
select d.classid, d.objid, coalesce(pg_describe_object(d.classid, d.objid, 0), 'an object that is gone'),
       d.classid = 'pg_extension'::regclass,
       coalesce(c.relkind in ('r', 'p', 'S', 'f'), false)
         or exists (select from pg_description x where x.classoid = d.classid and x.objoid = d.objid)
  from dependent d
  left join pg_type t on d.classid = 'pg_type'::regclass and t.oid = d.objid
  left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
  left join pg_trigger g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
 where (d.classid = 'pg_extension'::regclass
        or not exists (select from own where own.classid = d.classid and own.objid = d.objid))
   and coalesce(t.typrelid, 0) = 0 and coalesce(t.typelem, 0) = 0 and coalesce(c.relkind, 'r') <> 't' and not coalesce(g.tgisinternal, false)
 order by 1, 2";

fn named(rows: &[Row], list: &str) -> Vec<String> {
    let of_list = rows.iter().filter(|row| row.try_get::<_, &str>(0).is_ok_and(|name| name == list));
    of_list.filter_map(|row| row.try_get(1).ok()).collect()
}

async fn one(client: &Client, query: &str) -> Result<Row, PgError> {
    let rows = client.query_typed(query, &[]).await?;
    rows.into_iter().next().ok_or_else(|| PgError::Protocol("no row about the server".to_owned()))
}

fn read_scalars(row: &Row) -> Result<OnSource, tokio_postgres::Error> {
    Ok(OnSource {
        subscriptions: row.try_get("subscriptions")?,
        security_labels: row.try_get("security_labels")?,
        public_comment: row.try_get("public_comment")?,
        wal_level: row.try_get("wal_level")?,
        slots_free: row.try_get("slots_free")?,
        replicates_by_membership: row.try_get("replicates")?,
        encrypted: row.try_get("encrypted")?,
        ..OnSource::default()
    })
}

/// The extension's own condition says which rows belong to the user; what may not be read counts as having some.
async fn config(client: &Client, row: &Row) -> Result<ConfigTable, tokio_postgres::Error> {
    let name = QualifiedName::new(row.try_get::<_, String>(2)?, row.try_get::<_, String>(3)?);
    let (condition, is_sequence): (Option<String>, bool) = (row.try_get(4)?, row.try_get(5)?);
    let query = match is_sequence {
        true => format!("select is_called from {name}"),
        false => format!("select exists (select from {name} {})", condition.unwrap_or_default()),
    };
    client.batch_execute("savepoint config").await?;
    let asked = client.query_typed(&query, &[]).await;
    client.batch_execute("rollback to config").await?;
    let has_rows = asked.ok().and_then(|rows| rows.first().and_then(|row| row.try_get(0).ok())).unwrap_or(true);
    Ok(ConfigTable { extension: row.try_get(0)?, oid: row.try_get(1)?, name, is_sequence, has_rows })
}

fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    let names = |schemas: &str, names: &str| {
        let (schemas, names): (Vec<String>, Vec<String>) = (row.try_get(schemas)?, row.try_get(names)?);
        Ok(schemas.into_iter().zip(names).map(|(schema, name)| QualifiedName::new(schema, name)).collect::<Vec<_>>())
    };
    Ok(Table {
        oid: row.try_get("oid")?,
        name: QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?),
        is_root: row.try_get("is_root")?,
        is_own: row.try_get("is_own")?,
        unlogged: row.try_get("unlogged")?,
        without_identity: names("bare_schemas", "bare_names")?,
        leaves: names("leaf_schemas", "leaf_names")?,
        has_foreign: row.try_get("has_foreign")?,
        has_triggers: row.try_get("has_triggers")?,
    })
}
