//! How updates and deletes name the row that they are about: the replica identity.
//!
//! Postgres decides at each update and delete of a published table whether it has an identity, and refuses the statement if not
//! (`CheckCmdReplicaIdentity` in its executor). What counts is the table that holds the row, so a partition and not its parent. An
//! identity is the whole row (`full`); or the primary key (`default`) or the index chosen (`using index`), if that index is there,
//! valid and not deferrable. From 18 on an identity with a generated column that is not published is refused like none; before, such a
//! column is not sent, and the target cannot find the row.

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql};
use super::taken;
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::{Ident, QualifiedName, human};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check {
            code: "F1",
            title: "Replica identity",
            about: "whether every table has a replica identity",
            grant: CATALOGS,
            explain: NO_IDENTITY,
            look: Look::Rows { side: Side::Source, query: IDENTITY, evaluate: none },
        },
        Check {
            code: "F2",
            title: "Replica identities that do not work",
            about: "whether the replica identities can be used",
            grant: CATALOGS,
            explain: UNUSABLE,
            look: Look::Rows { side: Side::Source, query: IDENTITY, evaluate: unusable },
        },
        Check {
            code: "F3",
            title: "Whole rows that cannot be compared",
            about: "whether rows without a key can be compared",
            grant: CATALOGS,
            explain: INCOMPARABLE,
            look: Look::Rows { side: Side::Source, query: FULL_WITHOUT_EQUALITY, evaluate: incomparable },
        },
    ]
}

const NO_IDENTITY: &str = "\
An update or a delete that is replicated has to say which row it is about. Postgres takes the primary key for that, or a \
unique index chosen with replica identity using index, or the whole old row with replica identity full. A table with none of \
them is reported, with the updates and deletes that were counted since its statistics began. The rows of a partitioned table \
are in its partitions, so each partition is looked at by itself, and a new one has to be given its identity when it is made, \
unless the parent has a primary key. Views, temporary and unlogged tables are not replicated and do not count.

This is the finding that matters most for a source that is in use. As soon as such a table is in a publication that publishes \
updates and deletes, the source itself refuses them with \"cannot update table … because it does not have a replica identity \
and publishes updates\". The application fails at once, and not the replication.

The best identity is a primary key. If there is a unique index on columns that are all not null, neither partial nor on \
expressions nor deferrable, the fix chooses it. Otherwise the fix makes the whole row the identity. That needs no index, but \
it has a price: the old row is written into the WAL with each update and delete, and the target has to look for it in the \
whole table, which takes long in a large one. Some types cannot be compared at all (F3). Tables into which rows are only ever \
inserted can stay as they are if they are in a publication of their own, made with (publish = 'insert').";

const UNUSABLE: &str = "\
The table has a replica identity, but Postgres does not accept it. A primary key that is deferrable is none, because two rows \
may have the same key until the transaction ends. An index that is not valid is none, because rows may be missing from it. A \
key with a generated column is none either, because generated columns are usually not published. From Postgres 18 on, a table \
whose identity is the whole row must not have virtual generated columns, and stored ones only if the publication is made with \
(publish_generated_columns = stored).

Once such a table is published, the source refuses updates and deletes of it, as it does with no identity at all (F1), or, \
with generated columns before Postgres 18, the target cannot find the row.

The fix chooses another unique index where there is one, and makes one on the same columns for a deferrable key. An index that \
is not valid is built again; that fails if there are duplicates, which have to be removed first.";

const INCOMPARABLE: &str = "\
The identity of these tables is the whole row, they have no primary key, and they have columns of a type for which there is no \
equality: json, xml, point, box, line, path, polygon, circle, jsonpath and others, or an array, a domain or a composite type \
made of them.

A native subscription finds the row by comparing every column, and stops with \"could not identify an equality operator for \
type …\" at the first update or delete. It then tries again and again, and nothing else arrives.

Give the table a primary key, or choose a unique index as its identity. Changing json to jsonb helps as well, but rewrites the \
table.";

