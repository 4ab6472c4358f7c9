-- Tables, views, materialized views, sequences and foreign tables.
select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'table'
       end as kind,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       n.nspname || '.' || c.relname as toc,
       case when d.refobjid is not null and c.relkind = 'S'
            then (select quote_ident(on_.nspname) || '.' || quote_ident(o.relname)
                    from pg_class o join pg_namespace on_ on on_.oid = o.relnamespace where o.oid = d.refobjid)
       end as parent,
       case c.relpersistence when 'u' then 'unlogged' else 'permanent' end as persistence,
       case when c.relkind in ('r', 'm') then (select amname from pg_am am where am.oid = c.relam) end as access_method,
       case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end as partition_key,
       case when c.relispartition then pg_get_expr(c.relpartbound, c.oid) end as partition_bound,
       h.parents as inherits,
       case when c.reloftype <> 0 then format_type(c.reloftype, null) end as of_type,
       array_to_string(c.reloptions, ', ') as options,
       (select array_to_string(t.reloptions, ', ') from pg_class t where t.oid = c.reltoastrelid and t.reloptions is not null) as toast_options,
       nullif(c.relrowsecurity, false) as row_security,
       nullif(c.relforcerowsecurity, false) as forced_row_security,
       case when c.relkind in ('r', 'p')
            then case c.relreplident when 'f' then 'full' when 'n' then 'nothing' when 'i' then 'index '
                 || coalesce((select quote_ident(x.relname) from pg_index i join pg_class x on x.oid = i.indexrelid
                               where i.indrelid = c.oid and i.indisreplident), '(dropped)') else 'default' end
       end as replica_identity,
       case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end as definition_same_major,
       case when c.relkind = 'm' then c.relispopulated end as populated,
       (select format('%s, start %s, increment %s, min %s, max %s, cache %s, %s', format_type(s.seqtypid, null), s.seqstart, s.seqincrement,
                      s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then 'cycle' else 'no cycle' end)
          from pg_sequence s where s.seqrelid = c.oid) as parameters,
       (select quote_ident(a.attname) from pg_attribute a where a.attrelid = d.refobjid and a.attnum = d.refobjsubid) as owned_by_column,
       case when c.relkind = 'S' and has_sequence_privilege(c.oid, 'select') then pg_sequence_last_value(c.oid) end as last_value,
       (select quote_ident(s.srvname) || coalesce(' options ' || (select md5(string_agg(o, ',' order by o collate "C")) from unnest(ft.ftoptions) o), '')
          from pg_foreign_table ft join pg_foreign_server s on s.oid = ft.ftserver where ft.ftrelid = c.oid) as server,
       (select t.spcname from pg_tablespace t where t.oid = c.reltablespace) as tablespace,
       pg_get_userbyid(c.relowner) as owner,
       @grants(c.relacl, case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner)@ as grants
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and c.relkind = 'S' and d.deptype in ('a', 'i')
       and d.refclassid = 'pg_class'::regclass and d.refobjsubid <> 0
  left join (select i.inhrelid, string_agg(quote_ident(pn.nspname) || '.' || quote_ident(p.relname), ', ' order by i.inhseqno) as parents
               from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
              group by i.inhrelid) h on h.inhrelid = c.oid
 where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
   and @user_schema(n.nspname)@
   and @not_extension('pg_class', c.oid)@
