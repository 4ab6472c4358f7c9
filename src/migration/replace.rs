//! `--replace-target`: everything that people made in the target database is removed. It was confirmed by typing the database's name.

use super::ends::{Target, in_time};
use super::error::{Error, Side};
use crate::engine::crash;
use crate::engine::report::{Exit, Report};

/// The statements that remove everything that the role owns, kind by kind; what an extension brought goes with the extension. Schemas other than
/// `public` are dropped whole, the ledger of an earlier migration first, because it must never speak of what is not there any more; `public` is emptied, because on some servers it belongs to somebody else. Anything that cannot be removed is an error, so
/// that nothing of the old content can be taken for new.
const STATEMENTS: &str = "
select 'drop schema ' || pg_catalog.quote_ident(nspname) || ' cascade' as statement,
       case nspname when 'neon_migrate' then -1 else 1 end as rank
  from pg_catalog.pg_namespace
 where nspname !~ '^pg_' and nspname not in ('information_schema', 'public', 'neon', 'neon_auth', 'neon_migration')
   and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
        and d.objid = pg_namespace.oid and d.deptype = 'e')
union all
select 'drop event trigger ' || pg_catalog.quote_ident(evtname), 0 from pg_catalog.pg_event_trigger
 where pg_catalog.pg_has_role(evtowner, 'USAGE')
union all
select 'drop extension ' || pg_catalog.quote_ident(extname) || ' cascade', 2 from pg_catalog.pg_extension
 where extname <> 'plpgsql' and pg_catalog.pg_has_role(extowner, 'USAGE')
union all
select 'drop publication ' || pg_catalog.quote_ident(pubname), 0 from pg_catalog.pg_publication
 where pg_catalog.pg_has_role(pubowner, 'USAGE')
union all
select 'drop ' || o.kind || ' ' || pg_catalog.quote_ident(o.name) || ' cascade', 3
  from (select 'foreign data wrapper' as kind, oid, fdwname as name, fdwowner as owner, 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass as catalog
          from pg_catalog.pg_foreign_data_wrapper
         union all
        select 'server', oid, srvname, srvowner, 'pg_catalog.pg_foreign_server'::pg_catalog.regclass from pg_catalog.pg_foreign_server
         union all
        select 'language', oid, lanname, lanowner, 'pg_catalog.pg_language'::pg_catalog.regclass from pg_catalog.pg_language
         union all
        select 'access method', oid, amname, 10, 'pg_catalog.pg_am'::pg_catalog.regclass from pg_catalog.pg_am) o
 where o.oid >= 16384 and pg_catalog.pg_has_role(o.owner, 'USAGE')
   and not exists (select from pg_catalog.pg_depend d where d.classid = o.catalog and d.objid = o.oid and d.deptype = 'e')
union all
select 'drop subscription ' || pg_catalog.quote_ident(subname), 0 from pg_catalog.pg_subscription
 where subdbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) and subslotname is null
   and pg_catalog.pg_has_role(subowner, 'USAGE')
union all
-- Default privileges outside of any schema go when they are what they would be without them.
select pg_catalog.string_agg('alter default privileges for role ' || r.name || ' revoke all on ' || r.kind || ' from ' || r.grantee || ' cascade; ', '')
       || 'alter default privileges for role ' || r.name || ' grant all on ' || r.kind || ' to ' || r.name
       || case when r.kind in ('functions', 'types') then ', public' else '' end, 5
  from (select pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)) as name, case a.grantee when 0 then 'public'
               else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end as grantee,
               case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas'
                    else 'large objects' end as kind
          from pg_catalog.pg_default_acl d, lateral pg_catalog.aclexplode(d.defaclacl) a
         where d.defaclnamespace = 0 and pg_catalog.pg_has_role(d.defaclrole, 'USAGE') group by 1, 2, 3) r
 group by r.name, r.kind
union all
select 'select pg_catalog.lo_unlink(' || oid || ')', 4 from pg_catalog.pg_largeobject_metadata
order by 2, 1";

