//! Who else replicates or changes this database: publications, subscriptions, slots, what an earlier migration left, and tools that
//! change the schema.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::size;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human, literal};

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
        rows("F13", "Publications", "which publications there are", REPLICATION_TEXT, PUBLICATIONS, publications),
        rows("F13", "Subscriptions", "which subscriptions there are", "", SUBSCRIPTIONS, subscriptions),
        rows("F13", "Replication slots", "which replication slots there are", "", SLOTS, slots),
        rows("F13", "Leftovers of a migration", "whether an earlier migration left something", "", LEFTOVERS, leftovers),
        rows("F23", "Tools that change the schema", "whether a tool changes the schema", TOOLS_TEXT, TOOLS, tools),
    ]
}

const REPLICATION_TEXT: &str = "\
Replication that exists already is named here: publications and subscriptions of this database, and replication slots of the \
whole server that are in trouble. A publication tells that somebody follows this database, or did, and has to be moved to the \
new one as well. A publication for all tables also takes in every table that is made later, by a migration for instance, and \
refuses updates of those without replica identity.

A subscription tells that the source itself receives rows. They go on arriving at the source while a copy is made. On the \
target the subscription has to be made again, disabled at first, and to be enabled only after it has been disabled on the \
source, or the two take turns on one slot.

A slot keeps the server from removing WAL until its consumer has read it. A slot whose consumer is gone fills the disk in the \
end; one that is lost (wal_status) can never be read again. To drop a slot means that its consumer has to begin with a new \
copy, so find out first whose it is.

Publications, subscriptions and slots whose names begin with neon_migrate were made by this tool. If no migration is running \
any more, they are left over, and stand in the way of a new one.";

const TOOLS_TEXT: &str = "\
Tables of these names are kept by tools that change the schema, as part of a deployment: Rails, Django, Flyway, Liquibase, \
Alembic, Prisma, Knex, Sequelize, TypeORM, Diesel, sqlx, Drizzle, goose, Entity Framework and others.

Logical replication carries rows and no definitions. A column that is added on the source while a migration runs is not on the \
target, and replication of that table stops at the next row. A one-time copy does not see what changes after it has begun.

Freeze deployments that change the schema from the beginning of the migration until after the cutover, or apply each change on \
the target first.";

/// What is named like this was made by us.
macro_rules! ours {
    () => {
        "'^neon_migrate'"
    };
}

const PUBLICATIONS: &str = concat!(
    "
select 'publication' as kind, p.pubname::text as name, case when p.puballtables then 'for all tables' end as detail
  from pg_publication p where p.pubname !~ ",
    ours!(),
    " order by p.pubname"
);

fn publications(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let all = found.iter().filter(|publication| publication.detail.is_some()).count();
    let of_all = if all > 0 { format!(", {all} of them for all tables") } else { String::new() };
    let sentence = format!("The source has {} already{of_all}.", count(found.len(), "publication", "publications"));
    let why = match all {
        0 => "Somebody follows this database, or did.",
        _ => {
            "Somebody follows this database, or did. A publication for all tables also takes in every table that is made later, and \
             makes updates fail of those without replica identity."
        }
    };
    let fix = "Find out who follows it: its subscriptions have to be moved to the new database after the cutover. Drop on the \
               source what nobody uses any more (drop publication …).";
    let severity = if all > 0 { cx.live(Severity::Warning) } else { Severity::Note };
    let finding = Finding::new("F13", severity, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}

/// Every column but the connection string may be read by everybody.
const SUBSCRIPTIONS: &str = concat!(
    "
select 'subscription' as kind, s.subname::text as name, case when not s.subenabled then 'disabled' end as detail
  from pg_subscription s
 where s.subdbid = (select d.oid from pg_database d where d.datname = current_database()) and s.subname !~ ",
    ours!(),
    " order by s.subname"
);

fn subscriptions(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("The source receives rows through {}.", count(found.len(), "subscription", "subscriptions"));
    let why = "What the source receives does not reach the target after the cutover, unless the subscription is moved, too; and \
               two subscriptions that are enabled on one slot take each other's changes.";
    let fix = "Make each subscription again on the target with (connect = false, slot_name = …), and enable it only after it has \
               been disabled on the source, at the cutover.";
    let finding = Finding::new("F13", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}

/// A standby has received or replayed so much; a primary is at its insert position.
const SLOTS: &str = concat!(
    "
select s.slot_name::text as name, s.database::text as database, s.active, coalesce(s.wal_status, '') as wal_status,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
                       s.restart_lsn)::int8 as retained
  from pg_replication_slots s
 where not s.temporary and s.slot_name !~ ",
    ours!(),
    " order by s.slot_name"
);

/// An inactive slot that holds less than this is left in peace, in bytes: a consumer may be restarting.
const RETAINED: i64 = 1 << 30;

#[derive(Deserialize)]
struct Slot {
    name: String,
    /// Nothing for a physical slot.
    database: Option<String>,
    active: bool,
    wal_status: String,
    retained: Option<i64>,
}

impl Slot {
    fn is_lost(&self) -> bool {
        self.wal_status == "lost"
    }

    fn is_in_trouble(&self) -> bool {
        self.is_lost() || !self.active && (self.retained.unwrap_or(0) >= RETAINED || self.wal_status == "unreserved")
    }

    fn label(&self) -> String {
        let what = match &self.database {
            Some(database) => format!("of database {}", human(database)),
            None => "physical".to_owned(),
        };
        let state = match self.retained {
            _ if self.is_lost() => "lost".to_owned(),
            Some(bytes) => format!("not in use, holds {}", size(bytes)),
            None => "not in use".to_owned(),
        };
        format!("slot {} ({what}; {state})", human(&self.name))
    }
}

fn slots(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut slots: Vec<Slot> = rows.parse()?;
    slots.retain(Slot::is_in_trouble);
    if slots.is_empty() {
        return Ok(Vec::new());
    }
    let lost = slots.iter().filter(|slot| slot.is_lost()).count();
    let idle = slots.len() - lost;
    let parts = [
        (lost, count(lost, "replication slot is lost", "replication slots are lost")),
        (idle, count(idle, "replication slot holds WAL for nobody", "replication slots hold WAL for nobody")),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, part)| part).collect();
    let sentence = format!("{}.", parts.join(", and "));
    let why = "A slot without a consumer keeps WAL until the disk is full; a lost one cannot be read any more. Each of them \
               takes one of max_replication_slots.";
    let words = "Find out whose slots they are. Those whose consumers are gone can be dropped with this, on the source, by a \
                 role with replication; a consumer that does come back has to begin with a new copy";
    let sql: Vec<String> = slots.iter().map(|slot| drop_slot(&slot.name)).collect();
    let finding = Finding::new("F13", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(slots.iter().map(Slot::label).collect())])
}

