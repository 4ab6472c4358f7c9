//! What else there is at the ends: sessions, leftovers of earlier runs on the target, a way back, replicas.

use serde::Deserialize;

use super::super::Wish;
use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Side, count, fix_sql, not_evaluated};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human, literal};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "I3",
            title: "Sessions on the target",
            about: "whether the target is in use",
            grant: CATALOGS,
            explain: "Counts sessions of others in the target database. Those of this program and of the provider do not count.\n\n\
                      Who is connected to the target while it is being filled sees tables that are empty or half full, may write rows \
                      that the copy then collides with, and may hold locks that it has to wait for.\n\n\
                      Find out who it is and have them disconnect; point applications at the target only when the migration is over. \
                      A psql that you left open yourself does no harm as long as it is idle.",
            look: Look::Rows { side: Side::Target, query: SESSIONS, evaluate: sessions },
        },
        Check {
            code: "I4",
            title: "Leftovers on the target",
            about: "whether earlier runs left something on the target",
            grant: CATALOGS,
            explain: "",
            look: Look::Rows { side: Side::Target, query: LEFTOVERS, evaluate: leftovers },
        },
        Check {
            code: "I5",
            title: "A way back",
            about: "whether the target can replicate back to the source",
            grant: CATALOGS,
            explain: "Looks at wal_level of the target.\n\n\
                      After applications have moved, changes of the target can be sent back to the source, so that one can return to \
                      it without losing what was written meanwhile. That takes logical decoding on the target. It can be turned on \
                      later too, but that restarts the target at a time when it is in use.\n\n\
                      Turn it on before the migration if you want a way back. On Neon it is a setting of the project and cannot be \
                      turned off again.",
            look: Look::Rows { side: Side::Target, query: WAL_LEVEL, evaluate: way_back },
        },
        Check {
            code: "I7",
            title: "Read replicas",
            about: "which replicas the source has",
            grant: "Grant pg_read_all_stats to the role.",
            explain: "Counts servers that receive the source's WAL: streaming replicas, and tools such as pg_receivewal or Barman. \
                      Backups that are running and logical subscribers do not count. Replicas that share the storage of their primary, \
                      as those of Aurora and Neon do, are not seen.\n\n\
                      They are not part of a migration. Applications that read from a replica need one of the target, with an address \
                      of its own, and backups by WAL have to be arranged anew.\n\n\
                      Make the replicas of the target after the copy, when it is quickest, and before applications move.",
            look: Look::Rows { side: Side::Source, query: REPLICAS, evaluate: replicas },
        },
    ]
}

/// Roles of providers that watch their servers.
const SESSIONS: &str = "
select coalesce(a.usename, '')::text as role, coalesce(a.application_name, '') as application, count(*)::int8 as sessions
  from pg_stat_activity a
 where a.datname = current_database() and a.usesysid is not null and a.pid <> pg_backend_pid()
   and coalesce(a.backend_type, 'client backend') = 'client backend' and a.application_name not like 'neon-migrate%'
   and a.usename not in ('cloud_admin', 'rdsadmin', 'cloudsqladmin', 'alloydbadmin', 'azuresu', 'supabase_admin')
 group by 1, 2 order by 1, 2";

#[derive(Deserialize)]
struct Sessions {
    role: String,
    application: String,
    sessions: usize,
}

impl Sessions {
    fn label(&self) -> String {
        let application = if self.application.is_empty() { String::new() } else { format!(" as {}", human(&self.application)) };
        format!("role {}{application} ({})", human(&self.role), count(self.sessions, "session", "sessions"))
    }
}

fn sessions(_: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Sessions> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = found.iter().map(|one| one.sessions).sum();
    let sentence = format!("{} connected to the target.", count(sessions, "other session is", "other sessions are"));
    let why = "Who uses the target while it is being filled sees tables that are half full, may write rows that the copy collides \
               with, and may hold locks that it has to wait for.";
    let fix = "Have them disconnect until the migration is over. A psql that you left open yourself does no harm while it is idle.";
    let objects = found.iter().map(Sessions::label).collect();
    Ok(vec![Finding::new("I3", Severity::Warning, "target", sentence, why).with_fix(fix).with_objects(objects)])
}

/// What we make has names that begin with `neon_migrate`. Slots and origins belong to the whole server; a slot of another database can
/// be dropped only there. What is left on the source is told with the rest of its replication (F13).
const LEFTOVERS: &str = r"
select 'replication slot' as kind, s.slot_name::text as name, s.active as busy
  from pg_replication_slots s
 where s.slot_name like 'neon\_migrate%' and coalesce(s.database, current_database()) = current_database()
union all
select 'publication', p.pubname::text, false from pg_publication p where p.pubname like 'neon\_migrate%'
union all
select 'subscription', s.subname::text, false
  from pg_subscription s join pg_database d on d.oid = s.subdbid
 where s.subname like 'neon\_migrate%' and d.datname = current_database()
union all
select 'replication origin', o.roname, false from pg_replication_origin o where o.roname like 'neon\_migrate%'
 order by 1, 2";

#[derive(Deserialize)]
struct Leftover {
    kind: String,
    name: String,
    busy: bool,
}

impl Leftover {
    fn label(&self) -> String {
        format!("{} {}{}", self.kind, human(&self.name), if self.busy { " (in use)" } else { "" })
    }

    /// What removes it: a subscription without touching the server that it is subscribed to.
    fn remove(&self) -> Vec<String> {
        let name = Ident::new(&self.name);
        match self.kind.as_str() {
            "replication slot" if self.busy => Vec::new(),
            "replication slot" => vec![format!("select pg_drop_replication_slot({});", literal(&self.name))],
            "publication" => vec![format!("drop publication {name};")],
            "subscription" => vec![
                format!("alter subscription {name} disable;"),
                format!("alter subscription {name} set (slot_name = none);"),
                format!("drop subscription {name};"),
            ],
            _ => vec![format!("select pg_replication_origin_drop({});", literal(&self.name))],
        }
    }
}

