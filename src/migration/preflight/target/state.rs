//! Who else is on the target, what an earlier run left there, whether there is a way back; and who reads from the source's standbys.

use serde::Deserialize;

use super::super::Wish;
use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, not_evaluated};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human, human_line, literal};

pub(super) fn checks() -> Vec<Check> {
    let rows = |code, title, about, explain, side, query, evaluate| Check {
        code,
        title,
        about,
        grant: CATALOGS,
        explain,
        look: Look::Rows { side, query, evaluate },
    };
    let (source, target) = (Side::Source, Side::Target);
    vec![
        rows("I3", "Others on the target", "who is connected to the target", SESSIONS_TEXT, target, SESSIONS, sessions),
        rows("I4", "Leftovers on the target", "what an earlier migration left", "", target, LEFTOVERS, leftovers),
        rows("I4", "Origins on the source", "whether origins were left over", "", source, ORIGINS, leftovers),
        rows("I5", "A way back", "whether the target can send changes", BACK_TEXT, target, BACK, way_back),
        rows("I7", "Read replicas", REPLICAS_ABOUT, REPLICAS_TEXT, source, REPLICAS, replicas),
    ]
}

const SESSIONS_TEXT: &str = "\
Sessions of other roles or programs in the target database are counted. Every role can see who is connected there, even if \
not what they do. Sessions of a provider's own monitoring are left out where their roles are known.

While a copy runs nobody else should write to the target: rows of theirs would make the comparison fail, and their locks make the copy \
wait. Find out who they are and stop them until the cutover.";

const BACK_TEXT: &str = "\
The target's wal_level is looked at. After a cutover, a way back to the old server is only open if changes that were made on the \
target can be sent to it, which takes wal_level = logical on the target from before the cutover on.

Without it, going back means to lose what was written since. If no way back is wanted, nothing has to be done. To change the setting, \
the server has to be restarted; at a provider it is a switch in its console or a parameter group.";

const REPLICAS_ABOUT: &str = "which standbys the source has";

const REPLICAS_TEXT: &str = "\
Standbys that stream from the source by physical replication are counted (pg_stat_replication). Base backups and logical \
replication are no standbys; what archives WAL by streaming, such as pg_receivewal, looks like one and is named as well. Roles without pg_read_all_stats see that somebody replicates and not who.

Read replicas are not part of a migration. Applications that read from them have addresses of their own that have to be changed at \
the cutover, and the target needs as many replicas, or as large ones, to carry their load.";

/// Every role may see role, database and application of a session, and nothing else of sessions of others. Sessions like the one that
/// asks are our own.
const SESSIONS: &str = "
select a.usename::text as name, a.application_name as application, count(*)::int8 as sessions
  from pg_stat_activity a
  cross join (select usename, application_name from pg_stat_activity where pid = pg_backend_pid()) me
 where a.datname = current_database() and a.usename is not null and coalesce(a.backend_type, 'client backend') = 'client backend'
   and a.pid <> pg_backend_pid() and (a.usename, a.application_name) is distinct from (me.usename, me.application_name)
   and a.usename not in ('cloud_admin', 'neon_superuser', 'rdsadmin', 'cloudsqladmin', 'azuresu', 'azure_pg_admin', 'supabase_admin')
 group by a.usename, a.application_name
 order by a.usename, a.application_name";

#[derive(Deserialize)]
struct Sessions {
    name: String,
    application: String,
    sessions: usize,
}

impl Sessions {
    fn label(&self) -> String {
        let application = match self.application.as_str() {
            "" => String::new(),
            application => format!(", {}", human_line(application)),
        };
        format!("role {} ({}{application})", human(&self.name), count(self.sessions, "session", "sessions"))
    }
}

fn sessions(_: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Sessions> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let n = found.iter().map(|sessions| sessions.sessions).sum();
    let sentence = format!("{} connected to the target database.", count(n, "other session is", "other sessions are"));
    let why = "What others write there gets mixed up with what is copied, and their locks make the copy wait.";
    let fix = "Find out who they are, and keep them from the target until the cutover.";
    let finding = Finding::new("I3", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Sessions::label).collect())])
}

/// What is named like this was made by us.
macro_rules! ours {
    () => {
        "'^neon_migrate'"
    };
}

