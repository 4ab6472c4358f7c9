//! What goes on: prepared and long transactions, which hold up the start of replication, and what weighs on it once it runs.

use serde::Deserialize;

use super::super::Wish;
use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, not_evaluated};
use super::{age, size, taken};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{human, human_line, literal};

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
        rows("F14", "Prepared transactions", "whether there are prepared transactions", PREPARED_TEXT, PREPARED, prepared),
        rows("F15", "Long transactions", LONG_ABOUT, LONG_TEXT, LONG, long),
        rows("F20", "Hot tables", "which tables change all the time", HOT_TEXT, HOT, hot),
        rows("F22", "Large transactions", "whether large transactions were seen", SPILLED_TEXT, SPILLED, spilled),
        rows("F25", "A quiet database", "whether this database is quieter than others", QUIET_TEXT, QUIET, quiet),
    ]
}

const PREPARED_TEXT: &str = "\
A prepared transaction (prepare transaction) belongs to no session any more and waits for commit prepared or rollback \
prepared, if need be for ever, and over restarts. They are looked for in all databases of the server.

The creation of a replication slot waits until every transaction that was running when it began has ended, prepared ones and \
those of other databases included. So replication cannot begin as long as one is there. It also holds its locks, and keeps \
vacuum from removing dead rows.

Whether its changes are to be kept is known only to the application or the transaction manager that prepared it. Ask there \
first. Both statements have to be executed in the database of the transaction, as the role that prepared it or a superuser.";

const LONG_ABOUT: &str = "whether other roles have transactions that have been open for long";

const LONG_TEXT: &str = "\
Transactions of all databases of the server are named that have been open for more than 10 minutes when the check runs. Those \
that are idle in transaction usually belong to an application that forgot to commit, or to a person who left a client open.

The creation of a replication slot waits for every transaction that has written something to end. One that has only read does \
not hold the slot up, but keeps vacuum from removing dead rows, and holds locks that the change of a table has to wait for, \
with everybody who comes after.

Let them end by themselves, or end them. What a transaction has done is rolled back when it is ended. The statements name the \
transaction by its beginning as well, so that they do nothing if it is over already. A short \
idle_in_transaction_session_timeout keeps new ones from piling up.";

const HOT_TEXT: &str = "\
By the server's statistics, each row of these tables was updated or deleted at least twenty times over, and a million times in \
all: queues, counters, sessions and the like.

Each change is written into the WAL, sent and applied by itself, so a hot table can decide whether the target keeps up. It is \
also what comes out as still changing when both sides are compared, since its rows do not hold still.

See whether the table has to be carried over row by row. What can be made anew on the target can be left out; a counter that \
is written once per second serves as well as one that is written a thousand times.";

const SPILLED_TEXT: &str = "\
The statistics of replication slots (pg_stat_replication_slots) tell that transactions were larger than \
logical_decoding_work_mem and had to be written to disk while they were decoded. They are the transactions of bulk loads, of \
deletes of many rows, of nightly jobs.

Such a transaction is sent only when it has been committed, and everything that was committed after it waits for it. The lag \
grows for as long as it takes, and the disk of the source holds its changes meanwhile.

Pause such jobs between the start of the migration and the cutover, or divide them into smaller transactions. More \
logical_decoding_work_mem avoids the disk, but not the wait.";

const QUIET_TEXT: &str = "\
Almost nothing is written in this database, while others on the same server write a lot. All databases of a server share one \
WAL, and a slot of this database lets go of it only when something of this database is decoded and confirmed.

So the slot of a quiet database can make the server keep WAL that has nothing to do with it. A small write now and then, a \
heartbeat, lets it go on: for instance select pg_logical_emit_message(true, 'heartbeat', '') once a minute, which leaves no \
trace in any table.";

/// Everybody may see them all.
const PREPARED: &str = "
select p.gid::text as name, p.database::text as database, p.owner::text as owner,
       extract(epoch from clock_timestamp() - p.prepared)::int8 as seconds
  from pg_prepared_xacts p order by p.prepared, p.gid collate \"C\"";

#[derive(Deserialize)]
struct Prepared {
    name: String,
    database: String,
    owner: String,
    seconds: i64,
}

