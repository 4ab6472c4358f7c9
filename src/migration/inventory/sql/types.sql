-- Enums, domains, composite types, ranges and base types; not the row types of relations, arrays or multiranges.
select case t.typtype when 'd' then 'domain' else 'type' end as kind,
       quote_ident(n.nspname) || '.' || quote_ident(t.typname) as name,
       n.nspname || '.' || t.typname as toc,
       null as parent,
       case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'c' then 'composite' when 'r' then 'range' when 'b' then 'base' else 'shell' end
           as sort,
       (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid) as labels,
       case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end as base_type,
       nullif(t.typnotnull, false) as not_null,
       t.typdefault as default_value,
       case when t.typcollation <> coalesce(b.typcollation, t.typcollation)
            then (select quote_ident(l.collname) from pg_collation l where l.oid = t.typcollation) end as collation,
       (select concat_ws(', ', format_type(r.rngsubtype, null), (select o.opcname from pg_opclass o where o.oid = r.rngsubopc),
                         (select l.collname from pg_collation l where l.oid = r.rngcollation), r.rngcanonical, r.rngsubdiff,
                         format_type(r.rngmultitypid, null))
          from pg_range r where r.rngtypid = t.oid) as range,
       case when t.typtype = 'b' then concat_ws(', ', t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze,
                                                t.typsubscript, t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory, t.typispreferred,
                                                t.typdelim, format_type(nullif(t.typelem, 0), null)) end as base,
       pg_get_userbyid(t.typowner) as owner,
       @grants(t.typacl, 'T', t.typowner)@ as grants
  from pg_type t
  join pg_namespace n on n.oid = t.typnamespace
  left join pg_type b on b.oid = t.typbasetype
 where t.typtype in ('e', 'd', 'c', 'r', 'b', 'p')
   and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
   and not exists (select from pg_type a where a.typarray = t.oid)
   and @user_schema(n.nspname)@
   and @not_extension('pg_type', t.oid)@
