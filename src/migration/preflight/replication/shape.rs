//! Shapes of tables and what hangs on them: generated columns, free sequences, trees, triggers, rules, deferrable constraints.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
use super::{Column, taken};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, human};

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
        rows("F7", "Generated columns", "whether there are generated columns", GENERATED_TEXT, GENERATED, generated),
        rows("F8", "Sequences of no column", "which sequences belong to no column", SEQUENCES_TEXT, SEQUENCES, sequences),
        rows("F11", "Partitioned tables", "which tables are partitioned", PARTITIONS_TEXT, PARTITIONS, partitions),
        rows("F12", "Inheritance", "which tables inherit", INHERITANCE_TEXT, INHERITANCE, inheritance),
        rows("F16", "Triggers, rules and deferred constraints", "what would act on replicated rows", ACTING_TEXT, ACTING, acting),
    ]
}

const GENERATED_TEXT: &str = "\
Generated columns are computed by the target again and not carried over; logical replication can send the stored ones only \
from Postgres 18 on, and the virtual ones never. The result is the same as long as the expression and the functions in it are \
the same on both sides. A stored column that was computed by an older version of a function has other values after the move. A \
subscription to a table in which the same column is an ordinary one leaves that column empty.

Columns that are identities with generated always are named as well. Their values arrive as they are, but whoever loads rows \
by hand needs insert … overriding system value.

Whether a generated column is part of a replica identity, which is where it does harm, is looked at in F2.";

const SEQUENCES_TEXT: &str = "\
A sequence that belongs to no column is one that was made by itself, with create sequence. Sequences are not replicated, so \
their values are set at the cutover. A script that sets each sequence to the greatest value of its column, as many guides \
advise, misses those that have none, and numbers are then given out twice.

This tool carries the values of all sequences. There is something to do only if you set them by other means.";

const PARTITIONS_TEXT: &str = "\
The rows of a partitioned table are in its partitions. A publication sends changes by default as changes of the partition, so \
the target has to have the same partitions; with publish_via_partition_root it sends them as changes of the parent, and the \
target may be divided otherwise or not at all; the parent then has to have a replica identity as well, or a subscription stops \
at the first update.

Definitions are not replicated. A partition that is attached, detached or made while a migration runs, as pg_partman and many \
cron jobs do, is missing on the target, and a subscription stops at the first row for it. Make the partitions for the time of \
the migration beforehand, on both sides, and pause the job that makes and removes them.";

const INHERITANCE_TEXT: &str = "\
With plain inheritance a query of the parent gives the children's rows, too. So the parent is copied with only, and its \
children by themselves; otherwise rows would arrive twice. A publication of the parent takes the children in unless it is made \
with only.

Tools that compare counts have to count with only as well. Nothing has to be done where this tool does the work.";

const ACTING_TEXT: &str = "\
Where a native subscription writes replicated rows, ordinary triggers, foreign keys and rules keep still. Triggers that are \
enabled as always or replica do fire, and do a second time what they did on the source already, whose result is replicated as \
well. Where rows are written without the right to set session_replication_role, as at Neon, rules act as well, and a unique or \
exclusion constraint that is deferrable, but initially immediate, is checked after each row, so that a transaction that swaps \
values fails.

Triggers that are enabled as always are made ordinary by the fix: they then fire for applications only. On a source that \
receives replicated rows itself somebody chose otherwise for a reason; disable the trigger on the target instead, until the \
cutover. Rules are better replaced by triggers.";

const GENERATED: &str = "
select n.nspname::text as schema, c.relname::text as name, a.attname::text as column,
       case when a.attidentity = 'a' then 'identity, always' when a.attgenerated = 'v' then 'virtual' else 'stored' end as detail
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and (a.attgenerated <> '' or a.attidentity = 'a') and a.attnum > 0
   and not a.attisdropped and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname, a.attnum";

fn generated(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let columns = taken(cx, rows, Column::table)?;
    let of = |detail: &str| columns.iter().filter(|column| column.table.detail.as_deref() == Some(detail)).count();
    let (stored, virtual_, always) = (of("stored"), of("virtual"), of("identity, always"));
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let parts = [
        (stored + virtual_, count(stored + virtual_, "column is generated", "columns are generated")),
        (always, count(always, "column is an identity with generated always", "columns are identities with generated always")),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, part)| part).collect();
    let sentence = format!("{}.", parts.join(", and "));
    let why = "The target computes generated columns again, with its own functions; they are not replicated. Values of identities \
               arrive as they are.";
    let fix = "Nothing, if the functions in the expressions are the same on both sides. Whoever loads rows by hand leaves \
               generated columns out, and writes insert … overriding system value for identities.";
    let severity = if stored + virtual_ > 0 { cx.live(Severity::Warning) } else { Severity::Note };
    let finding = Finding::new("F7", severity, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(columns.iter().map(Column::label).collect())])
}

/// Sequences of identity columns and those of `serial` or `owned by` depend on a column.
const SEQUENCES: &str = "
select 'sequence' as kind, n.nspname::text as schema, c.relname::text as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
                    and (d.deptype = 'e' or d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')))
 order by n.nspname, c.relname";

fn sequences(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = cx.objects(rows)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} to no column.", count(found.len(), "sequence belongs", "sequences belong"));
    let why = "Sequences are not replicated. Scripts that set them by the greatest value of their column miss these.";
    let fix =
        "Nothing, if this tool carries the values. Otherwise copy last_value and is_called of each at the cutover, with setval.";
    let finding = Finding::new("F8", Severity::Note, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(Object::label).collect())])
}

