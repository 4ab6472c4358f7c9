-- All are counted; the first ones are compared one by one.
select 'large object' as kind, l.oid::text as name, l.oid::text as toc, null as parent,
       null as count,
       pg_get_userbyid(l.lomowner) as owner,
       @grants(l.lomacl, 'L', l.lomowner)@ as grants
  from (select * from pg_largeobject_metadata order by oid limit 10000) l
union all
select 'large objects', 'in all', '', null, count(*)::text, null, null
  from pg_largeobject_metadata
