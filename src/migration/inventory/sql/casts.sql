select 'cast' as kind,
       '(' || format_type(c.castsource, null) || ' as ' || format_type(c.casttarget, null) || ')' as name,
       'CAST (' || format_type(c.castsource, null) || ' AS ' || format_type(c.casttarget, null) || ')' as toc,
       null as parent,
       nullif(c.castfunc, 0)::regprocedure as function,
       c.castcontext as context,
       c.castmethod as method
  from pg_cast c
 where c.oid >= 16384 and @not_extension('pg_cast', c.oid)@
