//! Logical replication by hand: a publication on the source, a subscription on the target, and how to end both.
//!
//! A published table without a usable replica identity refuses updates and deletes, on the source, at once. So only tables are published that have
//! one, each by name, and never all tables. What replication does not carry, because it cannot be published or is no table, is copied at the end, while nobody
//! writes.

use super::dump::{self, Files, analyze};
use super::facts::{OnSource, OnTarget};
use super::quote::{keyword_value, pattern};
use super::{Action, Basis, Flag, Step, Tool, Way, some_of};
use crate::migration::error::Side;
use crate::migration::provider::Availability;
use crate::migration::schema::filter::class;
use crate::pg::names::{Ident, QualifiedName, human, literal};

const SCHEMA_FILES: Files = Files { archive: "schema.bak", list: "schema.list" };

const PUBLICATION: &str = "lr_publication";
const SUBSCRIPTION: &str = "lr_subscription";

/// What the lines call what they create. A slot bears its subscription's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The publication on the source.
    pub publication: String,
    /// The subscription on the target, and the slot on the source.
    pub subscription: String,
}

impl Default for Names {
    /// Those that come first.
    fn default() -> Names {
        Names { publication: PUBLICATION.to_owned(), subscription: SUBSCRIPTION.to_owned() }
    }
}

impl Names {
    /// Those of a subscription of this pair that such lines made before, else some that nobody has yet.
    fn of(on_source: &OnSource, on_target: &OnTarget) -> Names {
        Names::paired(&on_source.publications, &on_target.pairs).unwrap_or_else(|| Names {
            publication: free(PUBLICATION, &on_source.publications),
            subscription: free(SUBSCRIPTION, &[&on_target.subscriptions[..], &on_source.slots[..]].concat()),
        })
    }

    /// Those of a subscription, given with what it subscribes to, that such lines made for one of these publications. Both names have to be such as
    /// the lines give: of anybody else's replication nothing is ours to end.
    pub fn paired(publications: &[String], subscriptions: &[(String, Vec<String>)]) -> Option<Names> {
        let ours = |(subscription, of): &&(String, Vec<String>)| {
            is_numbered(subscription, SUBSCRIPTION)
                && matches!(of.as_slice(), [one] if is_numbered(one, PUBLICATION) && publications.contains(one))
        };
        let (subscription, of) = subscriptions.iter().find(ours)?;
        Some(Names { publication: of.first()?.clone(), subscription: subscription.clone() })
    }
}

/// Whether a name is one of those that [`free`] gives.
fn is_numbered(name: &str, wanted: &str) -> bool {
    match name.strip_prefix(wanted) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('_').is_some_and(|number| number.parse::<u32>().is_ok()),
        None => false,
    }
}

/// The steps, what to know before, and the names. No steps if there is no table to publish.
pub(super) fn steps(basis: &Basis<'_>) -> (Vec<Step>, Vec<String>, Option<Names>) {
    let sorted = Sorted::of(basis);
    if sorted.published.is_empty() {
        let note = "Logical replication: the source has no table that can be published, so there are no lines for it.";
        return (Vec::new(), std::iter::once(note.to_owned()).chain(sorted.notes(basis)).collect(), None);
    }
    let names = Names::of(&basis.on_source, &basis.on_target);
    let mut steps = vec![publication(&names, &sorted), schema(basis), subscription(basis, &names), progress(&names)];
    steps.push(drain(&names));
    steps.push(sequences(basis));
    steps.extend(rest(basis, &sorted));
    steps.extend(refresh(basis));
    steps.push(turn_off(&names));
    steps.push(turn_off_alone(&names));
    steps.push(nothing_left(&names));
    steps.push(analyze("live-9-analyze", Way::Live));
    let mut notes = needs(basis);
    notes.extend(sorted.notes(basis));
    (steps, notes, Some(names))
}

fn free(wanted: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|n| format!("{wanted}_{n}"));
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

/// The source's tables, by what can be done with them.
struct Sorted {
    /// Name, and whether it is partitioned.
    published: Vec<(QualifiedName, bool)>,
    /// To be copied at the end, with whether triggers would fire.
    rest: Vec<(QualifiedName, bool)>,
    /// Those without a replica identity, part by part.
    bare: Vec<QualifiedName>,
    not_own: Vec<String>,
    unlogged: Vec<String>,
}