/// Types without equality, as Postgres decides it (`lookup_type_cache`): a base type needs a default operator class for btree or hash,
/// its own or that of a type that it is binary coercible to; an array, a domain or a composite is as good as its parts. Enums and ranges
/// always can. The row type of a table counts only where it is used; types of the server's own have no oid from 16384 on.
macro_rules! with_unequal {
    () => {
        "
with recursive used(oid) as materialized (
  select distinct u.atttypid from pg_attribute u where u.atttypid >= 16384 and u.attnum > 0
), parts(part, whole) as materialized (
  select t.typbasetype, t.oid from pg_type t where t.typtype = 'd'
  union all
  select t.typelem, t.oid from pg_type t where t.typsubscript = 'array_subscript_handler'::regproc
  union all
  select a.atttypid, c.reltype from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.reltype <> 0
     and (c.relkind = 'c' or c.reltype in (select oid from used
                                           union select e.typelem from used u join pg_type e on e.oid = u.oid
                                           union select d.typbasetype from pg_type d))
), comparable(oid) as (
  select o.opcintype from pg_opclass o join pg_am m on m.oid = o.opcmethod where m.amname in ('btree', 'hash') and o.opcdefault
), unequal(oid) as (
  select t.oid from pg_type t
   where t.typtype = 'b' and t.typsubscript <> 'array_subscript_handler'::regproc
     and t.oid not in (select oid from comparable)
     and t.oid not in (select k.castsource from pg_cast k join comparable o on o.oid = k.casttarget
                        where k.castmethod = 'b' and k.castcontext = 'i')
  union
  select p.whole from unequal u join parts p on p.part = u.oid
)"
    };
}

/// Columns of a table `c` that cannot be compared, for people.
macro_rules! unequal_columns {
    () => {
        "(select array_agg(format('%s %s', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)) order by a.attnum)
            from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
             and a.atttypid in (select u.oid from unequal u))"
    };
}

/// The best index for `replica identity using index` of a table `c`: the primary key, or the one with the fewest columns. Columns that
/// an index only includes do not count. `attnotnull` is true for a constraint that was not validated, too (18).
macro_rules! candidate {
    () => {
        "(select x.relname::text as candidate, i.indisprimary as candidate_is_key
            from pg_index i join pg_class x on x.oid = i.indexrelid
           where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indislive
             and i.indpred is null and i.indexprs is null
             and not exists (
               select from unnest(i.indkey::int2[]) with ordinality k(num, place)
                 left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num
                where k.place <= i.indnkeyatts
                  and (a.attnum is null or a.attnum <= 0 or not a.attnotnull or a.attgenerated <> ''
                       or exists (select from pg_constraint n where n.conrelid = i.indrelid and n.contype = 'n'
                                   and n.conkey[1] = k.num and not n.convalidated)))
           order by i.indisprimary desc, i.indnkeyatts, x.relname
           limit 1)"
    };
}

/// Tables whose updates and deletes would be refused, or could not be followed, once they are published.
const IDENTITY: &str = concat!(
    with_unequal!(),
    ", generated as (
  select a.attrelid, array_agg(a.attnum) as numbers, bool_or(a.attgenerated = 'v') as has_virtual
    from pg_attribute a where a.attgenerated <> '' and not a.attisdropped group by a.attrelid
), tables as (
  select c.oid, n.nspname, c.relname, k.indexrelid, k.indkey::int2[] as keys, k.indnkeyatts,
         coalesce(g.has_virtual, false) as has_virtual, g.attrelid is not null as has_generated,
         case when c.relreplident = 'f' then
                case when g.attrelid is not null and to_number(current_setting('server_version_num'), '9999999999')::int4 >= 180000 then 'whole' end
              when k.indexrelid is null then 'none'
              when not k.indimmediate then 'deferrable'
              when not k.indisvalid then 'invalid'
              when g.numbers && (k.indkey::int2[])[0:k.indnkeyatts - 1] then 'generated' end as problem
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_index k on k.indrelid = c.oid and k.indislive
                        and case c.relreplident when 'd' then k.indisprimary when 'i' then k.indisreplident else false end
    left join generated g on g.attrelid = c.oid
   where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
)
select 'table' as kind, c.nspname::text as schema, c.relname::text as name, c.problem, c.oid::int8 as oid,
       c.has_virtual, c.has_generated, to_number(current_setting('server_version_num'), '9999999999')::int4 >= 180000 as strict,
       pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) as changes, b.candidate, b.candidate_is_key,
       (select x.relname::text from pg_class x where x.oid = c.indexrelid) as index,
       (select array_agg(a.attname::text order by k.place)
          from unnest(c.keys) with ordinality k(num, place) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.num
         where k.place <= c.indnkeyatts) as columns,
       ",
    unequal_columns!(),
    " as unequal
  from tables c left join lateral ",
    candidate!(),
    " b on true
 where c.problem is not null
 order by c.nspname, c.relname"
);

/// With a primary key on the target the row is found by it, and nothing is compared.
const FULL_WITHOUT_EQUALITY: &str = concat!(
    with_unequal!(),
    ", tables as (
  select c.oid, n.nspname, c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and c.relpersistence = 'p' and c.relreplident = 'f' and n.nspname !~ '^pg_'
     and n.nspname <> 'information_schema'
     and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     and c.oid not in (select i.indrelid from pg_index i where i.indisprimary and i.indisvalid and i.indimmediate)
)
select * from (
  select 'table' as kind, c.nspname::text as schema, c.relname::text as name, b.candidate, b.candidate_is_key, ",
    unequal_columns!(),
    " as unequal
    from tables c left join lateral ",
    candidate!(),
    " b on true
) found
 where unequal is not null
 order by schema collate \"C\", name collate \"C\""
);