fn prepared(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Prepared> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |one: &Prepared| {
        let (database, owner) = (human(&one.database), human(&one.owner));
        format!("{} (database {database}, prepared by {owner} {} ago)", human_line(&one.name), age(one.seconds))
    };
    let sentence = format!("{} for an end.", count(found.len(), "prepared transaction waits", "prepared transactions wait"));
    let why =
        "No replication slot can be made before it has ended, whatever database it is in: the creation waits, without a message.";
    let words = "Find out from the application or transaction manager that prepared each of them whether its changes are to be \
                 kept; neither can be undone. Then execute one of its two lines without the dashes, in its database, as the role \
                 that prepared it or a superuser";
    let sql: Vec<String> = found.iter().flat_map(choices).collect();
    let finding = Finding::new("F14", cx.live(Severity::Blocker), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(label).collect())])
}

/// The two ends that a prepared transaction can have, as comments: which it is to be is not ours to say.
fn choices(one: &Prepared) -> [String; 2] {
    let (gid, database) = (literal_line(&one.name), human(&one.database));
    ["commit", "rollback"].map(|end| format!("-- {end} prepared {gid}; -- in the database {database}"))
}

/// A literal on one line, so that it cannot leave a comment.
fn literal_line(value: &str) -> String {
    if !value.contains(char::is_control) {
        return literal(value);
    }
    let escape = |c: char| match c {
        '\'' => "''".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("E'{}'", value.chars().map(escape).collect::<String>())
}

/// A transaction that is open for longer than this is reported, in seconds.
const LONG_SECONDS: i64 = 600;

/// Client sessions with an open transaction. Of the sessions of other roles a plain role sees neither the kind nor the times, so
/// those of users are given as hidden.
const LONG: &str = "
select a.pid::int8 as pid, coalesce(a.datname::text, '') as database, coalesce(a.usename::text, '') as role,
       coalesce(a.application_name, '') as application, coalesce(a.state, '') as state, a.backend_xid is not null as writes,
       extract(epoch from clock_timestamp() - a.xact_start)::int8 as seconds,
       (extract(epoch from a.xact_start) * 1000000)::int8 as began_us,
       a.xact_start is null as hidden
  from pg_stat_activity a
 where a.pid <> pg_backend_pid() and a.usesysid is not null and a.datid is not null
   and (a.backend_type = 'client backend' and a.xact_start is not null
        or a.backend_type is null and a.query = '<insufficient privilege>')
 order by a.xact_start, a.pid";

#[derive(Deserialize)]
struct Session {
    pid: i64,
    database: String,
    role: String,
    application: String,
    state: String,
    /// The transaction has a number, because it has written.
    writes: bool,
    seconds: Option<i64>,
    began_us: Option<i64>,
    hidden: bool,
}

impl Session {
    fn is_idle(&self) -> bool {
        self.state.starts_with("idle in transaction")
    }

    fn label(&self) -> String {
        let application = if self.application.is_empty() { String::new() } else { format!(", {}", human_line(&self.application)) };
        let state = if self.is_idle() { "idle in transaction" } else { "at work" };
        let writes = if self.writes { "has written" } else { "has only read" };
        format!(
            "process {} ({} in database {}{application}; open for {}, {state}, {writes})",
            self.pid,
            human(&self.role),
            human(&self.database),
            age(self.seconds.unwrap_or(0))
        )
    }

    /// Ends this transaction, and none that came after it.
    fn end(&self) -> String {
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where pid = {} and (extract(epoch from xact_start) * 1000000)::int8 = {};",
            self.pid,
            self.began_us.unwrap_or(0)
        )
    }
}

fn long(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let sessions: Vec<Session> = rows.parse()?;
    let hidden = sessions.iter().filter(|session| session.hidden).count();
    let mut findings = Vec::new();
    if hidden > 0 {
        let role = cx.role(side);
        let reason = format!(
            "the role {} may not see what {} of other roles do",
            human(role.as_str()),
            count(hidden, "session", "sessions")
        );
        let grant = fix_sql(
            "Execute this on the source as a superuser or as a role that may grant it",
            &[format!("grant pg_read_all_stats to {role};")],
        );
        findings.push(not_evaluated("F15", side, LONG_ABOUT, &reason, &grant));
    }
    let long: Vec<Session> =
        sessions.into_iter().filter(|session| session.seconds.is_some_and(|age| age >= LONG_SECONDS)).collect();
    if long.is_empty() {
        return Ok(findings);
    }
    let writing = long.iter().filter(|session| session.writes).count();
    let idle = long.iter().filter(|session| session.is_idle()).count();
    let idle = if idle > 0 { format!(", {idle} of them idle") } else { String::new() };
    let sentence =
        format!("{} open for more than 10 minutes{idle}.", count(long.len(), "transaction has been", "transactions have been"));
    let (severity, why) = match writing {
        0 => (
            Severity::Warning,
            "They keep vacuum from removing dead rows, and hold locks that a change of their tables has to wait for.",
        ),
        _ => (
            Severity::Blocker,
            "The creation of a replication slot waits for every transaction that has written to end, in whatever database of the \
             server.",
        ),
    };
    let words = "Wait until they have ended, or end them, as their role or one with pg_signal_backend; what such a transaction \
                 has done is then rolled back";
    let sql: Vec<String> = long.iter().map(Session::end).collect();
    let finding = Finding::new("F15", cx.live(severity), side.name(), sentence, why);
    findings.push(finding.with_fix(fix_sql(words, &sql)).with_objects(long.iter().map(Session::label).collect()));
    Ok(findings)
}

