-- Options may hold secrets: of servers and wrappers only a hash is read, of user mappings nothing. Their order is not kept by
-- pg_dump.
select 'foreign data wrapper' as kind, quote_ident(f.fdwname) as name, f.fdwname as toc, null as parent,
       concat_ws(', ', nullif(f.fdwhandler, 0)::regproc, nullif(f.fdwvalidator, 0)::regproc) as definition,
       (select md5(string_agg(o, ',' order by o collate "C")) from unnest(f.fdwoptions) o) as options_hash,
       pg_get_userbyid(f.fdwowner) as owner,
       @grants(f.fdwacl, 'F', f.fdwowner)@ as grants
  from pg_foreign_data_wrapper f
 where @not_extension('pg_foreign_data_wrapper', f.oid)@
union all
select 'server', quote_ident(s.srvname), s.srvname, null,
       concat_ws(', ', (select quote_ident(f.fdwname) from pg_foreign_data_wrapper f where f.oid = s.srvfdw), s.srvtype, s.srvversion),
       (select md5(string_agg(o, ',' order by o collate "C")) from unnest(s.srvoptions) o),
       pg_get_userbyid(s.srvowner),
       @grants(s.srvacl, 'S', s.srvowner)@
  from pg_foreign_server s
 where @not_extension('pg_foreign_server', s.oid)@
union all
select 'user mapping', coalesce(quote_ident(u.usename), 'public') || ' on ' || quote_ident(u.srvname),
       'USER MAPPING ' || u.usename || ' SERVER ' || u.srvname, quote_ident(u.srvname), null, null, null, null
  from pg_user_mappings u
