select 'extension' as kind, quote_ident(e.extname) as name, e.extname as toc, null as parent,
       n.nspname as schema,
       e.extversion as version_same_major,
       (select string_agg(quote_ident(t.nspname) || '.' || quote_ident(c.relname), ', ' order by t.nspname, c.relname)
          from unnest(e.extconfig) as x(oid)
          join pg_class c on c.oid = x.oid
          join pg_namespace t on t.oid = c.relnamespace) as configuration_tables_same_major,
       pg_get_userbyid(e.extowner) as owner
  from pg_extension e
  join pg_namespace n on n.oid = e.extnamespace
