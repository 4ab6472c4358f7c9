select 'rule' as kind,
       quote_ident(r.rulename) || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       n.nspname || '.' || c.relname || ' ' || r.rulename as toc,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as parent,
       r.ev_type::text || case when r.is_instead then ' instead' else '' end as event,
       pg_get_ruledef(r.oid) as definition_same_major,
       case r.ev_enabled when 'O' then 'enabled' when 'D' then 'disabled' when 'R' then 'replica only' else 'always' end as state
  from pg_rewrite r
  join pg_class c on c.oid = r.ev_class
  join pg_namespace n on n.oid = c.relnamespace
 where r.rulename <> '_RETURN'
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', c.oid)@
