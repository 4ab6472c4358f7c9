-- Triggers that people made; those of partitions that were cloned from the parent's follow from it.
select 'trigger' as kind,
       quote_ident(t.tgname) || ' on ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       n.nspname || '.' || c.relname || ' ' || t.tgname as toc,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as parent,
       pg_get_triggerdef(t.oid) as definition,
       case t.tgenabled when 'O' then 'enabled' when 'D' then 'disabled' when 'R' then 'replica only' else 'always' end as state
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not t.tgisinternal and t.tgparentid = 0
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', c.oid)@
   and @not_extension('pg_trigger', t.oid)@
