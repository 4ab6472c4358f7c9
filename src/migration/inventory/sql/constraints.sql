-- Constraints of tables and domains, with the state of the index behind them. Not null is a property of the column (from 18 on it
-- is a constraint as well; only one that is not valid is listed). What foreign keys make for single partitions follows from the
-- parent's.
select 'constraint' as kind,
       quote_ident(k.conname) || ' on ' || coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), format_type(k.contypid, null)) as name,
       n.nspname || '.' || c.relname || ' ' || k.conname as toc,
       coalesce(quote_ident(n.nspname) || '.' || quote_ident(c.relname), format_type(k.contypid, null)) as parent,
       pg_get_constraintdef(k.oid) as definition,
       nullif(k.convalidated, true) as validated,
       nullif(k.conislocal, true) as local,
       case when i.indexrelid is not null then i.indisvalid end as index_valid,
       nullif(i.indisclustered, false) as clustered,
       (select quote_ident(x.relname) from pg_class x where x.oid = i.indexrelid and x.relname <> k.conname) as index_name
  from pg_constraint k
  left join pg_class c on c.oid = k.conrelid
  left join pg_type t on t.oid = k.contypid
  join pg_namespace n on n.oid = coalesce(c.relnamespace, t.typnamespace)
  left join pg_index i on i.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')
 where (k.contype in ('c', 'f', 'p', 'u', 'x') or k.contype = 'n' and not k.convalidated)
   and not (k.contype = 'f' and k.conparentid <> 0)
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', coalesce(c.oid, 0))@
   and @not_extension('pg_type', coalesce(t.oid, 0))@