const HOT: &str = "
select 'table' as kind, s.schemaname::text as schema, s.relname::text as name, s.n_tup_upd + s.n_tup_del as changes,
       s.n_live_tup as rows
  from pg_stat_user_tables s
 where s.n_tup_upd + s.n_tup_del >= 1000000 and s.n_tup_upd + s.n_tup_del >= 20 * greatest(s.n_live_tup, 1)
 order by changes desc, s.schemaname, s.relname";

#[derive(Deserialize)]
struct Hot {
    #[serde(flatten)]
    object: Object,
    changes: i64,
    rows: i64,
}

fn hot(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let tables = taken(cx, rows, |hot: &Hot| &hot.object)?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let label = |hot: &Hot| {
        let detail = format!("{} updates and deletes, about {} rows", hot.changes, hot.rows);
        Object { detail: Some(detail), ..hot.object.clone() }.label()
    };
    let sentence = format!("{} over and over again.", count(tables.len(), "table is changed", "tables are changed"));
    let why = "Each change is sent and applied by itself, so such tables decide whether a target keeps up, and they are the last \
               to come out equal when both sides are compared.";
    let fix =
        "Leave out with --exclude what can be made anew on the target, such as queues and caches, and write counters less often.";
    let finding = Finding::new("F20", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(tables.iter().map(label).collect())])
}

const SPILLED: &str = "
select s.slot_name::text as name, s.spill_txns as transactions, s.spill_bytes as bytes,
       current_setting('logical_decoding_work_mem') as memory
  from pg_stat_replication_slots s where s.spill_bytes > 0 order by s.spill_bytes desc, s.slot_name";

#[derive(Deserialize)]
struct Spilled {
    name: String,
    transactions: i64,
    bytes: i64,
    memory: String,
}

fn spilled(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let slots: Vec<Spilled> = rows.parse()?;
    let Some(memory) = slots.first().map(|slot| slot.memory.clone()) else { return Ok(Vec::new()) };
    let label = |slot: &Spilled| {
        let transactions = count(usize::try_from(slot.transactions).unwrap_or(0), "transaction", "transactions");
        format!("slot {} ({transactions}, {})", human(&slot.name), size(slot.bytes))
    };
    let sentence = format!("Transactions larger than logical_decoding_work_mem ({memory}) were decoded on this server.");
    let why = "A large transaction is sent only when it has been committed, everything that follows waits for it, and its \
               changes are kept on the source's disk meanwhile.";
    let fix = "Pause bulk jobs between the start of the migration and the cutover, or divide them into smaller transactions.";
    let finding = Finding::new("F22", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(slots.iter().map(label).collect())])
}

const QUIET: &str = "
select coalesce(sum(d.tup_inserted + d.tup_updated + d.tup_deleted) filter (where d.datname = current_database()), 0)::int8 as own,
       coalesce(sum(d.tup_inserted + d.tup_updated + d.tup_deleted) filter (where d.datname <> current_database()), 0)::int8 as others
  from pg_stat_database d
 where d.datname !~ '^template[01]$'";

/// Databases with less than this written in others are no reason to speak, in rows.
const OTHERS_MIN: i64 = 1_000_000;

#[derive(Deserialize)]
struct Written {
    own: i64,
    others: i64,
}

