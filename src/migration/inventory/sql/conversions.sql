select 'conversion' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.conname) as name,
       n.nspname || '.' || c.conname as toc,
       null as parent,
       pg_encoding_to_char(c.conforencoding) || ' to ' || pg_encoding_to_char(c.contoencoding) as encodings,
       c.conproc as function,
       nullif(c.condefault, false) as is_default,
       pg_get_userbyid(c.conowner) as owner
  from pg_conversion c
  join pg_namespace n on n.oid = c.connamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_conversion', c.oid)@
