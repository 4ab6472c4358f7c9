//! Who uses the database, and what of their sessions a pooler would break.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql, not_evaluated};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{human, human_line};

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
        rows("G22", "What a pooler breaks", STATE_ABOUT, STATE_TEXT, STATE, state),
        rows("G24", "Clients", CLIENTS_ABOUT, CLIENTS_TEXT, CLIENTS, clients),
    ]
}

const STATE_ABOUT: &str = "what clients keep in their sessions";

const STATE_TEXT: &str = "\
At the moment of the check, sessions of this database are named that hold advisory locks or whose last statement was a listen, \
and temporary tables are counted. What comes and goes is missed if it was not there at that moment.

A pooler in transaction mode, such as the one behind Neon's addresses with -pooler, gives each transaction any of its \
connections. So what belongs to a session is lost or given to somebody else: notifications arrive at nobody, locks are released \
by another session or never, temporary tables are gone.

Let such applications connect to the direct address of the target, without a pooler.";

const CLIENTS_ABOUT: &str = "who is connected to the database";

const CLIENTS_TEXT: &str = "\
The sessions of this database at the moment of the check are counted by role, application name and address. Our own are left \
out, and so are clients that are not connected right now.

Each of these has to be given the new connection string at the cutover. One that is forgotten goes on writing to the source, \
and what it writes there is lost to the target.

Run the check at several times of the day, so that nightly jobs are seen as well. A job that runs once a month has to be \
known.";

/// A plain role sees neither statements nor kinds of the sessions of others; locks are for everybody to see.
const STATE: &str = "
with sessions as (
  select a.pid, a.usename::text as role, coalesce(a.application_name, '') as application, a.query, a.backend_type
    from pg_stat_activity a
   where a.datid is not null and a.datname = current_database() and a.usesysid is not null and a.pid <> pg_backend_pid()
     and coalesce(a.application_name, '') not like 'neon-migrate%'
), found as (
  select s.pid, s.role, s.application, 'advisory lock' as what, count(*) as n
    from pg_locks l join sessions s on s.pid = l.pid where l.locktype = 'advisory' and l.granted
   group by s.pid, s.role, s.application
  union all
  select pid, role, application, 'listen', 1 from sessions where query ~* '^\\s*listen\\M'
  union all
  select pid, role, application, 'hidden', 1 from sessions where backend_type is null and query = '<insufficient privilege>'
  union all
  select null, null, '', 'temporary table', count(*)
    from pg_class c where c.relkind = 'r' and c.relpersistence = 't' and c.relnamespace <> pg_my_temp_schema()
  having count(*) > 0
)
select f.pid::int8 as pid, f.role, f.application, f.what, f.n from found f order by f.what, f.role collate \"C\", f.pid";

#[derive(Deserialize)]
struct Kept {
    pid: Option<i64>,
    role: Option<String>,
    application: String,
    what: String,
    n: usize,
}

impl Kept {
    fn label(&self) -> String {
        let what = match self.what.as_str() {
            "listen" => "listens".to_owned(),
            "advisory lock" => format!("holds {}", count(self.n, "advisory lock", "advisory locks")),
            _ => return count(self.n, "temporary table", "temporary tables"),
        };
        let application = if self.application.is_empty() { String::new() } else { format!(", {}", human_line(&self.application)) };
        format!("process {} ({}{application}): {what}", self.pid.unwrap_or(0), human(self.role.as_deref().unwrap_or_default()))
    }
}

fn state(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let (hidden, found): (Vec<Kept>, Vec<Kept>) = rows.parse::<Kept>()?.into_iter().partition(|one| one.what == "hidden");
    let mut findings = Vec::new();
    if !hidden.is_empty() {
        findings.push(may_not_see(cx, side, ("G22", STATE_ABOUT), hidden.len()));
    }
    if !found.is_empty() {
        let sentence = "Clients keep something in their sessions.".to_owned();
        let why = "Behind a pooler in transaction mode it is lost, or given to another client.";
        let fix = "Let these applications connect to the direct address of the target, which has no pooler in between.";
        let finding = Finding::new("G22", Severity::Note, side.name(), sentence, why);
        findings.push(finding.with_fix(fix).with_objects(found.iter().map(Kept::label).collect()));
    }
    Ok(findings)
}

/// What a check could not see of sessions of other roles, with the grant for it.
fn may_not_see(cx: &Context<'_>, side: Side, (code, about): (&str, &str), hidden: usize) -> Finding {
    let role = cx.role(side);
    let sessions = count(hidden, "session", "sessions");
    let reason = format!("the role {} may not see what {sessions} of other roles do", human(role.as_str()));
    let words = "Execute this on the source as a superuser or as a role that may grant it";
    not_evaluated(code, side, about, &reason, &fix_sql(words, &[format!("grant pg_read_all_stats to {role};")]))
}

const CLIENTS: &str = "
select a.usename::text as role, coalesce(a.application_name, '') as application, coalesce(host(a.client_addr), '') as address,
       a.backend_type is null as hidden, count(*) as n
  from pg_stat_activity a
 where a.datid is not null and a.datname = current_database() and a.usesysid is not null and a.pid <> pg_backend_pid()
   and coalesce(a.application_name, '') not like 'neon-migrate%'
   and (a.backend_type = 'client backend' or a.backend_type is null and a.query = '<insufficient privilege>')
 group by 1, 2, 3, 4 order by 1, 2, 3, 4";

#[derive(Deserialize)]
struct Clients {
    role: String,
    application: String,
    address: String,
    hidden: bool,
    n: usize,
}

impl Clients {
    fn label(&self) -> String {
        let application =
            if self.application.is_empty() { "no application name".to_owned() } else { human_line(&self.application) };
        let address = match (self.hidden, self.address.as_str()) {
            (true, _) => "unknown address",
            (false, "") => "local socket",
            (false, address) => address,
        };
        format!("{} ({application}, {address}; {})", human(&self.role), count(self.n, "session", "sessions"))
    }
}

fn clients(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Clients> = rows.parse()?;
    let hidden: usize = found.iter().filter(|one| one.hidden).map(|one| one.n).sum();
    let mut findings = Vec::new();
    if hidden > 0 {
        findings.push(may_not_see(cx, side, ("G24", CLIENTS_ABOUT), hidden));
    }
    if !found.is_empty() {
        let sessions = found.iter().map(|one| one.n).sum();
        let sentence =
            format!("{} connected now.", count(sessions, "session of another client is", "sessions of other clients are"));
        let why = "Each client has to be given the new connection string at the cutover; one that is forgotten goes on writing to the \
                   source.";
        let finding = Finding::new("G24", Severity::Note, side.name(), sentence, why);
        findings.push(finding.with_objects(found.iter().map(Clients::label).collect()));
    }
    Ok(findings)
}