impl Sorted {
    fn of(basis: &Basis<'_>) -> Sorted {
        let mut sorted =
            Sorted { published: Vec::new(), rest: Vec::new(), bare: Vec::new(), not_own: Vec::new(), unlogged: Vec::new() };
        let may_any = basis.facts.source.can.superuser;
        let of_platform = |name: &QualifiedName| basis.schemas.iter().any(|schema| name.schema.as_str() == schema);
        for table in basis.on_source.tables.iter().filter(|table| !of_platform(&table.name) && !basis.stays(table.oid)) {
            if !may_any && !table.is_own {
                sorted.not_own.push(table.name.human());
            } else if table.unlogged || table.has_foreign {
                sorted.unlogged.push(table.name.human());
            } else if !table.without_identity.is_empty() {
                sorted.bare.extend(table.without_identity.iter().cloned());
            } else {
                sorted.published.push((table.name.clone(), table.is_root));
                continue;
            }
            // A pattern for a partitioned table takes no rows: they are its partitions'.
            sorted.rest.extend(table.leaves.iter().map(|leaf| (leaf.clone(), table.has_triggers)));
        }
        sorted.rest.extend(dump::config(basis).filter(|table| table.has_rows).map(|table| (table.name.clone(), false)));
        sorted
    }

    fn notes(&self, basis: &Basis<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        let end = "The rows are copied at the end (live-7-rest), while nobody writes.";
        if !self.bare.is_empty() {
            let fixes: Vec<String> = self.bare.iter().map(|name| format!("alter table {name} replica identity full;")).collect();
            notes.push(format!(
                "Logical replication: {} not published, because updates and deletes on a published table need a primary key or another replica identity. {end} To have \
                 them replicated instead, give each a primary key, or run this on the source and make the lines anew:\n{}",
                are(self.bare.iter().map(QualifiedName::human)),
                fixes.join("\n")
            ));
        }
        if !self.unlogged.is_empty() {
            notes.push(format!(
                "Logical replication: {} not published, because what is unlogged or foreign, in whole or in part, is not in the WAL. {end}",
                are(self.unlogged.iter().cloned())
            ));
        }
        if !self.not_own.is_empty() {
            notes.push(format!(
                "Logical replication: {} not published, because only the owner of a table may publish it, and {} is not. {end} To have them replicated, connect as their \
                 owner or a superuser and make the lines anew.",
                are(self.not_own.iter().cloned()),
                human(&basis.facts.source.role)
            ));
        }
        notes
    }
}

fn are(names: impl ExactSizeIterator<Item = String>) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", some_of(names))
}

/// What has to be so before replication works.
fn needs(basis: &Basis<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let logical = &basis.provider.logical;
    if basis.on_source.wal_level != "logical" {
        let how = match logical.available {
            Availability::Never => format!("{} does not offer it.", basis.provider.name),
            _ => format!("How it is turned on ({}):\n{}", basis.provider.name, logical.fix()),
        };
        notes.push(format!(
            "Logical replication: it is turned off on the source (wal_level is {}). {how}",
            basis.on_source.wal_level
        ));
    }
    let can = &basis.facts.source.can;
    if !can.replication && !basis.on_source.replicates_by_membership {
        let role = Ident::new(&basis.facts.source.role);
        let grant = logical.grant_replication(&role).unwrap_or_else(|| format!("alter role {role} replication;"));
        notes.push(format!(
            "Logical replication: {} may not replicate. On the source, as an administrator:\n{grant}",
            human(role.as_str())
        ));
    }
    if !can.create_in_database {
        let source = &basis.facts.source;
        notes.push(format!(
            "Logical replication: {} may not create a publication. On the source, as the database's owner:\ngrant create on database {} to {};",
            human(&source.role),
            Ident::new(&source.database),
            Ident::new(&source.role)
        ));
    }
    if basis.on_source.slots_free < 3 {
        notes.push(format!(
            "Logical replication: the source has {} replication slots left, and while tables are copied a subscription uses three. Drop slots that nobody uses, or \
             raise max_replication_slots.",
            basis.on_source.slots_free.max(0)
        ));
    }
    let target = &basis.facts.target;
    if !target.can.superuser && !basis.on_target.may_subscribe && !basis.on_target.is_neon {
        let fix = match target.version.major() {
            16.. => format!("Have a superuser run: grant pg_create_subscription to {};", Ident::new(&target.role)),
            _ => "Before Postgres 16 only a superuser may: run the step as one.".to_owned(),
        };
        notes.push(format!("Logical replication: {} may not create subscriptions on the target. {fix}", human(&target.role)));
    }
    if basis.source.is_private {
        notes.push(format!(
            "Logical replication: the target's server itself dials the source, and {} is an address that only this machine or a private network reaches. Where the \
             target cannot reach it, use an address that it can, or a tunnel; neon-migrate copy has no such need.",
            basis.source.value("host").unwrap_or_default()
        ));
    } else if let Some(inbound) = &basis.provider.inbound {
        notes.push(format!("Logical replication: the target's server itself dials the source. {inbound}"));
    }
    notes
}

