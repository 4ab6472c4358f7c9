select 'event trigger' as kind, quote_ident(e.evtname) as name, e.evtname as toc, null as parent,
       e.evtevent as event,
       array_to_string(e.evttags, ', ') as tags,
       e.evtfoid::regprocedure as function,
       case e.evtenabled when 'O' then 'enabled' when 'D' then 'disabled' when 'R' then 'replica only' else 'always' end as state,
       pg_get_userbyid(e.evtowner) as owner
  from pg_event_trigger e
 where @not_extension('pg_event_trigger', e.oid)@
