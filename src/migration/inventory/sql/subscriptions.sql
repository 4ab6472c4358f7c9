-- Never the connection string.
select 'subscription' as kind, quote_ident(s.subname) as name, s.subname as toc, null as parent,
       array_to_string(s.subpublications, ', ') as publications,
       nullif(s.subslotname, s.subname) as slot,
       pg_get_userbyid(s.subowner) as owner
  from pg_subscription s
 where s.subdbid = (select d.oid from pg_database d where d.datname = current_database())
   and s.subname not like 'neon\_migrate%'
