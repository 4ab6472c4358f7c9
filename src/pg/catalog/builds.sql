-- Every index, with the constraint that it serves, as far as building it on the target is concerned.
select i.indexrelid as oid, i.indrelid as table_oid, n.nspname::text as schema, ic.relname::text as name, am.amname::text as access_method,
    pg_catalog.pg_relation_size(i.indexrelid) as bytes, i.indisvalid as is_valid, ic.relkind = 'I' as is_partitioned,
    i.indisclustered as is_clustered, i.indisreplident as is_replica_identity,
    pg_catalog.pg_get_indexdef(i.indexrelid) as definition,
    con.oid as constraint_oid, con.conname::text as constraint_name, con.contype::text as constraint_kind,
    coalesce(con.condeferrable, false) as is_deferrable, coalesce(con.condeferred, false) as is_deferred,
    coalesce((pg_catalog.to_jsonb(con) ->> 'conperiod')::boolean, false) as is_temporal
from pg_catalog.pg_index i
join pg_catalog.pg_class ic on ic.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = ic.relnamespace
join pg_catalog.pg_am am on am.oid = ic.relam
left join pg_catalog.pg_constraint con on con.conindid = i.indexrelid and con.conrelid = i.indrelid and con.contype in ('p', 'u', 'x')
where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'neon_migrate')
order by i.indexrelid
