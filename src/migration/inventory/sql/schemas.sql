select 'schema' as kind, quote_ident(n.nspname) as name, n.nspname as toc, null as parent,
       pg_get_userbyid(n.nspowner) as owner,
       @grants(n.nspacl, 'n', n.nspowner)@ as grants
  from pg_namespace n
 where @user_schema(n.nspname)@
   and @not_extension('pg_namespace', n.oid)@
