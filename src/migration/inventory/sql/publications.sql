select 'publication' as kind, quote_ident(p.pubname) as name, p.pubname as toc, null as parent,
       concat_ws(', ', case when p.puballtables then 'all tables' end, case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                 case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end, case when p.pubviaroot then 'via root' end)
           as publishes,
       (select string_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                          || coalesce(' (' || (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
                                                where a.attrelid = c.oid and to_jsonb(a.attnum) in (select jsonb_array_elements(nullif(j -> 'prattrs', 'null')))) || ')', '')
                          || coalesce((select ' where ' || (to_jsonb(t) ->> 'rowfilter') from pg_publication_tables t
                                        where t.pubname = p.pubname and t.schemaname = n.nspname and t.tablename = c.relname), ''), ', '
                          order by n.nspname collate "C", c.relname collate "C")
          from pg_publication_rel r cross join lateral to_jsonb(r) as j
          join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
         where r.prpubid = p.oid) as tables,
       pg_get_userbyid(p.pubowner) as owner
  from pg_publication p
 where p.pubname not like 'neon\_migrate%'
