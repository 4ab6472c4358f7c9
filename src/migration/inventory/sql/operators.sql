select 'operator' as kind,
       (pg_identify_object('pg_operator'::regclass, o.oid, 0)).identity as name,
       n.nspname || '.' || o.oprname as toc,
       null as parent,
       o.oprcode as function,
       concat_ws(', ', case when o.oprcanmerge then 'merges' end, case when o.oprcanhash then 'hashes' end) as attributes,
       nullif(o.oprcom, 0)::regoperator as commutator,
       nullif(o.oprnegate, 0)::regoperator as negator,
       nullif(o.oprrest::oid, 0)::regproc as restrict,
       nullif(o.oprjoin::oid, 0)::regproc as join,
       pg_get_userbyid(o.oprowner) as owner
  from pg_operator o
  join pg_namespace n on n.oid = o.oprnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_operator', o.oid)@