fn quiet(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let written: Option<Written> = rows.first()?;
    let quiet = |written: &Written| written.others >= OTHERS_MIN && written.own.saturating_mul(100) < written.others;
    let Some(written) = written.filter(quiet).filter(|_| cx.options.wish != Wish::Once) else { return Ok(Vec::new()) };
    let sentence =
        format!("Other databases of this server write far more than this one: {} rows against {}.", written.others, written.own);
    let why = "A slot of a quiet database lets go of the WAL of all others only when something happens in its own.";
    let fix = "While replication runs, let something write a little in this database, for instance once a minute:\n\
               select pg_logical_emit_message(true, 'heartbeat', '');";
    Ok(vec![Finding::new("F25", Severity::Note, Side::Source.name(), sentence, why).with_fix(fix)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    /// What a check makes of one row, when live replication is wanted.
    fn of(evaluate: fn(&Context<'_>, Side, &Rows) -> Evaluated, row: serde_json::Value) -> Vec<Finding> {
        let (known, options) = (Known::plain(), Options { wish: Wish::Live, ..Options::check() });
        let cx = Context { known: &known, options: &options };
        evaluate(&cx, Side::Source, &Rows(vec![row])).unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn session(seconds: i64, writes: bool) -> serde_json::Value {
        json!({"pid": 41, "database": "Shop", "role": "app", "application": "psql", "state": "idle in transaction", "writes": writes,
               "seconds": seconds, "began_us": 1_700_000_000_123_456_i64, "hidden": false})
    }

    #[test]
    fn a_transaction_is_long_from_ten_minutes_on() {
        assert_eq!(of(long, session(LONG_SECONDS - 1, true)), []);
        let [finding] = &of(long, session(LONG_SECONDS, true))[..] else { unreachable!("there is one") };
        assert_eq!(finding.severity, Severity::Blocker);
        assert_eq!(finding.sentence, "1 transaction has been open for more than 10 minutes, 1 of them idle.");
        let label = "process 41 (app in database \"Shop\", psql; open for 10 minutes, idle in transaction, has written)";
        assert_eq!(finding.objects, [label]);
        let statement = "select pg_terminate_backend(pid) from pg_stat_activity where pid = 41 \
                         and (extract(epoch from xact_start) * 1000000)::int8 = 1700000000123456;";
        assert!(finding.fix.as_ref().is_some_and(|fix| fix.ends_with(statement)), "{finding:?}");
    }

    #[test]
    fn a_reader_is_no_blocker() {
        assert_eq!(of(long, session(86_400, false))[0].severity, Severity::Warning);
    }

    #[test]
    fn what_is_hidden_is_not_evaluated() {
        let row = json!({"pid": 41, "database": "Shop", "role": "app", "application": "", "state": "", "writes": false, "seconds": null,
                         "began_us": null, "hidden": true});
        let [finding] = &of(long, row)[..] else { unreachable!("there is one") };
        assert!(finding.is_not_evaluated());
        assert!(finding.fix.as_ref().is_some_and(|fix| fix.ends_with("\ngrant pg_read_all_stats to \"owner\";")), "{finding:?}");
    }

    #[test]
    fn the_name_of_a_prepared_transaction_cannot_leave_its_comment() {
        let row = json!({"name": "a'\n; drop table t; --\\", "database": "shop", "owner": "app", "seconds": 5});
        let [finding] = &of(prepared, row)[..] else { unreachable!("there is one") };
        let fix = finding.fix.clone().unwrap_or_default();
        assert!(fix.lines().skip(1).all(|line| line.starts_with("-- ")), "{fix}");
        assert!(fix.contains(r"-- commit prepared E'a''\u000a; drop table t; --\\'; -- in the database shop"), "{fix}");
    }

    #[test]
    fn hot_and_spilled_are_told_with_their_numbers() {
        let hot = of(hot, json!({"kind": "table", "schema": "app", "name": "Jobs", "changes": 5_000_000, "rows": 12}));
        assert_eq!(hot[0].objects, ["table app.\"Jobs\" (5000000 updates and deletes, about 12 rows)"]);
        let spilled = of(spilled, json!({"name": "s", "transactions": 2, "bytes": 3_i64 << 20, "memory": "64MB"}));
        assert_eq!(spilled[0].objects, ["slot s (2 transactions, 3.0 MB)"]);
    }

    #[test]
    fn a_database_is_quiet_beside_busy_ones() {
        let quiet_beside = |own: i64, others: i64| !of(quiet, json!({"own": own, "others": others})).is_empty();
        assert!(quiet_beside(0, OTHERS_MIN));
        assert!(!quiet_beside(0, OTHERS_MIN - 1));
        assert!(!quiet_beside(OTHERS_MIN / 100, OTHERS_MIN));
    }
}
