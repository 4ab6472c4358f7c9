//! Functions: their languages, their bodies, and what they rely on.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql};
use super::{Routine, is_managed, routines, target_is_at_least};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G2",
            title: "Functions only a superuser may create",
            about: "in which languages the functions are written",
            grant: CATALOGS,
            explain: "Lists functions in C, in internal and in untrusted languages (such as plpython3u), and languages that were made \
                      by hand. What belongs to extensions is not listed here.\n\n\
                      Only a superuser may create them, because they can do on the server whatever the server can do. A target where \
                      you are no superuser, as Neon, refuses them. They are left out by name with what needs them, such as triggers \
                      and indexes. If a default, a generated column or a check constraint needs one, its table cannot be created and \
                      the copy stops: then this is a blocker.\n\n\
                      Write them anew in SQL or PL/pgSQL on the source, or find an extension of the target that has them. On a target \
                      where you are a superuser, functions in C need their library on its server.",
            look: Look::Rows { side: Side::Source, query: UNTRUSTED, evaluate: untrusted },
        },
        Check {
            code: "G11",
            title: "Functions with their owner's rights",
            about: "which functions run with their owner's rights",
            grant: CATALOGS,
            explain: "Lists functions with `security definer` and no `search_path` of their own.\n\n\
                      Such a function runs with the rights of its owner but looks names up where its caller says. Who may create \
                      objects in a schema of that path can make it run their code. It is as it was on the source, so nothing breaks, \
                      but on the target it may belong to the role that migrated and may do all that this role may.\n\n\
                      Give each a search path of its own. The statements take the function's schema and public; add others that its \
                      body uses without naming them.",
            look: Look::Rows { side: Side::Source, query: DEFINERS, evaluate: definers },
        },
        Check {
            code: "G12",
            title: "Functions that use the server itself",
            about: "what the bodies of functions use",
            grant: CATALOGS,
            explain: "Searches the bodies of functions for words that mean the server itself: files (pg_read_file, lo_import, copy … \
                      program), its configuration (alter system, session_replication_role), connections that it opens (dblink), and \
                      functions that were renamed in Postgres 15 (pg_start_backup). Comments count too, and statements put together \
                      from parts are not seen.\n\n\
                      The functions are created on the target as they are and fail when they are called: files are others or out of \
                      reach there, settings may not be changed, and other servers may not be reachable.\n\n\
                      Read each of them, and change what the target cannot do before applications are moved.",
            look: Look::Rows { side: Side::Source, query: BODIES, evaluate: bodies },
        },
        Check {
            code: "G21",
            title: "Functions that rely on the search path",
            about: "whether functions of constraints and indexes rely on the search path",
            grant: CATALOGS,
            explain: "Looks at functions in SQL or PL/pgSQL that check constraints, generated columns, indexes or materialized views \
                      use. Listed are those whose body reads a table without naming its schema, and that have no `search_path` of \
                      their own. The body is not understood, only searched, so a few may be listed that are in order, and calls of \
                      other functions are not seen.\n\n\
                      A dump is restored with an empty search path, and from Postgres 17 on indexes and materialized views are built \
                      with a safe one. There the function does not find its table and fails, and with it the rows, the index or the \
                      view.\n\n\
                      Give each a search path of its own. It takes effect at once, locks no table, and changes nothing for callers \
                      whose path was the same; only functions in SQL are no longer inlined.",
            look: Look::Rows { side: Side::Source, query: RELIANT, evaluate: reliant },
        },
    ]
}

/// Constructors of ranges are internal functions that come with their type. A default, a check or a domain's check that needs a
/// function is recorded as a dependency of `pg_attrdef` or `pg_constraint`.
const UNTRUSTED: &str = "
select case p.prokind when 'p' then 'procedure' else 'function' end as kind, n.nspname::text as schema,
       p.oid::regprocedure::text as call, l.lanname::text as language, p.probin as library,
       p.oid in (select d.refobjid from pg_depend d where d.refclassid = 'pg_proc'::regclass
                    and d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass)) as needed
  from pg_proc p join pg_language l on l.oid = p.prolang join pg_namespace n on n.oid = p.pronamespace
 where not l.lanpltrusted and p.prokind <> 'a' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
union all
select 'language', null, quote_ident(l.lanname), l.lanname::text, null, false
  from pg_language l
 where l.lanispl and not exists (select from pg_depend d
                                  where d.classid = 'pg_language'::regclass and d.objid = l.oid and d.deptype = 'e')
 order by 1, 3";

#[derive(Deserialize)]
struct Untrusted {
    #[serde(flatten)]
    routine: Routine,
    language: String,
    library: Option<String>,
    needed: bool,
}

impl Untrusted {
    fn label(&self) -> String {
        let mut routine = self.routine.clone();
        if routine.kind != "language" {
            let library = self.library.as_ref().map(|library| format!(", {library}")).unwrap_or_default();
            let needed = if self.needed { ", a table needs it" } else { "" };
            routine.detail = Some(format!("{}{library}{needed}", self.language));
        }
        routine.label()
    }
}

