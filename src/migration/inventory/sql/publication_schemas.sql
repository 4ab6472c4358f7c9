-- Schemas of publications, from 15 on.
select 'published schema' as kind, quote_ident(p.pubname) || ' of ' || quote_ident(n.nspname) as name, n.nspname || '.' || p.pubname as toc,
       quote_ident(p.pubname) as parent
  from pg_publication_namespace r
  join pg_publication p on p.oid = r.pnpubid
  join pg_namespace n on n.oid = r.pnnspid