/// Origins and physical slots belong to the whole server.
const LEFTOVERS: &str = concat!(
    "
select * from (
  select 'subscription' as kind, s.subname::text as name, null as detail from pg_subscription s
   where s.subdbid = (select d.oid from pg_database d where d.datname = current_database())
  union all
  select 'slot', s.slot_name::text, case when s.active then 'in use' end from pg_replication_slots s
   where s.database is null or s.database = current_database()
  union all
  select 'publication', p.pubname::text, null from pg_publication p
  union all
  select 'origin', o.roname, null from pg_replication_origin o
) found
 where name ~ ",
    ours!(),
    " order by array_position(array['subscription', 'slot', 'publication', 'origin'], kind), name collate \"C\""
);

/// (What else an earlier run left on the source is looked for with replication.)
const ORIGINS: &str = concat!(
    "select 'origin' as kind, o.roname as name from pg_replication_origin o where o.roname ~ ",
    ours!(),
    " order by o.roname collate \"C\""
);

fn leftovers(_: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Object> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} made by this tool on the {}.", count(found.len(), "object was", "objects were"), side.name());
    let why = "If no migration is running they are left over from an earlier one. A slot keeps WAL until the disk is full, a \
               subscription goes on applying rows, and an origin tells a new migration a wrong position.";
    let words = format!(
        "If no migration to or from this {} is running, drop them, as a superuser or as the role that made them",
        side.name()
    );
    let sql: Vec<String> = found.iter().map(drop).collect();
    let finding = Finding::new("I4", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(&words, &sql)).with_objects(found.iter().map(Object::label).collect())])
}

/// A subscription is parted from its slot, which is at the other server and may be gone.
fn drop(object: &Object) -> String {
    let name = Ident::new(&object.name);
    match object.kind.as_deref() {
        Some("subscription") => {
            format!(
                "alter subscription {name} disable;\nalter subscription {name} set (slot_name = none);\ndrop subscription {name};"
            )
        }
        Some("slot") => format!("select pg_drop_replication_slot({});", literal(&object.name)),
        Some("origin") => format!("select pg_replication_origin_drop({});", literal(&object.name)),
        _ => format!("drop publication {name};"),
    }
}

const BACK: &str = "select current_setting('wal_level') as level";

#[derive(Deserialize)]
struct Level {
    level: String,
}

fn way_back(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(Level { level }) = rows.first()? else { return Ok(Vec::new()) };
    if level == "logical" || cx.options.wish == Wish::Once {
        return Ok(Vec::new());
    }
    let sentence = format!("The target's wal_level is {}, so it cannot send changes back to the source.", human_line(&level));
    let why = "After the cutover, going back without it means to lose what was written on the target since.";
    let words = "If a way back is wanted, turn on logical replication in the provider's console, or execute this as a superuser and \
                 restart the target's server; do it before the cutover";
    let fix = fix_sql(words, &["alter system set wal_level = 'logical';".to_owned()]);
    Ok(vec![Finding::new("I5", Severity::Note, side.name(), sentence, why).with_fix(fix)])
}

/// A consumer of a logical slot is known by the slot. Of the others a role without pg_read_all_stats sees no state.
const REPLICAS: &str = "
select coalesce(r.application_name, '') as application, host(r.client_addr) as address, r.state
  from pg_stat_replication r
 where r.state is distinct from 'backup'
   and not exists (select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')
 order by 1, 2, r.pid";

#[derive(Deserialize)]
struct Replica {
    application: String,
    address: Option<String>,
    state: Option<String>,
}

impl Replica {
    fn label(&self) -> String {
        let name = if self.application.is_empty() { "without a name".to_owned() } else { human_line(&self.application) };
        format!("standby {name} ({})", self.address.as_deref().unwrap_or("local"))
    }
}

fn replicas(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Replica> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    if found.iter().any(|replica| replica.state.is_none()) {
        let reason = "this role may not see what those who replicate do";
        let words = "Execute this on the source as a superuser or as a role that may grant it";
        let grant = fix_sql(words, &[format!("grant pg_read_all_stats to {};", cx.role(side))]);
        return Ok(vec![not_evaluated("I7", side, REPLICAS_ABOUT, reason, &grant)]);
    }
    let sentence =
        format!("The source has {}.", count(found.len(), "standby that streams from it", "standbys that stream from it"));
    let why = "Standbys are not part of a migration, and what reads from them has to be pointed elsewhere at the cutover.";
    let fix = "If applications read from them, plan as many read replicas on the target, and change those addresses at the cutover as well.";
    let finding = Finding::new("I7", Severity::Note, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Replica::label).collect())])
}
