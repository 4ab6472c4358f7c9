//! Functions, languages and event triggers: what a target may refuse, and what may not work there.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::{LEFT_OUT, NEEDED, Routine, refuses, stops_the_copy};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human_line};

pub(super) fn checks() -> Vec<Check> {
    let rows = |code, title, about, explain, query, evaluate| Check {
        code,
        title,
        about,
        grant: CATALOGS,
        explain,
        look: Look::Rows { side: Side::Source, query, evaluate },
    };
    vec![
        rows("G2", "Functions in untrusted languages", "in which languages functions are", UNTRUSTED_TEXT, UNTRUSTED, untrusted),
        rows("G2", "Languages of your own", "which languages there are", "", LANGUAGES, languages),
        rows("G3", "Event triggers", "which event triggers there are", TRIGGERS_TEXT, TRIGGERS, event_triggers),
        rows("G11", "Functions that run as their owner", "which functions run as their owner", DEFINER_TEXT, DEFINER, definer),
        rows("G12", "Functions that reach outside", "what functions call", BODIES_TEXT, BODIES, bodies),
    ]
}

const UNTRUSTED_TEXT: &str = "\
Functions are looked for that belong to no extension and that only a superuser may create: those in an untrusted language (C, \
internal, plpython3u, plperlu …), those marked leakproof, and those with a support function. Languages that no extension \
brought along are named as well.

Untrusted code may read files and open connections as the server itself, so a managed service does not let it in. C functions \
also need their library on the target's machine. If a default, a generated column or a check needs one, its table cannot be created \
without it and the copy would stop, so then this is a blocker. If the target's role is no superuser, write such a function in PL/pgSQL or SQL, \
move its work into the application, or use an extension that the target offers. A function that is only marked leakproof can be \
made without the mark: row-level security then takes other plans, and gives the same rows.";

const TRIGGERS_TEXT: &str = "\
Event triggers are looked for that belong to no extension. They run when a definition is changed, for every table that is \
created. Only a superuser may create them, and on some providers the administrator.

They are left out of the copy if the target's role may not create them. If they guard or log changes of the schema, plan for \
that to be missing after the cutover, or ask the provider whether it has a way.";

const DEFINER_TEXT: &str = "\
Functions are looked for that are security definer, and whose search path is not set along with them. Such a function runs \
with the rights of its owner and finds tables and functions by the search path of whoever calls it.

After a migration both may be others: all objects belong to the role that migrates, unless owners are kept, and search paths \
that were set for a role or a database stay behind. Then the function finds other tables or none, and whoever may create objects \
in a schema of the path may have his code run by the owner. To set the search path along with the function mends both. The \
statement takes effect at once and rewrites nothing; see first in which schemas the function looks.";

const BODIES_TEXT: &str = "\
The bodies of functions are searched for words that mean something else on another server: reading and writing files of the \
server, running programs, connections to other servers by dblink, and catalogs, columns and functions that Postgres has \
renamed or removed. Functions in C or of extensions are not looked at. It is a search for words, so a comment may be found, and \
what a function puts together at run time is not found.

Such a function is created on the target without complaint, and fails when it is called. Files of the source's machine are not \
there on the target, a managed server has no programs to run, and an address in a dblink call still leads to the old database. \
Read each, and change or drop what would fail.";

/// Routines of user schemas that belong to no extension and are no part of a range type: `p`, in schema `n` and language `l`.
macro_rules! routines {
    ($detail:literal, $where:literal) => {
        concat!(
            "
select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end as kind,
       n.nspname::text as schema, p.proname::text as name, pg_get_function_identity_arguments(p.oid) as args, ",
            $detail,
            " as detail
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and ",
            $where,
            " and not exists (select from pg_depend d
                    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
 order by 2, 3, 4"
        )
    };
}

/// (An aggregate is in the language internal, and may be created by everybody.) Defaults, generated columns and checks are parts of their
/// table: without the function there is no table.
const UNTRUSTED: &str = routines!(
    "concat_ws(', ', l.lanname::text, case when p.proleakproof then 'leakproof' end,
               case when p.prosupport::oid <> 0 then 'with a support function' end,
               case when p.oid in (select d.refobjid from pg_depend d
                                    where d.refclassid = 'pg_proc'::regclass
                                      and d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass)) then 'a table needs it' end)",
    "p.prokind <> 'a' and (not l.lanpltrusted and l.lanname <> 'sql' or p.proleakproof or p.prosupport::oid <> 0)"
);

fn untrusted(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = Routine::taken(cx, rows)?;
    if found.is_empty() || !refuses(cx) {
        return Ok(Vec::new());
    }
    let sentence = format!("The source has {} that only a superuser can create.", count(found.len(), "function", "functions"));
    let fix = "Write them in PL/pgSQL or SQL, use an extension that the target offers, or move their work into the application. If \
               nothing uses them, nothing has to be done.";
    let is_needed = |routine: &Routine| routine.object.detail.as_deref().is_some_and(|detail| detail.ends_with(NEEDED));
    let finding = Finding::new("G2", Severity::Warning, side.name(), sentence, LEFT_OUT);
    let finding = if found.iter().any(is_needed) { stops_the_copy(finding) } else { finding };
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Routine::label).collect())])
}

