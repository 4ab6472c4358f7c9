select 'language' as kind, quote_ident(l.lanname) as name, l.lanname as toc, null as parent,
       concat_ws(', ', case when l.lanpltrusted then 'trusted' end, nullif(l.lanplcallfoid, 0)::regproc, nullif(l.laninline, 0)::regproc,
                 nullif(l.lanvalidator, 0)::regproc) as definition,
       pg_get_userbyid(l.lanowner) as owner,
       @grants(l.lanacl, 'l', l.lanowner)@ as grants
  from pg_language l
 where l.oid >= 16384 and @not_extension('pg_language', l.oid)@
union all
select 'access method', quote_ident(a.amname), a.amname, null, a.amtype::text || ' ' || a.amhandler, null, null
  from pg_am a
 where a.oid >= 16384 and @not_extension('pg_am', a.oid)@
union all
select 'transform', (pg_identify_object('pg_transform'::regclass, t.oid, 0)).identity, '', null,
       concat_ws(', ', nullif(t.trffromsql::oid, 0)::regprocedure, nullif(t.trftosql::oid, 0)::regprocedure), null, null
  from pg_transform t
 where t.oid >= 16384 and @not_extension('pg_transform', t.oid)@
