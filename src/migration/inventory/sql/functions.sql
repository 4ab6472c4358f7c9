select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window function' else 'function' end as kind,
       (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity as name,
       n.nspname || '.' || p.proname || '(' || oidvectortypes(p.proargtypes) || ')' as toc,
       null as parent,
       pg_get_function_arguments(p.oid) as arguments,
       pg_get_function_result(p.oid) as result,
       l.lanname as language,
       concat_ws(', ', case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
                 case when p.proisstrict then 'strict' end, case when p.prosecdef then 'security definer' end,
                 case when p.proleakproof then 'leakproof' end, 'parallel ' || p.proparallel::text, 'cost ' || p.procost, 'rows ' || p.prorows)
           as attributes,
       nullif(p.prosupport::oid, 0)::regproc as support,
       array_to_string(p.proconfig, ', ') as settings,
       case when p.prosqlbody is null then p.prosrc end as body,
       p.probin as library,
       -- A constant with a cast gets an alias each time that its text is parsed anew; names of results are the function's, not its body's.
       case when p.prosqlbody is not null then regexp_replace(pg_get_function_sqlbody(p.oid), ' AS ("[^"]+"|\w+)', '', 'g') end as body_same_major,
       (select string_agg(format_type(x, null), ', ') from unnest(p.protrftypes) x) as transforms,
       (select concat_ws(', ', g.aggkind, g.aggnumdirectargs, g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn,
                         g.aggminvtransfn, g.aggmfinalfn, g.aggfinalextra, g.aggmfinalextra, g.aggfinalmodify, g.aggmfinalmodify,
                         g.aggsortop::regoperator, format_type(g.aggtranstype, null), g.aggtransspace, format_type(nullif(g.aggmtranstype, 0), null),
                         g.aggmtransspace, quote_nullable(g.agginitval), quote_nullable(g.aggminitval))
          from pg_aggregate g where g.aggfnoid = p.oid) as aggregate,
       pg_get_userbyid(p.proowner) as owner,
       @grants(p.proacl, 'f', p.proowner)@ as grants
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  join pg_language l on l.oid = p.prolang
 where @user_schema(n.nspname)@
   and @not_extension('pg_proc', p.oid)@
   -- The constructors of ranges and multiranges belong to the type.
   and not exists (select from pg_depend i where i.classid = 'pg_proc'::regclass and i.objid = p.oid and i.deptype = 'i'
                      and i.refclassid = 'pg_type'::regclass)
