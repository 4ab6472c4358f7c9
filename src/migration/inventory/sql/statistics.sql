select 'statistics object' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(s.stxname) as name,
       n.nspname || '.' || s.stxname as toc,
       quote_ident(cn.nspname) || '.' || quote_ident(c.relname) as parent,
       pg_get_statisticsobjdef(s.oid) as definition,
       nullif(s.stxstattarget, -1) as target,
       pg_get_userbyid(s.stxowner) as owner
  from pg_statistic_ext s
  join pg_namespace n on n.oid = s.stxnamespace
  join pg_class c on c.oid = s.stxrelid
  join pg_namespace cn on cn.oid = c.relnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_class', c.oid)@