/// A row of [`IDENTITY`].
#[derive(Debug, Deserialize)]
struct Table {
    #[serde(flatten)]
    object: Object,
    problem: String,
    oid: i64,
    /// The server refuses identities with generated columns that are not published.
    strict: bool,
    has_virtual: bool,
    has_generated: bool,
    changes: i64,
    candidate: Option<String>,
    candidate_is_key: Option<bool>,
    index: Option<String>,
    columns: Option<Vec<String>>,
    unequal: Option<Vec<String>>,
}

/// What can be done about a table.
enum Mend {
    /// A statement that takes its time, but lets others work; and one that holds the table's lock for a moment, if there is one.
    Build(String, Option<String>),
    /// A statement that chooses a key, with the table's lock for a moment.
    Key(String),
    /// A statement that makes the whole row the identity.
    Whole(String),
    /// Nothing that is a statement.
    Words,
}

impl Table {
    fn object(&self) -> &Object {
        &self.object
    }

    fn label(&self) -> String {
        let problem = match (self.problem.as_str(), &self.index) {
            ("deferrable", Some(index)) => format!("{} is deferrable; ", human(index)),
            ("invalid", Some(index)) => format!("{} is not valid; ", human(index)),
            ("generated", Some(index)) => format!("{} has a generated column; ", human(index)),
            ("whole", _) if self.has_virtual => "the whole row, with virtual generated columns; ".to_owned(),
            ("whole", _) => "the whole row, with stored generated columns; ".to_owned(),
            _ => String::new(),
        };
        let changes = match self.changes {
            0 => "no update or delete counted".to_owned(),
            n => format!("{} counted", count(usize::try_from(n).unwrap_or(0), "update or delete", "updates and deletes")),
        };
        Object { detail: Some(format!("{problem}{changes}")), ..self.object.clone() }.label()
    }

    fn mend(&self) -> Mend {
        let table = self.object.sql();
        if let ("invalid", Some(index)) = (self.problem.as_str(), &self.index) {
            let index = QualifiedName::new(self.object.schema.as_deref().unwrap_or_default(), index);
            return Mend::Build(format!("reindex index concurrently {index};"), None);
        }
        if let Some(statement) = choose(&self.object, self.candidate.as_deref(), self.candidate_is_key) {
            return Mend::Key(statement);
        }
        if let ("deferrable", Some(columns)) = (self.problem.as_str(), &self.columns)
            && !(self.strict && self.has_generated)
        {
            let index = Ident::new(format!("neon_migrate_identity_{}", self.oid));
            let columns: Vec<String> = columns.iter().map(|column| Ident::new(column).to_string()).collect();
            return Mend::Build(
                format!("create unique index concurrently {index} on {table} ({});", columns.join(", ")),
                Some(format!("alter table {table} replica identity using index {index};")),
            );
        }
        if self.strict && self.has_generated {
            return Mend::Words;
        }
        Mend::Whole(format!("alter table {table} replica identity full;"))
    }
}

/// The statement that makes a key the identity, if there is one.
fn choose(table: &Object, candidate: Option<&str>, is_key: Option<bool>) -> Option<String> {
    let table = table.sql();
    match (candidate, is_key) {
        (Some(_), Some(true)) => Some(format!("alter table {table} replica identity default;")),
        (Some(index), _) => Some(format!("alter table {table} replica identity using index {};", Ident::new(index))),
        _ => None,
    }
}

fn none(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut tables = taken(cx, rows, Table::object)?;
    tables.retain(|table| table.problem == "none");
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let have = if tables.len() == 1 { "has" } else { "have" };
    let sentence = format!("{} {have} no replica identity.", count(tables.len(), "table", "tables"));
    let why = "Once such a table is published, the source itself refuses every update and delete of it, so that the application \
               that uses it fails.";
    let finding = Finding::new("F1", cx.live(Severity::Blocker), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix(&tables)).with_objects(tables.iter().map(Table::label).collect())])
}

fn unusable(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let mut tables = taken(cx, rows, Table::object)?;
    tables.retain(|table| table.problem != "none");
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let have = if tables.len() == 1 { "has a replica identity" } else { "have replica identities" };
    let sentence = format!("{} {have} that Postgres does not accept.", count(tables.len(), "table", "tables"));
    let why = "Once such a table is published, the source itself refuses every update and delete of it, or the target cannot \
               find the rows that they are about.";
    let finding = Finding::new("F2", cx.live(Severity::Blocker), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix(&tables)).with_objects(tables.iter().map(Table::label).collect())])
}

