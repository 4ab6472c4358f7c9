-- Every column of every table that has rows of its own or is compared as a whole, in the order of the tables and columns.
select a.attrelid, a.attname, a.atttypid
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
 where a.attnum > 0
   and not a.attisdropped
   and c.relkind in ('r', 'p')
   and c.relpersistence <> 't'
   and (c.oid >= 16384)
 order by a.attrelid, a.attnum
