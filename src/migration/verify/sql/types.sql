-- The types whose binary form may be portable: base types, domains, ranges and multiranges. What is not listed here (enums,
-- composites, arrays of composites) is compared as text.
select t.oid,
       t.typname,
       t.oid < 16384 and t.typnamespace = 'pg_catalog'::regnamespace as builtin,
       t.typtype::text as typtype,
       case when t.typsubscript = 'array_subscript_handler'::regproc then t.typelem else 0::oid end as typelem,
       t.typbasetype,
       coalesce(r.rngsubtype, m.rngsubtype, 0::oid) as rngsubtype
  from pg_type t
  left join pg_type e on e.oid = t.typelem
  left join pg_range r on r.rngtypid = t.oid
  left join pg_range m on m.rngmultitypid = t.oid
 where t.typtype in ('b', 'd', 'r', 'm')
   and e.typtype is distinct from 'c'