/// Words for what the statements cost, and the statements: what takes long first, because a time limit on locks would end it.
fn fix(tables: &[Table]) -> String {
    let (mut builds, mut moments, mut in_words) = (Vec::new(), Vec::new(), 0);
    let (mut whole, mut whole_unequal) = (0, 0);
    for table in tables {
        match table.mend() {
            Mend::Build(build, then) => {
                builds.push(build);
                moments.extend(then);
            }
            Mend::Key(statement) => moments.push(statement),
            Mend::Whole(statement) => {
                moments.push(statement);
                whole += 1;
                whole_unequal += usize::from(table.unequal.is_some());
            }
            Mend::Words => in_words += 1,
        }
    }
    let mut words = String::new();
    if in_words > 0 {
        words += &format!(
            "For {} with generated columns Postgres 18 does not take the whole row: give each a primary key, or leave it out; \
             where the generated columns are stored, a publication with (publish_generated_columns = stored) will do. ",
            count(in_words, "table", "tables")
        );
    }
    if whole > 0 {
        words += &format!(
            "A primary key is best. For {} without any unique index that would do, the statement makes the whole row the identity: \
             each update and delete then writes the old row into the WAL as well, and the target searches the whole table for it, \
             which is slow in a large one. ",
            count(whole, "table", "tables")
        );
    }
    if whole_unequal > 0 {
        words += &format!(
            "A native subscription cannot compare the rows of {} of them, which have columns without equality (F3): these need a \
             key. ",
            whole_unequal
        );
    }
    if tables.iter().any(|table| table.changes == 0) {
        words +=
            "Tables into which rows are only ever inserted can also stay as they are, in a publication with (publish = 'insert'). ";
    }
    if !builds.is_empty() {
        words += "Building an index concurrently lets others read and write, but takes time and space, and cannot be done in a \
                  transaction. ";
    }
    let statements = in_moments(builds, moments);
    if statements.is_empty() {
        return words.trim_end().to_owned();
    }
    fix_sql(&format!("{words}Execute this on the source as the owner of the tables"), &statements)
}

/// Statements that need a table's lock for a moment, behind a limit on how long they wait for it: whoever comes after a waiting
/// `alter table` waits, too.
fn in_moments(mut first: Vec<String>, moments: Vec<String>) -> Vec<String> {
    if !moments.is_empty() {
        first.push("set lock_timeout to '3s';".to_owned());
        first.extend(moments);
    }
    first
}

/// A row of [`FULL_WITHOUT_EQUALITY`].
#[derive(Debug, Deserialize)]
struct Incomparable {
    #[serde(flatten)]
    object: Object,
    unequal: Vec<String>,
    candidate: Option<String>,
    candidate_is_key: Option<bool>,
}

fn incomparable(cx: &Context<'_>, _: Side, rows: &Rows) -> Evaluated {
    let tables = taken(cx, rows, |table: &Incomparable| &table.object)?;
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let of = |table: &Incomparable| Object { detail: Some(table.unequal.join(", ")), ..table.object.clone() }.label();
    let objects = tables.iter().map(of).collect();
    let chosen = |table: &Incomparable| choose(&table.object, table.candidate.as_deref(), table.candidate_is_key);
    let statements: Vec<String> = tables.iter().filter_map(chosen).collect();
    let keyless = tables.len() - statements.len();
    let sentence = format!(
        "{} told apart only by the whole row, which has columns without equality.",
        count(tables.len(), "table is", "tables are")
    );
    let why = "A native subscription stops at the first update or delete of such a table (\"could not identify an equality \
               operator\"), and tries it again without end.";
    let mut words = String::new();
    if keyless > 0 {
        words += &format!(
            "Give {} a primary key, change the columns to a type with equality (json to jsonb rewrites the table), or leave the \
             tables out with --exclude. ",
            if keyless == tables.len() { "each table".to_owned() } else { count(keyless, "table", "tables") }
        );
    }
    let fix = if statements.is_empty() {
        words.trim_end().to_owned()
    } else {
        let words =
            format!("{words}Where there is a unique index that will do, choose it, as the owner of the tables on the source");
        fix_sql(&words, &in_moments(Vec::new(), statements))
    };
    let finding = Finding::new("F3", cx.live(Severity::Blocker), Side::Source.name(), sentence, why);
    Ok(vec![finding.with_fix(fix).with_objects(objects)])
}
