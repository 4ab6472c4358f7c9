select 'operator family' as kind,
       (pg_identify_object('pg_opfamily'::regclass, f.oid, 0)).identity as name,
       n.nspname || '.' || f.opfname as toc,
       null as parent,
       (select string_agg(format('%s %s %s', a.amopstrategy, a.amopopr::regoperator,
                                 (select quote_ident(s.opfname) from pg_opfamily s where s.oid = a.amopsortfamily)), ', '
                          order by a.amopstrategy, a.amopopr::regoperator::text collate "C")
          from pg_amop a where a.amopfamily = f.oid) as operators,
       (select string_agg(format('%s %s (%s, %s)', p.amprocnum, p.amproc::regprocedure, format_type(p.amproclefttype, null),
                                 format_type(p.amprocrighttype, null)), ', '
                          order by p.amprocnum, p.amproc::regprocedure::text collate "C", format_type(p.amproclefttype, null) collate "C",
                                   format_type(p.amprocrighttype, null) collate "C")
          from pg_amproc p where p.amprocfamily = f.oid) as functions,
       pg_get_userbyid(f.opfowner) as owner
  from pg_opfamily f
  join pg_namespace n on n.oid = f.opfnamespace
 where @user_schema(n.nspname)@ and @not_extension('pg_opfamily', f.oid)@
