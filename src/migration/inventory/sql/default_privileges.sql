select 'default privileges' as kind,
       concat_ws(' ', 'of', quote_ident(pg_get_userbyid(d.defaclrole)), 'in ' || quote_ident(n.nspname), 'for',
                 case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas'
                 else 'large objects' end) as name,
       'DEFAULT PRIVILEGES FOR ' || case d.defaclobjtype when 'r' then 'TABLES' when 'S' then 'SEQUENCES' when 'f' then 'FUNCTIONS' when 'T' then 'TYPES'
                                    when 'n' then 'SCHEMAS' else 'LARGE OBJECTS' end as toc,
       null as parent,
       @grants_only(d.defaclacl, d.defaclrole)@ as grants
  from pg_default_acl d
  left join pg_namespace n on n.oid = d.defaclnamespace