fn step(id: &'static str, title: &str, actions: Vec<Action>, expect: &[&str]) -> Step {
    let expect = expect.iter().map(|text| (*text).to_owned()).collect();
    Step { id, way: Way::Live, title: title.to_owned(), flags: Vec::new(), actions, expect }
}

fn publication(names: &Names, sorted: &Sorted) -> Step {
    // Without `only` the children of an inheritance parent come along, identity or not; partitions always do.
    let table = |(name, is_root): &(QualifiedName, bool)| if *is_root { format!("  {name}") } else { format!("  only {name}") };
    let tables: Vec<String> = sorted.published.iter().map(table).collect();
    let sql = format!("create publication {} for table\n{};", Ident::new(&names.publication), tables.join(",\n"));
    let sql_action = Action::Tool(Tool::psql(Side::Source, sql));
    let mut step = step("live-1-publication", "Publish the tables, on the source", vec![sql_action], &["CREATE PUBLICATION."]);
    if sorted.published.iter().any(|(_, is_root)| *is_root) {
        step.expect.push(
            "Partitions are published each by its own name. If the target is to have other partitions, add: with (publish_via_partition_root = true)".to_owned(),
        );
    }
    step.expect.push("Until the end, add no table and change no definition: neither is replicated.".to_owned());
    step
}

fn schema(basis: &Basis<'_>) -> Step {
    let mut flags = vec![
        Flag::new("-Fc", "writes one file."),
        Flag::new("--schema-only", "takes definitions and no rows: the subscription copies those."),
    ];
    flags.extend(dump::dump_flags(basis));
    flags.push(Flag::new("--no-publications", "keeps the publication itself from coming along."));
    let mut dump = Tool::new(Side::Source, "pg_dump", &[]);
    dump.args = flags.iter().map(|flag| flag.flag.clone()).chain(["-f".to_owned(), SCHEMA_FILES.archive.to_owned()]).collect();
    let (restore_flags, mut actions, mut expect) = dump::restore(basis, SCHEMA_FILES, Vec::new());
    actions.insert(0, Action::Tool(dump));
    flags.extend(restore_flags.into_iter().filter(|flag| flag.flag != "--no-publications"));
    expect.push(
        "Foreign keys and ordinary triggers may be there already: a subscription applies as a replica, for which they do not fire. Keys have to be: updates and \
         deletes find their rows by them."
            .to_owned(),
    );
    Step { id: "live-2-schema", way: Way::Live, title: "Create the definitions on the target".to_owned(), flags, actions, expect }
}

