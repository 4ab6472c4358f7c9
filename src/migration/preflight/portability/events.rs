//! Event triggers.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count};
use super::{labels, takes_schema};
use crate::engine::finding::{Finding, Severity};

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "G3",
        title: "Event triggers",
        about: "which event triggers there are",
        grant: CATALOGS,
        explain: "Lists event triggers, which run a function when somebody creates, alters or drops something.\n\n\
                  Only a superuser may create them; on Neon, members of neon_superuser may too. Where the target's role may not, they \
                  are left out by name. Where it may, they are created last, and from then on they see what is done on the target, \
                  also what a later step of a migration does.\n\n\
                  Decide for each whether the target should have it, and drop it there if not. Nothing needs to change on the source.",
        look: Look::Rows { side: Side::Source, query: EVENT_TRIGGERS, evaluate: event_triggers },
    }]
}

const EVENT_TRIGGERS: &str = "
select 'event trigger' as kind, null as schema, e.evtname::text as name, n.nspname::text as namespace,
       'on ' || e.evtevent || case e.evtenabled when 'D' then ', disabled' else '' end as detail
  from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid join pg_namespace n on n.oid = p.pronamespace
 where not exists (select from pg_depend d where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e')
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 3";

#[derive(Deserialize)]
struct EventTrigger {
    #[serde(flatten)]
    object: Object,
    /// The schema of its function.
    namespace: String,
}

fn event_triggers(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let platform = &cx.host(Side::Source).leave_out_event_triggers;
    let all: Vec<EventTrigger> = rows.parse()?;
    let travels = |one: &EventTrigger| takes_schema(cx, Some(&one.namespace)) && !platform.contains(&one.object.name);
    let objects: Vec<Object> = all.into_iter().filter(travels).map(|one| one.object).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let there = count(objects.len(), "event trigger", "event triggers");
    let refused = cx.of(Side::Target).is_some_and(|target| !target.can.create_event_triggers);
    let finding = if refused {
        let sentence = format!("The source has {there}, which the target's role may not create.");
        let why = "They are left out, by name. What they did when somebody changed the schema is not done on the target.";
        let fix = "Have a superuser of the target create them after the migration, or go without them.";
        Finding::new("G3", Severity::Warning, "source", sentence, why).with_fix(fix)
    } else {
        let sentence = format!("The source has {there}.");
        let why = "They are created last on the target, and run there from then on when somebody changes the schema.";
        let fix = "Nothing, if the target should have them. Otherwise drop them there (drop event trigger) after the migration.";
        Finding::new("G3", Severity::Note, "source", sentence, why).with_fix(fix)
    };
    Ok(vec![finding.with_objects(labels(&objects))])
}
