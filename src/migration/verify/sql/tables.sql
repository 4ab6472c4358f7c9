-- Every relation that holds rows: tables, partitioned tables, foreign tables and materialized views; not those that extensions
-- own, except their configuration tables, of which only the rows that pg_dump would dump are compared.
-- Whether a tree of partitions is rehashed elsewhere: see src/pg/catalog/tables.sql.
with rehashed as (
    select distinct pg_partition_root(p.partrelid)::oid as root
      from pg_partitioned_table p
     where p.partstrat = 'h' and exists (
        select from rows from (unnest(p.partclass::oid[]), unnest(p.partcollation::oid[])) as k (class, coll)
        join pg_opclass o on o.oid = k.class
        left join pg_collation l on l.oid = k.coll
        where o.opcname in ('enum_ops', 'array_ops', 'range_ops', 'multirange_ops', 'record_ops') or not l.collisdeterministic)
)
select c.oid,
       c.oid in (select root from rehashed) as is_rehashed,
       n.nspname,
       c.relname,
       c.relkind::text as relkind,
       c.relispartition,
       (select p.inhparent from pg_inherits p where p.inhrelid = c.oid and c.relispartition) as parent,
       case when c.relkind = 'r' then pg_relation_size(c.oid) / current_setting('block_size')::int8 else 0 end as pages,
       case when c.relkind = 'r' then pg_table_size(c.oid) else 0 end as bytes,
       x.condition,
       k.columns as key
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e'
  left join lateral (select coalesce(e.extcondition[i], '') as condition
                       from pg_extension e, generate_subscripts(e.extconfig, 1) i
                      where d.objid is not null and e.oid = d.refobjid and e.extconfig[i] = c.oid
                      limit 1) x on true
  left join lateral (select array_agg(a.attname::text order by o.position) as columns
                       from (select i.indexrelid, i.indkey::int2[] as attnums
                               from pg_index i
                              where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate
                                and i.indpred is null and i.indexprs is null
                                and not exists (select from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) u
                                                  join pg_attribute b on b.attrelid = c.oid and b.attnum = u
                                                 where not b.attnotnull)
                              order by i.indisprimary desc, i.indnkeyatts, i.indexrelid
                              limit 1) q
                       join pg_index i on i.indexrelid = q.indexrelid
                       cross join lateral unnest(q.attnums[0:i.indnkeyatts - 1]) with ordinality o(attnum, position)
                       join pg_attribute a on a.attrelid = c.oid and a.attnum = o.attnum) k on c.relhasindex
 where c.relkind in ('r', 'p', 'f', 'm')
   and c.relpersistence <> 't'
   and c.oid >= 16384
   and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'neon_migrate')
   and (d.objid is null or x.condition is not null)
 order by bytes desc, c.oid