fn subscription(basis: &Basis<'_>, names: &Names) -> Step {
    // The password joins the connection string in the session, so that it is in no command line and no file; psql quotes the whole.
    let sql = format!(
        "\\set password ''\n\\getenv password SOURCE_PASSWORD\nselect {} || case when :'password' = '' then ''\n  else ' password=''' || \
         replace(replace(:'password', E'\\\\', E'\\\\\\\\'), '''', E'\\\\''') || '''' end as conninfo \\gset\ncreate subscription {} connection :'conninfo' publication \
         {};",
        literal(&basis.source.string_for_server()),
        Ident::new(&names.subscription),
        Ident::new(&names.publication)
    );
    let mut expect = vec![
        format!("NOTICE: created replication slot {} on publisher, then CREATE SUBSCRIPTION. It begins to copy the tables at once.", keyword_value(&names.subscription)),
        "The target's server dials the source itself, so this connection string has to work from there. It needs psql 14 or later. The target keeps the password \
         in pg_subscription, which only superusers may read, until the subscription is dropped; its log may hold it too, if it logs statements."
            .to_owned(),
    ];
    if !basis.facts.target.can.superuser && basis.source.password.is_none() {
        expect.push(
            "A role that is no superuser must have a password in the connection string: give it in SOURCE_PASSWORD.".to_owned(),
        );
    }
    expect.push(
        "From now on the source keeps WAL until the target has read it: do not leave the subscription alone for long.".to_owned(),
    );
    let sql_action = Action::Tool(Tool::psql(Side::Target, sql));
    Step { expect, ..step("live-3-subscription", "Subscribe, on the target", vec![sql_action], &[]) }
}

fn progress(names: &Names) -> Step {
    let subscription = literal(&names.subscription);
    let source = format!(
        "select slot_name, active, wal_status, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn) as lag_bytes,\n       \
         pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn) as kept_bytes, safe_wal_size\n  from pg_catalog.pg_replication_slots\n where slot_name = \
         {subscription} or slot_name ~ '^pg_[0-9]+_sync_';"
    );
    let target = format!(
        "select pid, relid::pg_catalog.regclass, received_lsn, latest_end_lsn, latest_end_time\n  from pg_catalog.pg_stat_subscription where subname = \
         {subscription};\nselect r.srrelid::pg_catalog.regclass as \"table\", r.srsubstate as state\n  from pg_catalog.pg_subscription_rel r join \
         pg_catalog.pg_subscription s on s.oid = r.srsubid\n where s.subname = {subscription} and r.srsubstate <> 'r' order by 2, 1;"
    );
    let actions = vec![Action::Tool(Tool::psql(Side::Source, source)), Action::Tool(Tool::psql(Side::Target, target))];
    let expect = [
        "Source, pg_replication_slots: active is t while the target is connected. lag_bytes is what the target has not confirmed yet; near 0 it has caught up. \
         kept_bytes is the WAL that the slot holds back on the source's disk. wal_status lost means that it is gone and everything has to start over; safe_wal_size is \
         how much more may be written before that (empty: no limit). Slots named pg_…_sync_… belong to tables that are being copied.",
        "Target, pg_stat_subscription: the line without relid is the one that applies changes; no pid means that it does not run, and the target's log says \
         why. latest_end_time is when the source was last heard of.",
        "Target, pg_subscription_rel: only tables that are not ready are shown (i: to be copied, d: being copied, f and s: catching up). No line left: all are ready.",
    ];
    step("live-4-progress", "See how it goes, as often as you like", actions, &expect)
}

fn drain(names: &Names) -> Step {
    let expect = [
        "When step 4 shows no table any more, stop everything that writes to the source, and run this. It takes the source's position and waits, for at \
         most ten minutes, until the target has confirmed it: from then on the target has every row.",
    ];
    step(
        "live-5-drain",
        "Stop writing, and wait for the last changes",
        vec![Action::Drain { slot: names.subscription.clone() }],
        &expect,
    )
}

fn sequences(basis: &Basis<'_>) -> Step {
    let out: Vec<String> =
        std::iter::once("information_schema").chain(basis.schemas.iter().map(String::as_str)).map(literal).collect();
    // The first format makes, for each sequence, a query; psql runs it (\gexec), and its result is the statement for the target.
    let read = "select pg_catalog.format('select pg_catalog.format(''select pg_catalog.setval(%%L, %%s, %%L);'', %L::text, last_value, is_called) from %I.%I',\n  \
                pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)\n  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = \
                c.relnamespace\n where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname not like 'pg\\_%' and n.nspname not in (@out@)\n   and not exists (select from \
                pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass\n     and d.objid = c.oid and d.deptype = 'e')@more@\n order by \
                c.oid \\gexec";
    let stay =
        basis.dependents.iter().filter(|dependent| dependent.class == class::RELATION).map(|dependent| dependent.oid.to_string());
    let stay: Vec<String> = stay.collect();
    let more = if stay.is_empty() { String::new() } else { format!("\n   and c.oid not in ({})", stay.join(", ")) };
    let mut reader = Tool::psql(Side::Source, read.replace("@out@", &out.join(", ")).replace("@more@", &more));
    reader.args.extend(["-Atq", "-o", "sequences.sql"].map(str::to_owned));
    let mut writer = Tool::new(Side::Target, "psql", &["-X", "-v", "ON_ERROR_STOP=1", "-q", "-1", "-f", "sequences.sql"]);
    writer.args.extend(["-o", "sequences.out"].map(str::to_owned));
    let expect = [
        "sequences.sql holds one setval for each sequence. Replication does not carry their values; without this the next insert would meet a number that is taken.",
    ];
    step("live-6-sequences", "Bring the sequences along", vec![Action::Tool(reader), Action::Tool(writer)], &expect)
}

