//! Functions of constraints, indexes and materialized views that need a search path.

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql};
use super::Routine;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::Ident;

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G21",
        title: "Functions that rely on the search path",
        about: "whether functions of constraints and indexes rely on the search path",
        grant: CATALOGS,
        explain: RELIANT_TEXT,
        look: Look::Rows { side: Side::Source, query: RELIANT, evaluate: reliant },
    }]
}

const RELIANT_TEXT: &str = "\
Functions in SQL or PL/pgSQL are looked at that check constraints, generated columns, indexes or materialized views use. Named are \
those whose body reads a table without its schema, and that have no search_path of their own. The body is searched for words and \
not understood: a few may be named that are in order, and what a function calls is not followed.

A dump is restored with an empty search path, and from Postgres 17 on indexes and materialized views are built with a safe one. \
There the function does not find its table, and the rows, the index or the view that need it fail.

Set the search path along with each function. It takes effect at once, locks no table, and changes nothing for callers whose path \
was the same; only, functions in SQL are no longer inlined.";

/// A name after `from`, `join`, `into` or `update` that neither goes on with a dot nor is a function's.
const RELIANT: &str = r#"
with used as (
  select distinct d.refobjid as oid
    from pg_depend d
   where d.refclassid = 'pg_proc'::regclass and d.refobjid >= 16384
     and (d.classid in ('pg_constraint'::regclass, 'pg_class'::regclass)
          or d.classid = 'pg_attrdef'::regclass
             and exists (select from pg_attrdef f join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
                          where f.oid = d.objid and a.attgenerated <> '')
          or d.classid = 'pg_rewrite'::regclass
             and exists (select from pg_rewrite w join pg_class c on c.oid = w.ev_class where w.oid = d.objid and c.relkind = 'm'))
)
select 'function' as kind, n.nspname::text as schema, p.proname::text as name, pg_get_function_identity_arguments(p.oid) as args,
       null as detail
  from used u join pg_proc p on p.oid = u.oid join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where l.lanname in ('sql', 'plpgsql') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
   and p.prosrc ~* '\m(from|join|into|update)\s+(only\s+)?("[^"]+"|[a-z_][a-z0-9_$]*)(?![a-z0-9_$"]|\s*[.(])'
 order by 2, 3, 4"#;

fn reliant(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = Routine::taken(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} on the search path, and constraints, indexes or materialized views use {}.",
        count(found.len(), "function relies", "functions rely"),
        if found.len() == 1 { "it" } else { "them" }
    );
    let why = "A dump is restored with an empty search path. The functions do not find their tables then, and the rows, indexes or \
               views that need them fail.";
    let path = |routine: &Routine| match routine.object.schema.as_deref() {
        None | Some("public") => "public".to_owned(),
        Some(schema) => format!("{}, public", Ident::new(schema)),
    };
    let sql: Vec<String> =
        found.iter().map(|routine| format!("alter {} set search_path to {}, pg_temp;", routine.sql(), path(routine))).collect();
    let words = "Set the search path along with each, on the source, as its owner; name all the schemas that it needs. It takes effect at \
                 once and locks no table";
    let finding = Finding::new("G21", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(Routine::label).collect())])
}
