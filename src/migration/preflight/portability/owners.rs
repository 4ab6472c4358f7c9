//! Whom things belong to, and what goes with it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count};
use super::{is_platform_role, labels, takes_schema};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human;

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G1",
            title: "Owners",
            about: "whom the objects of the source belong to",
            grant: CATALOGS,
            explain: "Counts the schemas, tables, views, sequences, types and functions of each owner. A database whose objects all \
                      belong to one role gives no finding.\n\n\
                      On a target where you are no superuser, as on Neon, everything is created by the role that migrates and belongs \
                      to it. What owners could do as owners (alter, drop, and read and write without a grant) they cannot do there \
                      until they are given it again. Functions with security definer run with the rights of their owner, so they \
                      change what they may do.\n\n\
                      With --keep-owners a copy gives everything to the role of the same name, which must exist on the target, and \
                      which the migrating role must be a member of. Otherwise create the roles there and grant them what they need.",
            look: Look::Rows { side: Side::Source, query: OWNERS, evaluate: owners },
        },
        Check {
            code: "G8",
            title: "Default privileges and security labels",
            about: "whether there are default privileges and security labels",
            grant: CATALOGS,
            explain: "Lists the default privileges (alter default privileges) and counts the security labels of the source, by their \
                      provider.\n\n\
                      Neither is carried over: default privileges are for roles that the target need not have and only with \
                      --keep-grants; labels need a library that is loaded by the server, such as that of anon or sepgsql. New tables \
                      on the target would then be closed to those who expect to read them, and masked columns would be open.\n\n\
                      Give the default privileges again on the target, as `\\ddp` of psql shows them on the source, and set labels \
                      again where the target's server knows their provider.",
            look: Look::Rows { side: Side::Source, query: DEFAULTS_AND_LABELS, evaluate: defaults_and_labels },
        },
    ]
}

/// By owner and schema, so that patterns and platforms can be told apart without a row for each object.
const OWNERS: &str = "
with owned as (
  select c.relnamespace as namespace, c.relowner as owner, 'pg_class'::regclass as catalog, c.oid
    from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and c.relpersistence <> 't'
  union all
  select p.pronamespace, p.proowner, 'pg_proc'::regclass, p.oid from pg_proc p where p.oid >= 16384
  union all
  select t.typnamespace, t.typowner, 'pg_type'::regclass, t.oid from pg_type t
   where t.oid >= 16384 and t.typrelid = 0 and t.typinput <> 'array_in'::regproc
  union all
  select n.oid, n.nspowner, 'pg_namespace'::regclass, n.oid from pg_namespace n where n.nspname <> 'public'
)
select n.nspname::text as schema, r.rolname::text as role, r.rolsuper as superuser, count(*)::int8 as objects
  from owned o join pg_namespace n on n.oid = o.namespace join pg_roles r on r.oid = o.owner
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = o.catalog and d.objid = o.oid and d.objsubid = 0 and d.deptype in ('e', 'i'))
 group by 1, 2, 3 order by 1, 2";

#[derive(Deserialize)]
struct Owned {
    schema: String,
    role: String,
    superuser: bool,
    objects: usize,
}

fn owners(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut owners: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for owned in rows.parse::<Owned>()? {
        if takes_schema(cx, Some(&owned.schema)) && !is_platform_role(cx, &owned.role) {
            let owner = owners.entry(owned.role).or_insert((0, owned.superuser));
            owner.0 += owned.objects;
        }
    }
    if owners.len() < 2 {
        return Ok(Vec::new());
    }
    let label = |(role, (objects, superuser)): (&String, &(usize, bool))| {
        let superuser = if *superuser { ", a superuser" } else { "" };
        format!("role {} ({}{superuser})", human(role), count(*objects, "object", "objects"))
    };
    let objects: Vec<String> = owners.iter().map(label).collect();
    let sentence =
        format!("The objects belong to {} roles; on the target all will belong to the role that migrates.", owners.len());
    let why = "What a role may do with its objects only because it owns them, it may not do on the target until it is granted. \
               Functions with security definer run there with the rights of their new owner.";
    let fix = "Create these roles on the target and grant them there what they need. Or run the copy with --keep-owners, if the \
               target has roles of the same names and the migrating role is a member of each.";
    Ok(vec![Finding::new("G1", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

const DEFAULTS_AND_LABELS: &str = "
select 'default privileges of' as kind, null as schema, r.rolname::text as name, n.nspname::text as namespace,
       'on ' || case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
                                     when 'n' then 'schemas' else 'large objects' end
         || coalesce(' in schema ' || quote_ident(n.nspname), '') as detail
  from pg_default_acl d join pg_roles r on r.oid = d.defaclrole left join pg_namespace n on n.oid = d.defaclnamespace
 where not exists (select from pg_depend e where e.classid = 'pg_default_acl'::regclass and e.objid = d.oid and e.deptype = 'e')
union all
select 'security labels of', null, l.provider, null, 'on ' || count(*) || ' objects'
  from pg_seclabel l group by l.provider
 order by 1, 3, 5";

#[derive(Deserialize)]
struct Placed {
    #[serde(flatten)]
    object: Object,
    namespace: Option<String>,
}

fn defaults_and_labels(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let placed: Vec<Placed> = rows.parse()?;
    let travels = |one: &Placed| takes_schema(cx, one.namespace.as_deref()) && !is_platform_role(cx, &one.object.name);
    let objects: Vec<Object> = placed.into_iter().filter(travels).map(|one| one.object).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = "The source has default privileges or security labels, which are not carried over.".to_owned();
    let why = "Without its default privileges a new table on the target is open to its owner only; without their labels columns \
               that were masked are not.";
    let fix = "Give the default privileges again on the target with alter default privileges (\\ddp of psql shows them on the source), \
               and the labels with security label where the target's server knows their provider.";
    Ok(vec![Finding::new("G8", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(labels(&objects))])
}