/// What was not published, and large objects.
fn rest(basis: &Basis<'_>, sorted: &Sorted) -> Option<Step> {
    let objects = basis.facts.size.large_objects == Some(true);
    if sorted.rest.is_empty() && !objects {
        return None;
    }
    let mut flags = vec![Flag::new("-Fc", "writes one file."), Flag::new("--data-only", "takes rows: the definitions are there.")];
    if objects {
        flags.push(Flag::new("-b", "takes the large objects, which replication does not carry."));
    }
    if sorted.rest.is_empty() {
        flags.push(Flag::new(format!("--exclude-table={}", "*.*"), "takes no table."));
    }
    for (name, _) in &sorted.rest {
        let table = format!("{}.{}", pattern(name.schema.as_str()), pattern(name.name.as_str()));
        flags.push(Flag::new(format!("--table={table}"), "is not published."));
    }
    let mut dump = Tool::new(Side::Source, "pg_dump", &[]);
    dump.args = flags.iter().map(|flag| flag.flag.clone()).chain(["-f".to_owned(), "rest.bak".to_owned()]).collect();
    let may_set = basis.facts.target.can.set_replication_role == Some(true);
    let unknown = basis.options.tools_major >= 17 && basis.facts.target.version.major() < 17;
    let mut restore = Tool::new(Side::Target, "pg_restore", &["--no-owner", "--no-privileges"]);
    if unknown {
        restore.forgives = Some("transaction_timeout");
    } else {
        restore.args.push("--exit-on-error".to_owned());
    }
    restore.args.push("rest.bak".to_owned());
    restore.options = may_set.then_some("-c session_replication_role=replica");
    let mut step = step(
        "live-7-rest",
        "Copy what is not replicated, while nobody writes",
        vec![Action::Tool(dump), Action::Tool(restore)],
        &["Once only: run twice, rows without a key would be there twice."],
    );
    let firing: Vec<String> = sorted.rest.iter().filter(|(_, triggers)| *triggers).map(|(name, _)| name.human()).collect();
    if may_set {
        step.expect
            .push("The session is a replica's, so that triggers and foreign keys do not fire while rows are put in.".to_owned());
    } else if !firing.is_empty() {
        step.expect.push(format!(
            "Triggers fire while rows are put into {}, and the target's role may not prevent it for all. Turn them off before (alter table … disable trigger user) and on again \
             afterwards.",
            some_of(firing.into_iter())
        ));
    }
    step.flags = flags;
    Some(step)
}

fn refresh(basis: &Basis<'_>) -> Option<Step> {
    let views: Vec<&QualifiedName> =
        basis.on_source.materialized.iter().filter(|name| !basis.schemas.iter().any(|s| name.schema.as_str() == s)).collect();
    if views.is_empty() {
        return None;
    }
    let names: Vec<String> =
        views.iter().map(|name| format!("({}, {})", literal(name.schema.as_str()), literal(name.name.as_str()))).collect();
    // pg_restore created them in an order in which none needs a later one, so that their oids on the target are in that order.
    let sql = format!(
        "select pg_catalog.format('refresh materialized view %I.%I', n.nspname, c.relname)\n  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = \
         c.relnamespace\n where c.relkind = 'm' and (n.nspname, c.relname) in (\n  {})\n order by c.oid \\gexec",
        names.join(",\n  ")
    );
    let sql_action = Action::Tool(Tool::psql(Side::Target, sql));
    let expect = ["REFRESH MATERIALIZED VIEW, once for each that is filled on the source."];
    Some(step("live-7-views", "Fill the materialized views", vec![sql_action], &expect))
}

