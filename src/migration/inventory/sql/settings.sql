-- Settings of the database, and of roles in it. Their values are hashed: some hold secrets.
select 'setting' as kind,
       quote_ident(split_part(c, '=', 1)) || coalesce(' of ' || quote_ident(r.rolname), '') || ' in the database' as name,
       split_part(c, '=', 1) as toc,
       null as parent,
       md5(substr(c, strpos(c, '=') + 1)) as value_hash
  from pg_db_role_setting s
  cross join lateral unnest(s.setconfig) c
  left join pg_roles r on r.oid = s.setrole
 where s.setdatabase = (select d.oid from pg_database d where d.datname = current_database())
