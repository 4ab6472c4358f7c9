-- The name of the locale's column has changed over the versions: colliculocale (15, 16), colllocale (17 on); before, it was
-- collcollate.
select 'collation' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.collname) as name,
       n.nspname || '.' || c.collname as toc,
       null as parent,
       c.collprovider as provider,
       c.collisdeterministic as deterministic,
       coalesce(j ->> 'colllocale', j ->> 'colliculocale', c.collcollate) as locale,
       case when c.collprovider = 'c' then c.collctype end as ctype,
       j ->> 'collicurules' as rules,
       pg_get_userbyid(c.collowner) as owner
  from pg_collation c
  join pg_namespace n on n.oid = c.collnamespace
  cross join lateral to_jsonb(c) as j
 where @user_schema(n.nspname)@ and @not_extension('pg_collation', c.oid)@
