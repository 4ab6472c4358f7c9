select 'comment' as kind,
       o.type || ' ' || o.identity as name,
       coalesce(o.schema || '.', '') || upper(o.type) || ' ' || coalesce(o.name, o.identity) as toc,
       (pg_identify_object(d.classoid, d.objoid, 0)).identity as parent,
       d.description as text
  from pg_description d
  cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) o
 where (d.objoid >= 16384 or d.classoid = 'pg_largeobject'::regclass)
   and d.classoid <> 'pg_extension'::regclass
   and @user_schema(coalesce(o.schema, ''))@
   and not (o.type = 'schema' and o.name = 'neon_migrate')
   -- A dropped subscription leaves its comment behind.
   and o.identity is not null
   and not exists (select from pg_depend x where x.classid = d.classoid and x.objid = d.objoid and x.deptype = 'e')
union all
-- A comment that an extension's own control file makes is its business; one that somebody changed is not.
select 'comment', 'extension ' || quote_ident(e.extname), 'EXTENSION ' || e.extname, quote_ident(e.extname), d.description
  from pg_extension e
  join pg_description d on d.classoid = 'pg_extension'::regclass and d.objoid = e.oid
  left join pg_available_extensions v on v.name = e.extname
 where d.description is distinct from v.comment
union all
select 'comment', 'the database', 'DATABASE', null, d.description
  from pg_shdescription d
  join pg_database b on b.oid = d.objoid and b.datname = current_database()
 where d.classoid = 'pg_database'::regclass
union all
select 'comment', 'schema public', 'SCHEMA public', 'public', d.description
  from pg_description d
  join pg_namespace n on n.oid = d.objoid and n.nspname = 'public' and n.oid < 16384
 where d.classoid = 'pg_namespace'::regclass and d.description <> 'standard public schema'
