-- Every foreign key that was declared (those of partitions come with their parent's).
select con.oid, con.conrelid as table_oid, con.conname::text as name, n.nspname::text as schema, c.relname::text as table_name,
    con.convalidated as is_valid, c.relkind = 'p' or f.relkind = 'p' as is_partitioned, pg_catalog.pg_get_constraintdef(con.oid) as definition,
    pg_catalog.pg_relation_size(con.conrelid) as table_bytes
from pg_catalog.pg_constraint con
join pg_catalog.pg_class c on c.oid = con.conrelid
join pg_catalog.pg_class f on f.oid = con.confrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where con.contype = 'f' and con.conparentid = 0
order by con.oid