const LANGUAGES: &str = "
select 'language' as kind, null as schema, l.lanname::text as name from pg_language l
 where l.oid >= 16384
   and not exists (select from pg_depend d where d.classid = 'pg_language'::regclass and d.objid = l.oid and d.deptype = 'e')
 order by l.lanname";

fn languages(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() || !refuses(cx) {
        return Ok(Vec::new());
    }
    let sentence = format!("The source has {} that no extension brought along.", count(found.len(), "language", "languages"));
    let fix = "If an extension of that name exists and the target offers it, create it there before the copy; or write the functions \
               in a language that the target has.";
    let finding = Finding::new("G2", Severity::Warning, side.name(), sentence, LEFT_OUT);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}

const TRIGGERS: &str = "
select 'event trigger' as kind, null as schema, e.evtname::text as name,
       e.evtevent::text || case e.evtenabled when 'D' then ', disabled' else '' end as detail
  from pg_event_trigger e
 where not exists (select from pg_depend d where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e')
 order by e.evtname";

fn event_triggers(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() || cx.of(Side::Target).is_some_and(|target| target.can.create_event_triggers) {
        return Ok(Vec::new());
    }
    let sentence = format!("The source has {}.", count(found.len(), "event trigger", "event triggers"));
    let why = "Only a superuser may create them, or the administrator on some providers. If the target's role may not, they are left \
               out of the copy by name.";
    let fix = "Plan for what they do to be missing on the target, or use a target whose role may create event triggers.";
    let finding = Finding::new("G3", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}

const DEFINER: &str = routines!(
    "null",
    "p.prosecdef and not exists (select from unnest(p.proconfig) s (setting) where s.setting like 'search_path=%')"
);

fn definer(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found = Routine::taken(cx, rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let what = count(found.len(), "function runs", "functions run");
    let sentence = format!("{what} with the rights of the owner, by the search path of whoever calls.");
    let why = "After a migration owners and search paths may be others, so it may find other tables or none. It can also be made to run \
               somebody else's code with the owner's rights.";
    let schema = |routine: &Routine| Ident::new(routine.object.schema.as_deref().unwrap_or_default());
    let sql: Vec<String> =
        found.iter().map(|routine| format!("alter {} set search_path to {}, pg_temp;", routine.sql(), schema(routine))).collect();
    let words = "Set the search path along with each, on the source, as its owner; name all the schemas that it needs, where it is more \
                 than its own. It takes effect at once and rewrites nothing";
    let finding = Finding::new("G11", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(Routine::label).collect())])
}

/// What is searched for, and since which major it is gone; 0 for what depends on the machine. One row per function and word. One rough
/// search first keeps it fast; what was gone on the source already is no matter of a migration.
const BODIES: &str = r"
select case p.prokind when 'p' then 'procedure' else 'function' end as kind, n.nspname::text as schema, p.proname::text as name,
       pg_get_function_identity_arguments(p.oid) as args,
       case when w.pattern like '_mcopy%' then 'copy … ' else '' end || (regexp_match(p.prosrc, w.pattern, 'i'))[1] as word, w.gone
  from (select p.* from pg_proc p
         where p.prosrc ~* '(pg_|lo_|dblink|copy\s|datlastsysoid|checkpoints_|buffers_|iculocale|_dead_tuples|wal_(?:write|sync)_)'
        offset 0) p
  join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
  join (values
    (0, '\m(pg_(?:read_(?:binary_)?file|ls_\w+|stat_file|file_\w+|logdir_ls)|lo_(?:import|export)|dblink\w*)\s*\('),
    (0, '\mcopy\s[^;]*\s((?:from|to)\s+program)\M'),
    (0, '\mcopy\s[^;]*\s((?:from|to)\s+''/)'),
    (15, '\m(pg_(?:start_backup|stop_backup|is_in_backup|backup_start_time)|datlastsysoid)\M'),
    (17, '\m(checkpoints_(?:timed|req)|buffers_(?:checkpoint|backend|backend_fsync)|(?:dat|coll)iculocale|(?:max|num)_dead_tuples)\M'),
    (18, '\m(wal_(?:write|sync)_time)\M')
  ) w (gone, pattern) on p.prosrc ~* w.pattern
 where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and l.lanname not in ('c', 'internal')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 2, 3, 4, w.gone, 5";

#[derive(Deserialize)]
struct Mention {
    #[serde(flatten)]
    routine: Routine,
    word: String,
    gone: u32,
}

impl Mention {
    fn label(&self) -> String {
        let since = if self.gone == 0 { String::new() } else { format!(", gone since Postgres {}", self.gone) };
        format!("{} ({}{since})", self.routine.label(), human_line(&self.word))
    }
}

fn bodies(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let (from, to) = (cx.source().version.major(), cx.of(Side::Target).map_or(u32::MAX, |target| target.version.major()));
    let mut found: Vec<Mention> = rows.parse()?;
    found.retain(|mention| {
        let object = &mention.routine.object;
        (mention.gone == 0 || from < mention.gone && mention.gone <= to)
            && object.schema.as_ref().is_none_or(|schema| cx.takes(schema, &object.name))
    });
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!(
        "Functions reach outside of the database, or use what Postgres has removed, in {}.",
        count(found.len(), "place", "places")
    );
    let why = "The function is created without complaint and fails, or reaches the old server, when it is called.";
    let fix =
        "Read each of these functions, and change or drop it before the cutover. A comment that mentions the word is no harm.";
    let finding = Finding::new("G12", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Mention::label).collect())])
}