fn drop_slot(name: &str) -> String {
    format!("select pg_drop_replication_slot({});", literal(name))
}

const LEFTOVERS: &str = concat!(
    "
select * from (
  select 'publication' as kind, p.pubname::text as name, false as active from pg_publication p
  union all
  select 'subscription', s.subname::text, s.subenabled from pg_subscription s
   where s.subdbid = (select d.oid from pg_database d where d.datname = current_database())
  union all
  select 'slot', s.slot_name::text, s.active from pg_replication_slots s
   where s.database is null or s.database = current_database()
) found
 where name ~ ",
    ours!(),
    " order by kind collate \"C\", name collate \"C\""
);

#[derive(Deserialize)]
struct Leftover {
    #[serde(flatten)]
    object: Object,
    active: bool,
}

fn leftovers(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found: Vec<Leftover> = rows.parse()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |leftover: &Leftover| {
        let detail = leftover.active.then(|| "in use".to_owned());
        Object { detail, ..leftover.object.clone() }.label()
    };
    let sentence = format!("The source has {} of this tool.", count(found.len(), "object", "objects"));
    let why = "Either a migration of this source is running, or one was not ended. A new one would meet their names, and a slot \
               that nobody reads keeps WAL until the disk is full.";
    let sql: Vec<String> = found.iter().filter(|leftover| !leftover.active).map(remove).collect();
    let words = "If a migration is running, leave them alone. If none is, remove them on the source; an earlier migration cannot \
                 be continued afterwards";
    let fix = if sql.is_empty() { format!("{words}.") } else { fix_sql(words, &sql) };
    let finding = Finding::new("F13", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(label).collect())])
}

fn remove(leftover: &Leftover) -> String {
    let name = Ident::new(&leftover.object.name);
    match leftover.object.kind.as_deref() {
        Some("slot") => drop_slot(&leftover.object.name),
        Some("subscription") => format!("alter subscription {name} set (slot_name = none);\ndrop subscription {name};"),
        _ => format!("drop publication {name};"),
    }
}

const TOOLS: &str = "
select 'table' as kind, n.nspname::text as schema, c.relname::text as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and c.relname in ('schema_migrations', 'ar_internal_metadata', 'flyway_schema_history', 'schema_version', 'databasechangelog',
                     'alembic_version', 'django_migrations', 'knex_migrations', '_prisma_migrations', '__EFMigrationsHistory',
                     'goose_db_version', '__drizzle_migrations', '_sqlx_migrations', 'diesel_schema_migrations',
                     '__diesel_schema_migrations', 'typeorm_migrations', 'SequelizeMeta', 'mikro_orm_migrations', 'pgmigrations',
                     'doctrine_migration_versions', 'phinxlog', 'atlas_schema_revisions')
 order by n.nspname, c.relname";

fn tools(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let tables = cx.objects(rows)?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let sentence =
        format!("A tool changes this schema: there {} of its own.", if tables.len() == 1 { "is a table" } else { "are tables" });
    let why = "Definitions are not replicated. When the schema of the source changes while a migration runs, replication stops \
               at the first row that does not fit.";
    let fix = "Freeze deployments that change the schema from the beginning of the migration until after the cutover.";
    let finding = Finding::new("F23", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(tables.iter().map(Object::label).collect())])
}

#[cfg(test)]
mod tests {
    use super::super::super::Options;
    use super::super::super::facts::Known;
    use super::*;

    fn slot(name: &str, active: bool, wal_status: &str, retained: Option<i64>) -> serde_json::Value {
        serde_json::json!({"name": name, "database": "shop", "active": active, "wal_status": wal_status, "retained": retained})
    }

    #[test]
    fn only_slots_in_trouble_are_named() {
        let (known, options) = (Known::plain(), Options::check());
        let cx = Context { known: &known, options: &options };
        let rows = Rows(vec![
            slot("busy", true, "extended", Some(RETAINED * 3)),
            slot("fresh", false, "reserved", Some(RETAINED - 1)),
            slot("gone", false, "lost", None),
            slot("idle", false, "extended", Some(RETAINED * 3)),
            slot("near", false, "unreserved", Some(5)),
        ]);
        let findings = slots(&cx, Side::Source, &rows).unwrap_or_default();
        let objects: Vec<_> = findings.iter().flat_map(|finding| &finding.objects).collect();
        assert_eq!(
            objects,
            [
                "slot gone (of database shop; lost)",
                "slot idle (of database shop; not in use, holds 3.0 GB)",
                "slot near (of database shop; not in use, holds 0.0 kB)"
            ]
        );
        assert_eq!(findings[0].sentence, "1 replication slot is lost, and 2 replication slots hold WAL for nobody.");
    }
}
