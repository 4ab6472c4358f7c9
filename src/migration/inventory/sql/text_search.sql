select 'text search configuration' as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.cfgname) as name,
       n.nspname || '.' || c.cfgname as toc,
       null as parent,
       (select quote_ident(pn.nspname) || '.' || quote_ident(p.prsname) || ': '
               || (select string_agg(y.alias || ' ' || m.dictionaries, ', ' order by y.tokid)
                     from ts_token_type(p.oid) y
                     join (select maptokentype, string_agg(mapdict::regdictionary::text, ' ' order by mapseqno) as dictionaries
                             from pg_ts_config_map where mapcfg = c.oid group by maptokentype) m on m.maptokentype = y.tokid)
          from pg_ts_parser p join pg_namespace pn on pn.oid = p.prsnamespace where p.oid = c.cfgparser) as definition,
       pg_get_userbyid(c.cfgowner) as owner
  from pg_ts_config c
  join pg_namespace n on n.oid = c.cfgnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_ts_config', c.oid)@
union all
select 'text search dictionary', quote_ident(n.nspname) || '.' || quote_ident(d.dictname), n.nspname || '.' || d.dictname, null,
       (select quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname) from pg_ts_template t join pg_namespace tn on tn.oid = t.tmplnamespace
         where t.oid = d.dicttemplate) || coalesce(' ' || d.dictinitoption, ''),
       pg_get_userbyid(d.dictowner)
  from pg_ts_dict d
  join pg_namespace n on n.oid = d.dictnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_ts_dict', d.oid)@
union all
select 'text search parser', quote_ident(n.nspname) || '.' || quote_ident(p.prsname), n.nspname || '.' || p.prsname, null,
       concat_ws(', ', p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype), null
  from pg_ts_parser p
  join pg_namespace n on n.oid = p.prsnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_ts_parser', p.oid)@
union all
select 'text search template', quote_ident(n.nspname) || '.' || quote_ident(t.tmplname), n.nspname || '.' || t.tmplname, null,
       concat_ws(', ', t.tmplinit, t.tmpllexize), null
  from pg_ts_template t
  join pg_namespace n on n.oid = t.tmplnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_ts_template', t.oid)@
