//! What the source must be set to for live replication.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::{RELOAD, alter_system};
use crate::engine::finding::{Finding, Severity};
use crate::migration::provider::{Provider, self_hosted};
use crate::pg::names::Ident;

pub(super) fn checks() -> Vec<Check> {
    vec![wal_level(), slots(), senders(), sender_timeout(), retention(), memory()]
}

fn on_source(
    code: &'static str,
    title: &'static str,
    about: &'static str,
    explain: &'static str,
    look: (&'static str, super::super::check::Evaluate),
) -> Check {
    let look = Look::Rows { side: Side::Source, query: look.0, evaluate: look.1 };
    Check { code, title, about, grant: CATALOGS, explain, look }
}

fn wal_level() -> Check {
    on_source(
        "B3",
        "Logical decoding",
        "whether the WAL can be decoded",
        "The source's wal_level, and whether a change of it waits for a restart (pending_restart).\n\n\
         Live replication reads changes out of the WAL, and only with wal_level = logical they are in it. A copy without live \
         replication does not need it.\n\n\
         Turning it on takes a restart of the server, and afterwards it writes somewhat more WAL. Providers have a switch of \
         their own for it; the finding names the one of your provider.",
        (WAL_LEVEL, undecodable_wal),
    )
}

const WAL_LEVEL: &str = "select setting as level, pending_restart from pg_settings where name = 'wal_level'";

#[derive(Deserialize)]
struct WalLevel {
    level: String,
    pending_restart: bool,
}

fn undecodable_wal(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<WalLevel>()? else { return Ok(Vec::new()) };
    if seen.level == "logical" {
        return Ok(Vec::new());
    }
    let waits = if seen.pending_restart { "; a change of it waits for a restart" } else { "" };
    let sentence = format!("wal_level is {} on the source{waits}.", seen.level);
    let why = "Live replication reads changes out of the WAL, and they are in it only with wal_level = logical.";
    let finding = Finding::new("B3", cx.live(Severity::Blocker), "source", sentence, why);
    Ok(vec![finding.with_fix(turn_on_decoding(cx.host(side), seen.pending_restart))])
}

/// How logical decoding is turned on at a provider. `waiting` is a change that was made already.
fn turn_on_decoding(provider: &Provider, waiting: bool) -> String {
    let own = provider.id == self_hosted().id;
    match (waiting, own) {
        (true, _) => "Restart the server of the source when the application can bear it; what was changed takes effect then. If \
                      wal_level is still not logical afterwards, run the check again, and it says how to change it."
            .to_owned(),
        (false, true) => fix_sql(
            "As a superuser, execute this on the source and then restart the server when the application can bear it",
            &[alter_system("wal_level", "logical")],
        ),
        (false, false) => provider.logical.fix(),
    }
}

fn slots() -> Check {
    on_source(
        "B4",
        "A free replication slot",
        "whether there is a free replication slot",
        "How many replication slots there are, used or not, against max_replication_slots.\n\n\
         Live replication keeps its place in the WAL by a slot of its own, and needs one.\n\n\
         A slot that nobody reads any more takes a place and keeps WAL on the disk; drop it when its owner agrees: whoever \
         read it has to start from the beginning. Raising max_replication_slots takes a restart.",
        (SLOTS, no_slot),
    )
}

const SLOTS: &str = "
select 'slot' as kind, slot_name::text as name, case when active then 'in use' else 'not in use' end as detail
  from pg_replication_slots
 where (select count(*) from pg_replication_slots) >= to_number(current_setting('max_replication_slots'), '9999999999')::int8
union all
select 'setting', 'max_replication_slots', current_setting('max_replication_slots')
 where (select count(*) from pg_replication_slots) >= to_number(current_setting('max_replication_slots'), '9999999999')::int8
 order by kind, name";

fn no_slot(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let (settings, slots): (Vec<_>, Vec<_>) =
        rows.parse::<Object>()?.into_iter().partition(|object| object.kind.as_deref() == Some("setting"));
    let Some(max) = settings.first().and_then(|setting| setting.detail.as_ref()?.parse::<usize>().ok()) else {
        return Ok(Vec::new());
    };
    let sentence = format!("All replication slots of the source are taken (max_replication_slots is {max}).");
    let why = "Live replication needs a slot of its own, by which the source keeps the changes that were not read yet.";
    let fix = fix_sql(
        "Raise the limit, which takes a restart of the server, or drop a slot that nobody needs any more (select \
         pg_drop_replication_slot with its name; its reader cannot go on afterwards)",
        &[alter_system("max_replication_slots", &(slots.len().max(max) + 4).to_string())],
    );
    let finding = Finding::new("B4", cx.live(Severity::Blocker), "source", sentence, why).with_fix(fix);
    Ok(vec![finding.with_objects(slots.iter().map(Object::label).collect())])
}

fn senders() -> Check {
    on_source(
        "B5",
        "A free WAL sender",
        "whether there is a free WAL sender",
        "How many WAL senders run against max_wal_senders, and how many slots wait for a reader that would take another one.\n\n\
         Everybody who reads changes from the source, standbys and backups too, takes a WAL sender. Live replication needs \
         one. If all readers of the existing slots came back, it should still have one.\n\n\
         Raising max_wal_senders takes a restart, and standbys need at least as many as their primary.",
        (SENDERS, no_sender),
    )
}

const SENDERS: &str = "
select to_number(current_setting('max_wal_senders'), '9999999999')::int8 as max, (select count(*) from pg_stat_replication) as used,
       (select count(*) from pg_replication_slots where not active) as waiting";

#[derive(Deserialize)]
struct Senders {
    max: u32,
    used: u32,
    waiting: u32,
}

fn no_sender(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let Some(seen) = rows.first::<Senders>()? else { return Ok(Vec::new()) };
    let expected = seen.used + seen.waiting;
    if expected < seen.max {
        return Ok(Vec::new());
    }
    let max = format!("max_wal_senders is {}", seen.max);
    let (severity, sentence) = if seen.used >= seen.max {
        (Severity::Blocker, format!("The source has no free WAL sender ({max}, in use {}).", seen.used))
    } else {
        let waiting = count(seen.waiting as usize, "slot that nobody reads now", "slots that nobody reads now");
        (Severity::Warning, format!("The source has no WAL sender to spare: {max}, in use {}, and there are {waiting}.", seen.used))
    };
    let why = "Live replication needs a WAL sender for as long as it runs.";
    let fix = fix_sql(
        "Raise the limit, which takes a restart of the server; raise it on standbys first",
        &[alter_system("max_wal_senders", &(expected + 4).to_string())],
    );
    Ok(vec![Finding::new("B5", cx.live(severity), "source", sentence, why).with_fix(fix)])
}

fn sender_timeout() -> Check {
    on_source(
        "B7",
        "Patience of WAL senders",
        "after which silence the source ends a replication",
        "The wal_sender_timeout that sessions of this role begin with.\n\n\
         A reader of changes that does not answer for that long is cut off. Under load, or while a large transaction is \
         written to the target, a few seconds pass easily, and each time the stream has to begin again.\n\n\
         0 never cuts off; a minute, the default, is enough. The role may set it for itself; new sessions obey.",
        (SENDER_TIMEOUT, short_timeout),
    )
}

const SENDER_TIMEOUT: &str = "select reset_val::int8 as ms from pg_settings where name = 'wal_sender_timeout'";

/// Shorter than this, in milliseconds, an answer may come too late.
const SENDER_TIMEOUT_MS: u64 = 10_000;

#[derive(Deserialize)]
struct SenderTimeout {
    ms: u64,
}

fn short_timeout(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let short = rows.first::<SenderTimeout>()?.filter(|seen| seen.ms > 0 && seen.ms < SENDER_TIMEOUT_MS);
    let Some(SenderTimeout { ms }) = short else { return Ok(Vec::new()) };
    let sentence = format!("The source cuts off a replication that is silent for {ms} ms (wal_sender_timeout).");
    let why = "A busy target answers later than that now and then, and the stream would begin again each time.";
    let statement =
        format!("alter role {} in database {} set wal_sender_timeout = '60s';", cx.role(side), Ident::new(&cx.source().database));
    let fix = fix_sql("Give the role more time; new sessions obey", &[statement]);
    Ok(vec![Finding::new("B7", cx.live(Severity::Warning), "source", sentence, why).with_fix(fix)])
}

fn retention() -> Check {
    on_source(
        "B8",
        "How long slots keep WAL",
        "how long the source keeps WAL for a slot",
        "max_slot_wal_keep_size, and from Postgres 18 on idle_replication_slot_timeout.\n\n\
         The slot of a live replication is not read while the rows are copied, and WAL gathers meanwhile. If it becomes more \
         than the limit, or takes longer, the server invalidates the slot, and the replication has to start from the \
         beginning.\n\n\
         Without a limit a forgotten slot fills the disk of the source, so watch it, and set the limit again afterwards. \
         Neither takes a restart.",
        (RETENTION, limited_retention),
    )
}

const RETENTION: &str = "
select name::text, current_setting(name) as detail
  from pg_settings
 where name = 'max_slot_wal_keep_size' and setting <> '-1' or name = 'idle_replication_slot_timeout' and setting <> '0'
 order by name";

fn limited_retention(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let limits: Vec<Object> = rows.parse()?;
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<String> =
        limits.iter().map(|limit| format!("{} = {}", limit.name, limit.detail.as_deref().unwrap_or_default())).collect();
    let sentence = format!("The source gives up slots that lag or rest: {}.", named.join(", "));
    let why = "Our slot is not read while the rows are copied; if it is given up, the replication starts from the beginning.";
    let unlimited = |limit: &Object| alter_system(&limit.name, if limit.name == "max_slot_wal_keep_size" { "-1" } else { "0" });
    let mut statements: Vec<String> = limits.iter().map(unlimited).collect();
    statements.push(RELOAD.to_owned());
    let words = "Lift it while the migration runs, which needs no restart, and watch the free space on the source's disk: \
                 WAL gathers there until the slot is read";
    Ok(vec![Finding::new("B8", cx.live(Severity::Warning), "source", sentence, why).with_fix(fix_sql(words, &statements))])
}

fn memory() -> Check {
    on_source(
        "B9",
        "Memory for decoding",
        "whether decoding has enough memory",
        "logical_decoding_work_mem as sessions of this role begin with it, and how much other slots had to spill to disk since \
         their statistics were reset (pg_stat_replication_slots).\n\n\
         Transactions that do not fit into that memory are written to the source's disk while they are decoded, and read \
         again. That makes replication slower and the disk fuller. Slots that spilled show that this application has such \
         transactions.\n\n\
         The role may set it for itself, to 256 MB for instance; each replication takes that much at most.",
        (MEMORY, little_memory),
    )
}

/// The default of 64 MB, and what is plenty; in kilobytes.
const MEMORY: &str = "
select 'slot' as kind, s.slot_name::text as name, pg_size_pretty(s.spill_bytes) || ' spilled' as detail, g.reset_val::int8 as kb
  from pg_settings g left join pg_stat_replication_slots s on s.spill_bytes > 0
 where g.name = 'logical_decoding_work_mem' and (g.reset_val::int8 < 65536 or s.spill_bytes > 0 and g.reset_val::int8 < 262144)
 order by name";

#[derive(Deserialize)]
struct Memory {
    name: Option<String>,
    detail: Option<String>,
    kb: u64,
}

fn little_memory(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let seen: Vec<Memory> = rows.parse()?;
    let Some(kb) = seen.first().map(|memory| memory.kb) else { return Ok(Vec::new()) };
    let slot = |memory: Memory| {
        let slot = Object { kind: Some("slot".to_owned()), schema: None, name: memory.name?, detail: memory.detail };
        Some(slot.label())
    };
    let slots: Vec<String> = seen.into_iter().filter_map(slot).collect();
    let spilled = match slots.len() {
        0 => String::new(),
        n => format!(", and {} spilled to disk", count(n, "slot", "slots")),
    };
    let sentence = format!("Decoding has {kb} kB of memory on the source (logical_decoding_work_mem){spilled}.");
    let why = "Transactions that do not fit are written to the source's disk and read again, which slows replication down.";
    let of = format!("alter role {} in database {}", cx.role(side), Ident::new(&cx.source().database));
    let fix =
        fix_sql("Give sessions of this role more; new ones obey", &[format!("{of} set logical_decoding_work_mem = '256MB';")]);
    let finding = Finding::new("B9", cx.live(Severity::Warning), "source", sentence, why).with_fix(fix);
    Ok(vec![finding.with_objects(slots)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::facts::Known;
    use super::super::super::{Options, Wish};
    use super::*;
    use crate::migration::provider;

    #[test]
    fn the_fix_is_the_providers_and_a_waiting_change_needs_only_a_restart() {
        let by_id = |id: &str| provider::by_id(id).unwrap_or_else(|| unreachable!("{id} is in the table"));
        assert!(turn_on_decoding(by_id("rds"), false).contains("rds.logical_replication"));
        assert!(turn_on_decoding(self_hosted(), false).ends_with("\nalter system set wal_level = 'logical';"));
        assert!(turn_on_decoding(by_id("rds"), true).starts_with("Restart"));
    }

    #[test]
    fn slots_without_a_reader_will_want_a_sender() {
        let known = Known::plain();
        let options = Options { wish: Wish::Live, ..Options::check() };
        let severity = |max: u32, used: u32, waiting: u32| {
            let rows = Rows(vec![json!({"max": max, "used": used, "waiting": waiting})]);
            let found = no_sender(&Context { known: &known, options: &options }, Side::Source, &rows).unwrap_or_default();
            found.first().map(|finding| finding.severity)
        };
        assert_eq!(severity(10, 2, 7), None);
        assert_eq!(severity(10, 2, 8), Some(Severity::Warning));
        assert_eq!(severity(10, 10, 0), Some(Severity::Blocker));
        assert_eq!(severity(0, 0, 0), Some(Severity::Blocker));
    }

    #[test]
    fn spilling_slots_are_named() {
        let known = Known::plain();
        let options = Options { wish: Wish::Live, ..Options::check() };
        let rows = Rows(vec![json!({"kind": "slot", "name": "a b", "detail": "2 GB spilled", "kb": 65_536})]);
        let found = little_memory(&Context { known: &known, options: &options }, Side::Source, &rows).unwrap_or_default();
        assert_eq!(found[0].objects, ["slot \"a b\" (2 GB spilled)"]);
        assert!(found[0].sentence.ends_with("and 1 slot spilled to disk."), "{}", found[0].sentence);
    }
}
