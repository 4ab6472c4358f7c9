-- Every table that holds rows of its own, with what the copy needs to know.
-- Members of extensions count only where the extension says that their rows belong to the user (pg_extension_config_dump).
-- A column's binary form is the same on both sides when its type is a built-in one that sends and receives binary data. Not so: the reg* types (oids),
-- arrays of and ranges over anything that is not built in (they carry the element's oid or rely on it), composites (likewise), extension types
-- (their versions may differ) and types without the functions. Enums send their label.
-- Which partition of a hash-partitioned table a row belongs to can differ between servers where the hash does: that of an enum's value is made of its oid,
-- those of arrays, ranges and composites of their elements', and that of text under a nondeterministic collation of its sort key. Such a tree is one
-- table here, its root, whose rows find their partitions anew (pg_dump --load-via-partition-root).
with recursive rehashed as (
    select distinct pg_catalog.pg_partition_root(p.partrelid)::oid as root
    from pg_catalog.pg_partitioned_table p
    where p.partstrat = 'h' and exists (
        select from rows from (pg_catalog.unnest(p.partclass::oid[]), pg_catalog.unnest(p.partcollation::oid[])) as k (class, coll)
        join pg_catalog.pg_opclass o on o.oid = k.class
        left join pg_catalog.pg_collation l on l.oid = k.coll
        where o.opcname in ('enum_ops', 'array_ops', 'range_ops', 'multirange_ops', 'record_ops') or not l.collisdeterministic)
),
rehashed_leaf as (
    select t.relid::oid as oid, r.root from rehashed r, lateral pg_catalog.pg_partition_tree(r.root) t where t.isleaf
),
extension_member as (
    select d.objid from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'e'
),
config as (
    select u.oid, e.extcondition[u.position] as condition
    from pg_catalog.pg_extension e, lateral pg_catalog.unnest(e.extconfig) with ordinality as u (oid, position)
),
relation as (
    select c.*, n.nspname, config.condition
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join config on config.oid = c.oid
    where (c.relkind = 'r' and c.oid not in (select oid from rehashed_leaf) or c.oid in (select root from rehashed)) and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'neon_migrate')
      and (config.oid is not null or c.oid not in (select objid from extension_member))
),
attribute as (
    select a.attrelid, a.attnum, a.attname, a.atttypid
    from pg_catalog.pg_attribute a join relation r on r.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
),
base (typ, cur) as (
    select distinct atttypid, atttypid from attribute
    union all
    select b.typ, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.cur where t.typtype = 'd'
),
type_form as (
    select b.typ,
        t.typtype = 'e'
        or (t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace and t.typtype in ('b', 'r', 'm') and t.typname not like 'reg%'
            and t.typsend <> 0 and t.typreceive <> 0
            and (t.typelem = 0 or t.typlen <> -1 or exists (
                select from pg_catalog.pg_type e where e.oid = t.typelem and e.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
                    and e.typtype in ('b', 'r', 'm') and e.typname not like 'reg%' and e.typsend <> 0 and e.typreceive <> 0))) as is_binary
    from base b join pg_catalog.pg_type t on t.oid = b.cur
    where t.typtype <> 'd'
),
columns as (
    select a.attrelid, pg_catalog.array_agg(a.attname::text order by a.attnum) as names, pg_catalog.bool_and(f.is_binary) as is_binary
    from attribute a join type_form f on f.typ = a.atttypid
    group by a.attrelid
)
select r.oid, r.nspname::text as schema, r.relname::text as name, r.relpersistence = 'u' as unlogged, r.relispartition as is_partition,
    r.relkind = 'p' as is_root, pg_catalog.pg_relation_size(r.oid) as heap_bytes,
    case when r.relkind = 'p' then (select coalesce(sum(pg_catalog.pg_table_size(l.oid)), 0)::bigint from rehashed_leaf l where l.root = r.oid)
        else pg_catalog.pg_table_size(r.oid) end as table_bytes,
    greatest(r.reltuples, 0)::bigint as rows_estimate, coalesce(am.amname::text, 'heap') as access_method, r.condition as config_condition,
    coalesce(c.names, '{}') as columns, coalesce(c.is_binary, false) as is_binary
from relation r
left join columns c on c.attrelid = r.oid
left join pg_catalog.pg_am am on am.oid = r.relam
order by r.oid
