select 'operator class' as kind,
       (pg_identify_object('pg_opclass'::regclass, o.oid, 0)).identity as name,
       n.nspname || '.' || o.opcname as toc,
       null as parent,
       (pg_identify_object('pg_opfamily'::regclass, o.opcfamily, 0)).identity as family,
       format_type(o.opcintype, null) as for_type,
       nullif(o.opcdefault, false) as is_default,
       format_type(nullif(o.opckeytype, 0), null) as storage,
       pg_get_userbyid(o.opcowner) as owner
  from pg_opclass o
  join pg_namespace n on n.oid = o.opcnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_opclass', o.oid)@