fn leftovers(_: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Leftover> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("Earlier runs left {} on the target.", count(found.len(), "object", "objects"));
    let why = "Names that are taken are in the way of the next run, and a slot that nobody reads keeps WAL until the disk is full.";
    let sql: Vec<String> = found.iter().flat_map(Leftover::remove).collect();
    let finding =
        Finding::new("I4", Severity::Warning, "target", sentence, why).with_objects(found.iter().map(Leftover::label).collect());
    if sql.is_empty() {
        let fix = "They are in use: a migration is running. See that it ends, or end it, before another one begins.";
        return Ok(vec![finding.with_fix(fix)]);
    }
    let words = "If no migration is under way that needs them, remove them; execute this in the target database";
    Ok(vec![finding.with_fix(fix_sql(words, &sql))])
}

const WAL_LEVEL: &str = "select current_setting('wal_level') as wal_level";

#[derive(Deserialize)]
struct WalLevel {
    wal_level: String,
}

fn way_back(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let Some(WalLevel { wal_level }) = rows.first()? else { return Ok(Vec::new()) };
    // Which way is taken decides how much it matters, never whether it is found: the same findings are weighed for each wish.
    if wal_level == "logical" {
        return Ok(Vec::new());
    }
    let severity = if cx.options.wish == Wish::Live { Severity::Warning } else { Severity::Note };
    let sentence = format!("The target's wal_level is {wal_level}, so it cannot replicate back to the source.");
    let why = "After applications have moved, what they write to the target could not be sent back: to return to the source would \
               lose it.";
    let logical = &cx.host(Side::Target).logical;
    let steps = logical.steps.join(" ");
    let words = format!("If you want a way back, turn on logical replication on the target before applications move. {steps}");
    let fix = if logical.sql.is_empty() { words } else { fix_sql(words.trim_end_matches('.'), &logical.sql) };
    Ok(vec![Finding::new("I5", severity, "target", sentence, why).with_fix(fix)])
}

/// A walsender that reads a logical slot is a subscriber's. Roles that may not look into the sessions of others see no state.
const REPLICAS: &str = "
select r.application_name as application, host(r.client_addr) as address, r.state, r.sync_state,
       r.state is null and not pg_has_role('pg_read_all_stats', 'USAGE') as hidden
  from pg_stat_replication r
 where r.state is distinct from 'backup'
   and not exists (select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')
 order by 1, 2";

#[derive(Deserialize)]
struct Replica {
    application: Option<String>,
    address: Option<String>,
    sync_state: Option<String>,
    hidden: bool,
}

fn replicas(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Replica> = rows.parse()?;
    if found.iter().any(|replica| replica.hidden) {
        let role = cx.role(side);
        let reason = format!("the role {} may not look into the sessions of others", human(role.as_str()));
        let words = "Execute this on the source as a superuser or as a role that may grant it";
        let fix = fix_sql(words, &[format!("grant pg_read_all_stats to {role};")]);
        return Ok(vec![not_evaluated("I7", side, "which replicas the source has", &reason, &fix)]);
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |replica: &Replica| {
        let address = replica.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
        let sync = replica.sync_state.as_ref().map(|sync| format!(" ({sync})")).unwrap_or_default();
        format!("replica {}{address}{sync}", human(replica.application.as_deref().unwrap_or_default()))
    };
    let sentence = format!("{} WAL from the source.", count(found.len(), "server receives", "servers receive"));
    let why = "Replicas are not part of a migration. Applications that read from one need a replica of the target, with an address of \
               its own.";
    let fix = "Make the replicas of the target after the copy and before applications move.";
    let objects = found.iter().map(label).collect();
    Ok(vec![Finding::new("I7", Severity::Note, "source", sentence, why).with_fix(fix).with_objects(objects)])
}

#[cfg(test)]
mod tests {
    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    #[test]
    fn replicas_are_counted_only_by_those_who_see_them() {
        let known = Known::plain();
        let cx = Context { known: &known, options: &Options::check() };
        let look = |rows: &[serde_json::Value]| replicas(&cx, Side::Source, &Rows(rows.to_vec())).unwrap_or_default();
        let seen = serde_json::json!({"application": "Rea.der", "address": "10.0.0.7", "state": "streaming", "sync_state": "async",
                                      "hidden": false});
        let hidden = serde_json::json!({"application": "r", "address": null, "state": null, "sync_state": null, "hidden": true});
        assert_eq!(look(&[seen.clone()])[0].objects, [r#"replica "Rea.der" at 10.0.0.7 (async)"#]);
        assert!(look(&[]).is_empty());
        let unknown = look(&[seen, hidden]);
        assert!(unknown.len() == 1 && unknown[0].is_not_evaluated());
        assert!(unknown[0].fix.as_ref().is_some_and(|fix| fix.ends_with("\ngrant pg_read_all_stats to \"owner\";")));
    }

    #[test]
    fn what_is_in_use_is_not_dropped() {
        let known = Known::plain();
        let cx = Context { known: &known, options: &Options::check() };
        let slot = |busy: bool| Rows(vec![serde_json::json!({"kind": "replication slot", "name": "neon_migrate_1", "busy": busy})]);
        let fix = |busy| {
            let found = leftovers(&cx, Side::Target, &slot(busy)).unwrap_or_default();
            found.into_iter().find_map(|finding| finding.fix).unwrap_or_default()
        };
        assert!(!fix(true).contains("drop"));
        assert!(fix(false).ends_with("\nselect pg_drop_replication_slot('neon_migrate_1');"));
    }
}
