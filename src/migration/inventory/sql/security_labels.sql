select 'security label' as kind, l.provider || ' on ' || l.objtype || ' ' || l.objname as name, 'SECURITY LABEL ' || l.objname as toc, null as parent,
       l.label
  from pg_seclabels l
 where l.classoid not in ('pg_database'::regclass, 'pg_authid'::regclass, 'pg_tablespace'::regclass)