const PARTITIONS: &str = "
select 'table' as kind, n.nspname::text as schema, c.relname::text as name, count(i.inhrelid) as children
  from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_inherits i on i.inhparent = c.oid
 where c.relkind = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 group by n.nspname, c.relname
 order by n.nspname, c.relname";

#[derive(Deserialize)]
struct Parent {
    #[serde(flatten)]
    object: Object,
    children: usize,
}

fn partitions(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let parents = taken(cx, rows, |parent: &Parent| &parent.object)?;
    if parents.is_empty() {
        return Ok(Vec::new());
    }
    let label = |parent: &Parent| {
        Object { detail: Some(count(parent.children, "partition", "partitions")), ..parent.object.clone() }.label()
    };
    let sentence = format!("{} partitioned.", count(parents.len(), "table is", "tables are"));
    let why = "Definitions are not replicated: a partition that is made, attached or detached while the migration runs is not on \
               the target, and replication stops at the first row for it.";
    let fix = "Make the partitions for the time of the migration beforehand, and pause the job that makes and removes them until \
               after the cutover.";
    let finding = Finding::new("F11", Severity::Note, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(parents.iter().map(label).collect())])
}

const INHERITANCE: &str = "
select 'table' as kind, n.nspname::text as schema, c.relname::text as name,
       pn.nspname::text as parent_schema, p.relname::text as parent
  from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
  join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
 where p.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname, c.relname, i.inhseqno";

#[derive(Deserialize)]
struct Child {
    #[serde(flatten)]
    object: Object,
    parent_schema: String,
    parent: String,
}

fn inheritance(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let children = taken(cx, rows, |child: &Child| &child.object)?;
    if children.is_empty() {
        return Ok(Vec::new());
    }
    // With its parent's name quoted for people already, so not as an object's detail.
    let label = |child: &Child| format!("{} (of {})", child.object.label(), qualified(&child.parent_schema, &child.parent));
    let tables: std::collections::BTreeSet<_> = children.iter().map(|child| (&child.object.schema, &child.object.name)).collect();
    let sentence = format!("{} from an ordinary table.", count(tables.len(), "table inherits", "tables inherit"));
    let why = "A query of the parent gives the children's rows as well, so whoever copies or counts has to use only, or rows are \
               taken twice.";
    let fix = "Nothing, if this tool does the work. In scripts of your own write select … from only, and for table only in \
               publications where the children are named as well.";
    let finding = Finding::new("F12", Severity::Warning, Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(children.iter().map(label).collect())])
}

/// Triggers of partitions that their parent's trigger made are named with the parent only; `tgparentid` is there from 13 on. A deferrable
/// primary key is F2.
const ACTING: &str = "
with acting as (
  select case when t.tgenabled = 'A' then 'always trigger' else 'replica trigger' end as kind, t.tgrelid as relation, t.tgname as name
    from pg_trigger t where not t.tgisinternal and t.tgenabled in ('A', 'R') and t.tgparentid = 0
  union all
  select 'rule', r.ev_class, r.rulename from pg_rewrite r where r.rulename <> '_RETURN' and r.ev_enabled <> 'D'
  union all
  select 'constraint', k.conrelid, k.conname from pg_constraint k
   where k.contype in ('u', 'x') and k.condeferrable and not k.condeferred and k.conparentid = 0
)
select a.kind as what, a.name::text as item, 'table' as kind, n.nspname::text as schema, c.relname::text as name
  from acting a join pg_class c on c.oid = a.relation join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by what, n.nspname, c.relname, a.name";

#[derive(Deserialize)]
struct Acting {
    what: String,
    item: String,
    #[serde(flatten)]
    object: Object,
}

fn acting(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let found = taken(cx, rows, |acting: &Acting| &acting.object)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |acting: &Acting| {
        let schema = acting.object.schema.as_deref().unwrap_or_default();
        format!("{} {} of {}", acting.what, human(&acting.item), qualified(schema, &acting.object.name))
    };
    let triggers = found.iter().filter(|acting| acting.what.ends_with("trigger")).count();
    let rules = found.iter().filter(|acting| acting.what == "rule").count();
    let constraints = found.len() - triggers - rules;
    let parts = [
        (triggers, count(triggers, "trigger", "triggers")),
        (rules, count(rules, "rule", "rules")),
        (constraints, count(constraints, "deferrable unique constraint", "deferrable unique constraints")),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, part)| part).collect();
    let sentence = format!("Replicated rows would meet {}.", parts.join(", "));
    let why = "Triggers enabled as always or replica fire on the target again, rules rewrite what is written there by \
               statements, and a deferrable constraint may be broken there between two rows of one transaction.";
    let mut words = "Disable the triggers and rules on the target until the cutover (alter table … disable trigger …), and add \
                     the deferrable constraints there only then, or as initially deferred. "
        .to_owned();
    let always = found.iter().filter(|acting| acting.what == "always trigger");
    let sql: Vec<String> =
        always.map(|acting| format!("alter table {} enable trigger {};", acting.object.sql(), Ident::new(&acting.item))).collect();
    let fix = if sql.is_empty() {
        words.trim_end().to_owned()
    } else {
        words += "Triggers enabled as always need to be so only if the source receives replicated rows itself; if it does not, \
                  execute this on the source as the owner of the tables, which holds each table's lock for a moment";
        fix_sql(&words, &sql)
    };
    let finding = Finding::new("F16", cx.live(Severity::Warning), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(found.iter().map(label).collect())])
}