fn turn_off(names: &Names) -> Step {
    let drop = format!("drop subscription {};", Ident::new(&names.subscription));
    let publication = format!("drop publication {};", Ident::new(&names.publication));
    let actions = vec![Action::Tool(Tool::psql(Side::Target, drop)), Action::Tool(Tool::psql(Side::Source, publication))];
    let expect = [
        "NOTICE: dropped replication slot … on publisher, DROP SUBSCRIPTION, then DROP PUBLICATION. The target dials the source once more to drop the slot; if it \
         cannot, use the next step instead.",
    ];
    step("live-8-turn-off", "Turn replication off", actions, &expect)
}

fn turn_off_alone(names: &Names) -> Step {
    let subscription = Ident::new(&names.subscription);
    let target = format!(
        "alter subscription {subscription} disable;\nalter subscription {subscription} set (slot_name = none);\ndrop subscription {subscription};"
    );
    let slot = literal(&names.subscription);
    let source = format!(
        "select slot_name, pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = {slot} and not active;\ndrop publication if \
         exists {};",
        Ident::new(&names.publication)
    );
    let actions = vec![Action::Tool(Tool::psql(Side::Target, target)), Action::Tool(Tool::psql(Side::Source, source))];
    let expect = [
        "Only if step 8 could not reach the source. Without the second half the slot stays and keeps WAL until the source's disk is full.",
        "A slot that is still active is not dropped: the target's worker has not noticed yet; run the second half again.",
    ];
    step("live-8-turn-off-apart", "Turn replication off where the target cannot reach the source", actions, &expect)
}

fn nothing_left(names: &Names) -> Step {
    let source = format!(
        "select 'slots' as what, count(*) as \"left\" from pg_catalog.pg_replication_slots where slot_name = {slot}\nunion all select 'publications', count(*) from \
         pg_catalog.pg_publication where pubname = {publication};",
        slot = literal(&names.subscription),
        publication = literal(&names.publication)
    );
    let target = format!(
        "select 'subscriptions' as what, count(*) as \"left\" from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid\n where d.datname = \
         pg_catalog.current_database() and s.subname = {};",
        literal(&names.subscription)
    );
    let actions = vec![Action::Tool(Tool::psql(Side::Source, source)), Action::Tool(Tool::psql(Side::Target, target))];
    step("live-9-nothing-left", "See that nothing is left", actions, &["0 on each line."])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_get_a_number() {
        let taken = ["lr_publication".to_owned(), "lr_publication_2".to_owned()];
        assert_eq!(free("lr_publication", &taken), "lr_publication_3");
        assert_eq!(free("lr_publication", &[]), "lr_publication");
        assert!(taken.iter().all(|name| is_numbered(name, PUBLICATION)));
    }

    #[test]
    fn only_what_such_lines_made_for_this_pair_is_found_again() {
        let found = |publication: &str, subscription: &str, of: &[&str]| {
            let of = of.iter().map(|name| (*name).to_owned()).collect();
            Names::paired(&[publication.to_owned()], &[(subscription.to_owned(), of)]).map(|names| names.subscription)
        };
        assert_eq!(found("lr_publication", "lr_subscription", &["lr_publication"]).as_deref(), Some("lr_subscription"));
        assert_eq!(found("lr_publication", "lr_subscription_2", &["lr_publication"]).as_deref(), Some("lr_subscription_2"));
        for (publication, subscription, of) in [
            ("lr_publication", "reports", &["lr_publication"][..]),
            ("everything", "lr_subscription", &["everything"]),
            ("lr_publication", "lr_subscription", &["lr_publication_2"]),
            ("lr_publication", "lr_subscription", &["lr_publication", "more"]),
            ("lr_publication", "lr_subscription_x", &["lr_publication"]),
            ("lr_publication", "lr_subscription2", &["lr_publication"]),
        ] {
            assert_eq!(found(publication, subscription, of), None, "{publication} {subscription} {of:?}");
        }
    }
}
