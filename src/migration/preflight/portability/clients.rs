//! Who is connected, and what their sessions rely on.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{Check, Context, Evaluated, Look, Side, count, fix_sql, not_evaluated};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{human, human_line};

const SESSIONS: &str = "what the sessions of others rely on";
const CLIENTS: &str = "who is connected from where";

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "G22",
            title: "What sessions rely on",
            about: SESSIONS,
            grant: STATISTICS,
            explain: "Looks at the sessions of the database for advisory locks that outlive their transaction or are held right now, \
                      and for sessions whose last statement was `listen`. Functions that take advisory locks for a session are listed \
                      too.\n\n\
                      Both belong to a session. Through a pooler that gives each transaction another session, such as Neon's pooled \
                      connection string, notifications do not arrive and locks are not released, mostly without an error. It is only \
                      seen what is in use at this moment.\n\n\
                      Give these applications the direct connection string of the target, not the pooled one. Prepared statements, \
                      temporary tables and `set` need it as well.",
            look: Look::Rows { side: Side::Source, query: STATE, evaluate: state },
        },
        Check {
            code: "G24",
            title: "Clients",
            about: CLIENTS,
            grant: STATISTICS,
            explain: "Lists who is connected to the database right now: the role, the application's name and the address, with the \
                      number of sessions. The sessions of this program do not count.\n\n\
                      Each of them has to be given the address of the target when applications move, and none of them may be left on \
                      the source then: what they write there afterwards would be lost. Jobs that connect only now and then are not \
                      seen, so run it again at other times.\n\n\
                      Nothing needs to be done now. Find out which application each line is, and where its connection string is kept.",
            look: Look::Rows { side: Side::Source, query: INVENTORY, evaluate: inventory },
        },
    ]
}

/// What shows the sessions of others in full.
const STATISTICS: &str = "Grant pg_read_all_stats to the role.";

/// `<insufficient privilege>` is what `pg_stat_activity` shows of a query that the role may not see; then it hides the address and the
/// kind of the session as well.
const STATE: &str = r"
select 'hidden' as kind, a.usename::text as what, count(*)::int8 as n from pg_stat_activity a
 where a.datname = current_database() and a.usesysid is not null and a.query = '<insufficient privilege>' group by a.usename
union all
select 'advisory lock held by ' || coalesce(quote_ident(a.usename), 'somebody'), a.application_name, count(*)
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
 where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
   and l.pid <> pg_backend_pid() and a.application_name not like 'neon-migrate%'
 group by a.usename, a.application_name
union all
select 'listening session of ' || quote_ident(a.usename), a.application_name, count(*)
  from pg_stat_activity a
 where a.datname = current_database() and a.query ~* '^\s*listen\M' and a.pid <> pg_backend_pid()
   and a.application_name not like 'neon-migrate%'
 group by a.usename, a.application_name
union all
select 'advisory locks in function', p.oid::regprocedure::text, 1
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where p.prosrc ~* '\mpg_(try_)?advisory_lock' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
 order by 1, 2";

#[derive(Deserialize)]
struct State {
    kind: String,
    what: Option<String>,
    n: usize,
}

fn state(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let rows: Vec<State> = rows.parse()?;
    let (hidden, rows): (Vec<State>, Vec<State>) = rows.into_iter().partition(|row| row.kind == "hidden");
    let is_somebodys = |row: &&State| !super::is_platform_role(cx, row.what.as_deref().unwrap_or_default());
    let hidden: usize = hidden.iter().filter(is_somebodys).map(|row| row.n).sum();
    if hidden > 0 {
        return Ok(vec![hidden_sessions(cx, ("G22", SESSIONS), side, hidden)]);
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let label = |row: &State| match row.what.as_deref().filter(|what| !what.is_empty()) {
        Some(call) if row.kind == "advisory locks in function" => format!("{} {}", row.kind, human_line(call)),
        Some(application) => format!("{} as {} ({})", row.kind, human(application), row.n),
        None => format!("{} ({})", row.kind, row.n),
    };
    let sentence = "Applications use advisory locks or listen for notifications.".to_owned();
    let why = "Both belong to a session. A pooler that gives each transaction another session, such as a pooled connection string, \
               breaks them, mostly without an error.";
    let fix = "Give these applications the direct connection string of the target, not the pooled one.";
    let objects = rows.iter().map(label).collect();
    Ok(vec![Finding::new("G22", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

/// Roles that may not see the sessions of others see who is connected, but not from where.
const INVENTORY: &str = "
select coalesce(a.usename, '')::text as role, coalesce(a.application_name, '') as application, host(a.client_addr) as address,
       a.query = '<insufficient privilege>' as hidden, count(*)::int8 as sessions
  from pg_stat_activity a
 where a.datname = current_database() and a.usesysid is not null and a.pid <> pg_backend_pid()
   and coalesce(a.backend_type, 'client backend') = 'client backend' and a.application_name not like 'neon-migrate%'
 group by 1, 2, 3, 4 order by 1, 2, 3, 4";

/// Sessions that are alike.
#[derive(Deserialize)]
struct Client {
    role: String,
    application: String,
    address: Option<String>,
    hidden: bool,
    sessions: usize,
}

impl Client {
    fn label(&self) -> String {
        let application = if self.application.is_empty() { String::new() } else { format!(" as {}", human(&self.application)) };
        let address = self.address.as_deref().map(|address| format!(" from {address}")).unwrap_or_default();
        format!("role {}{application}{address} ({})", human(&self.role), count(self.sessions, "session", "sessions"))
    }
}

fn inventory(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let clients: Vec<Client> = rows.parse()?;
    let clients: Vec<Client> = clients.into_iter().filter(|client| !super::is_platform_role(cx, &client.role)).collect();
    let hidden: usize = clients.iter().filter(|client| client.hidden).map(|client| client.sessions).sum();
    if hidden > 0 {
        return Ok(vec![hidden_sessions(cx, ("G24", CLIENTS), side, hidden)]);
    }
    if clients.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = clients.iter().map(|client| client.sessions).sum();
    let sentence = format!("{} connected to the database.", count(sessions, "session is", "sessions are"));
    let why = "Each client has to be given the address of the target when applications move. What one that is forgotten writes to \
               the source afterwards is lost.";
    let fix = "Find out which application each line is, and where its connection string is kept. Jobs that connect only now and then \
               are not seen: run this again at other times.";
    let objects = clients.iter().map(Client::label).collect();
    Ok(vec![Finding::new("G24", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

fn hidden_sessions(cx: &Context<'_>, (code, about): (&str, &str), side: Side, hidden: usize) -> Finding {
    let role = cx.role(side);
    let reason = format!("the role {} may not look into {} of others", human(role.as_str()), count(hidden, "session", "sessions"));
    let words = "Execute this on the source as a superuser or as a role that may grant it";
    not_evaluated(code, side, about, &reason, &fix_sql(words, &[format!("grant pg_read_all_stats to {role};")]))
}
