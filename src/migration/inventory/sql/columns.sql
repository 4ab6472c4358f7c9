-- Columns of relations and composite types. Their place is counted without dropped columns.
select 'column' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname) as name,
       null as toc,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as parent,
       row_number() over (partition by a.attrelid order by a.attnum) as place,
       format_type(a.atttypid, a.atttypmod) as type,
       case when a.attcollation <> t.typcollation
            then (select quote_ident(ln.nspname) || '.' || quote_ident(l.collname) from pg_collation l
                    join pg_namespace ln on ln.oid = l.collnamespace where l.oid = a.attcollation)
       end as collation,
       nullif(a.attnotnull, false) as not_null,
       case when a.atthasdef then pg_get_expr(f.adbin, f.adrelid) end as default_value,
       nullif(a.attidentity, '') as identity,
       nullif(a.attgenerated, '') as generated,
       case when a.attstorage <> t.typstorage then a.attstorage end as storage,
       nullif(a.attcompression, '') as compression,
       nullif(a.attstattarget, -1) as statistics_target,
       array_to_string(a.attoptions, ', ') as options,
       (select md5(string_agg(o, ',' order by o collate "C")) from unnest(a.attfdwoptions) o) as foreign_options_hash,
       nullif(a.attinhcount, 0) as inherited_times,
       case when a.attacl is not null then @grants_only(a.attacl, c.relowner)@ end as grants
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  join pg_type t on t.oid = a.atttypid
  left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
 where a.attnum > 0
   and not a.attisdropped
   and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', c.oid)@