/// What is left in `public` (and what was created outside of any schema).
const IN_PUBLIC: &str = "
with part as (
    select classid, objid from pg_catalog.pg_depend where deptype in ('e', 'i')
), object as (
    select 'pg_catalog.pg_class'::pg_catalog.regclass as catalog, c.oid, c.relnamespace as namespace,
        case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end
            || ' ' || c.oid::pg_catalog.regclass as name, 1 as rank
      from pg_catalog.pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.pronamespace,
        case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end || ' ' || p.oid::pg_catalog.regprocedure, 2
      from pg_catalog.pg_proc p
    union all
    select 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprnamespace, 'operator ' || o.oid::pg_catalog.regoperator, 2
      from pg_catalog.pg_operator o
    union all
    select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typnamespace,
        case t.typtype when 'd' then 'domain' else 'type' end || ' ' || t.oid::pg_catalog.regtype, 3
      from pg_catalog.pg_type t where t.typelem = 0 and (t.typrelid = 0 or exists (
            select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
    union all
    select 'pg_catalog.pg_collation'::pg_catalog.regclass, oid, collnamespace, 'collation ' || oid::pg_catalog.regcollation, 4 from pg_catalog.pg_collation
    union all
    select 'pg_catalog.pg_ts_config'::pg_catalog.regclass, oid, cfgnamespace, 'text search configuration ' || oid::pg_catalog.regconfig, 4
      from pg_catalog.pg_ts_config
    union all
    select 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, oid, dictnamespace, 'text search dictionary ' || oid::pg_catalog.regdictionary, 5
      from pg_catalog.pg_ts_dict
    union all
    select 'pg_catalog.pg_conversion'::pg_catalog.regclass, oid, connamespace, 'conversion public.' || pg_catalog.quote_ident(conname), 4
      from pg_catalog.pg_conversion
    union all
    select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid, stxnamespace, 'statistics public.' || pg_catalog.quote_ident(stxname), 4
      from pg_catalog.pg_statistic_ext
)
select 'drop ' || o.name || ' cascade' as statement
  from object o join pg_catalog.pg_namespace n on n.oid = o.namespace
 where n.nspname = 'public' and not exists (select from part p where p.classid = o.catalog and p.objid = o.oid)
 order by o.rank, o.oid
 limit 1";

/// An object may take many others with it; more than this many single ones in `public` is no database but a mistake of ours.
const SINGLE_MAX: usize = 1_000_000;

/// Subscriptions whose slot is on another server: dropping one would reach out to that server, and leaving it would fill the new tables.
const SUBSCRIPTIONS: &str = "
select coalesce(pg_catalog.string_agg(pg_catalog.quote_ident(subname), ', ' order by subname), '') from pg_catalog.pg_subscription
 where subdbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) and subslotname is not null";

fn subscribed(names: &str) -> Report {
    Report::new("target-subscribes", Exit::Blockers, format!("The target receives the changes of another database: {names}."))
        .with_cause("Its subscription would write into the tables that are copied, and its slot is on another server.")
        .with_fix(
            "Drop the subscription on the target first (drop subscription …), if it is not needed any more. Nothing was removed.",
        )
}

/// What is being done, for errors.
const DOING: &str = "removing what the target holds";

/// Removes everything. Gives the number of statements that it took.
///
/// # Errors
/// What the target refuses, with the statement's object; what was removed before stays removed.
pub async fn everything(target: &Target) -> Result<usize, Error> {
    let client = target.sql().await?;
    let failed = |error: tokio_postgres::Error| Side::Target.failed(DOING, error);
    client.batch_execute("set client_min_messages = error").await.map_err(failed)?;
    let names: String = client.query_one(SUBSCRIPTIONS, &[]).await.map_err(failed)?.try_get(0).map_err(failed)?;
    if !names.is_empty() {
        return Err(subscribed(&names).into());
    }
    let mut removed = 0;
    let statements = in_time(Side::Target, DOING, async { client.query(STATEMENTS, &[]).await.map_err(failed) }).await?;
    for row in statements {
        let statement: String = row.try_get(0).map_err(failed)?;
        crash::point("replace.statement");
        let done = in_time(Side::Target, DOING, async { Ok(client.batch_execute(&statement).await) }).await?;
        match done {
            Ok(()) => removed += 1,
            // Something dropped before may have taken it along.
            Err(error) if error.code().is_some_and(|code| matches!(code.code(), "42704" | "3F000")) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for _ in 0..SINGLE_MAX {
        let next = in_time(Side::Target, DOING, async { client.query_opt(IN_PUBLIC, &[]).await.map_err(failed) });
        let Some(row) = next.await? else { return Ok(removed) };
        let statement: String = row.try_get(0).map_err(failed)?;
        in_time(Side::Target, DOING, async { client.batch_execute(&statement).await.map_err(failed) }).await?;
        removed += 1;
    }
    Ok(removed)
}
