-- Every sequence that is not a member of an extension, or is configuration of one.
select c.oid, n.nspname::text as schema, c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'neon_migrate')
  and (not exists (select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
    or exists (select from pg_catalog.pg_extension e where c.oid = any (e.extconfig)))
order by c.oid
