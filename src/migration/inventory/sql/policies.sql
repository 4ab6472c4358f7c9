select 'policy' as kind,
       quote_ident(p.polname) || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       n.nspname || '.' || c.relname || ' ' || p.polname as toc,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as parent,
       p.polcmd as command,
       case when p.polpermissive then 'permissive' else 'restrictive' end as sort,
       (select string_agg(case x when 0 then 'public' else pg_get_userbyid(x) end, ', ' order by pg_get_userbyid(x) collate "C") from unnest(p.polroles) x)
           as roles,
       pg_get_expr(p.polqual, p.polrelid) as using,
       pg_get_expr(p.polwithcheck, p.polrelid) as with_check
  from pg_policy p
  join pg_class c on c.oid = p.polrelid
  join pg_namespace n on n.oid = c.relnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_class', c.oid)@
