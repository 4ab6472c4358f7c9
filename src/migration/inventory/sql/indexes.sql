-- Indexes that are not part of a constraint.
select 'index' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(x.relname) as name,
       n.nspname || '.' || x.relname as toc,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as parent,
       pg_get_indexdef(i.indexrelid) as definition,
       i.indisvalid as valid,
       nullif(i.indisclustered, false) as clustered,
       (select quote_ident(p.relname) from pg_inherits h join pg_class p on p.oid = h.inhparent where h.inhrelid = x.oid) as attached_to,
       (select string_agg(a.attnum || ':' || a.attstattarget, ', ' order by a.attnum)
          from pg_attribute a where a.attrelid = x.oid and a.attstattarget >= 0 and i.indexprs is not null) as statistics_targets,
       (select t.spcname from pg_tablespace t where t.oid = x.reltablespace) as tablespace
  from pg_index i
  join pg_class x on x.oid = i.indexrelid
  join pg_class c on c.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', c.oid)@