fn untrusted(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let all: Vec<Untrusted> = rows.parse()?;
    let mut found: Vec<Untrusted> = all.into_iter().filter(|one| super::takes_schema(cx, one.routine.schema.as_deref())).collect();
    if !is_managed(cx) {
        found.retain(|one| one.language == "c" && one.routine.kind != "language");
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let objects = found.iter().map(Untrusted::label).collect();
    if !is_managed(cx) {
        let sentence = format!("{} written in C.", count(found.len(), "function is", "functions are"));
        let why = "They are in a library of the source's server, which the target's server must have at the same place.";
        let fix = "Install the libraries on the target's server, for its own major version; or write the functions anew in SQL or \
                   PL/pgSQL.";
        return Ok(vec![Finding::new("G2", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)]);
    }
    let severity = if found.iter().any(|one| one.needed) { Severity::Blocker } else { Severity::Warning };
    let sentence = format!(
        "{} only a superuser may create.",
        count(found.len(), "function or language is one that", "functions and languages are some that")
    );
    let why = match severity {
        Severity::Blocker => {
            "The target's role is no superuser. Tables whose defaults, generated columns or checks need one of them \
                              cannot be created there, so a copy stops."
        }
        _ => "The target's role is no superuser, so they are left out, by name, with everything that needs them.",
    };
    let fix = "Write them anew in SQL or PL/pgSQL on the source, or use an extension that the target offers; or go without them.";
    Ok(vec![Finding::new("G2", severity, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

const DEFINERS: &str = "
select case p.prokind when 'p' then 'procedure' else 'function' end as kind, n.nspname::text as schema,
       p.oid::regprocedure::text as call, 'of ' || quote_ident(r.rolname) as detail
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
 where p.prosecdef and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from unnest(p.proconfig) s where s like 'search\\_path=%')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 3";

fn definers(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = routines(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} with the rights of {} owner and looks names up where the caller says.",
        count(found.len(), "function runs", "functions run"),
        if found.len() == 1 { "its" } else { "their" }
    );
    let why = "Who may create objects in a schema of the caller's search path can make such a function run their code with its \
               owner's rights, on the source as on the target.";
    let sql: Vec<String> = found.iter().map(Routine::pin_search_path).collect();
    let words = "Give each a search path of its own; see first that its body uses no other schema without naming it. This locks no \
                 table";
    let objects = found.iter().map(Routine::label).collect();
    Ok(vec![Finding::new("G11", Severity::Note, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}

const BODIES: &str = r"
select case p.prokind when 'p' then 'procedure' else 'function' end as kind, n.nspname::text as schema,
       p.oid::regprocedure::text as call, lower(regexp_replace(m.found[1], '\s+', ' ', 'g')) as detail
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 cross join lateral regexp_match(p.prosrc,
       '\m(pg_read_file|pg_read_binary_file|pg_ls_dir|pg_ls_logdir|pg_ls_waldir|pg_stat_file|pg_reload_conf|pg_rotate_logfile'
       || '|lo_import|lo_export|dblink\w*|alter\s+system|session_replication_role|pg_start_backup|pg_stop_backup'
       || '|(?:from|to)\s+program|copy\s+[^;]*\s(?:from|to)\s+''/)', 'i') as m (found)
 where m.found is not null and l.lanname not in ('c', 'internal') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 3";

fn bodies(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut found = routines(cx, rows)?;
    // These two are there until 14.
    let is_kept = |word: Option<&str>| target_is_at_least(cx, 15) || !matches!(word, Some("pg_start_backup" | "pg_stop_backup"));
    found.retain(|routine| is_kept(routine.detail.as_deref()));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence =
        format!("{} files, settings or connections of the server.", count(found.len(), "function uses", "functions use"));
    let why = "They are created on the target as they are, but there files are out of reach, settings may not be changed, and other \
               servers may not answer: they fail when they are called.";
    let fix = "Read them, and change what the target cannot do before applications are moved.";
    let objects = found.iter().map(Routine::label).collect();
    Ok(vec![Finding::new("G12", Severity::Warning, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

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
select 'function' as kind, n.nspname::text as schema, p.oid::regprocedure::text as call, null as detail
  from used u join pg_proc p on p.oid = u.oid join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where l.lanname in ('sql', 'plpgsql') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
   and p.prosrc ~* '\m(from|join|into|update)\s+(only\s+)?("[^"]+"|[a-z_][a-z0-9_$]*)(?![a-z0-9_$"]|\s*[.(])'
 order by 3"#;

fn reliant(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = routines(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "{} that constraints, indexes or materialized views use {} on the search path.",
        count(found.len(), "function", "functions"),
        if found.len() == 1 { "relies" } else { "rely" }
    );
    let why = "A dump is restored with an empty search path. The functions do not find their tables then, and the rows, indexes or \
               views that need them fail.";
    let sql: Vec<String> = found.iter().map(Routine::pin_search_path).collect();
    let words = "Give each a search path of its own; see first that its body uses no other schema without naming it. This locks no \
                 table";
    let objects = found.iter().map(Routine::label).collect();
    Ok(vec![Finding::new("G21", Severity::Warning, "source", sentence, why).with_fix(fix_sql(words, &sql)).with_objects(objects)])
}
