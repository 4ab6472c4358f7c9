//! Constraints and indexes that are not what they seem, and foreign keys that go round in circles.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, count, fix_sql, qualified};
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
        rows("G14", "Constraints not validated", "whether all constraints hold", NOT_VALID_TEXT, NOT_VALID, not_valid),
        rows("G15", "Invalid indexes", "whether all indexes are valid", INVALID_TEXT, INVALID, invalid),
        rows("G17", "Foreign keys in circles", "whether foreign keys go round in circles", CYCLES_TEXT, EDGES, cycles),
    ]
}

const NOT_VALID_TEXT: &str = "\
A constraint that was added as not valid is checked for new and changed rows only; the rows that were there before may break \
it. Constraints of tables and of domains are looked for. Those that were declared as not enforced are left out.

They are created as not valid on the target too, and rows that break them are copied like any other. But whoever takes the \
constraint at its word is mistaken on both sides, and a row that breaks it cannot be updated any more, unless it is mended by \
that.

Validate them on the source. That reads the whole table, and blocks neither reads nor writes meanwhile. It fails, and changes \
nothing, if a row breaks the constraint; mend the row or drop the constraint then.";

const INVALID_TEXT: &str = "\
An index is invalid when its creation was broken off: create index concurrently or reindex index concurrently failed or was \
cancelled, most often because the values of a unique index were not unique. The index of a partitioned table is invalid as long \
as not every partition has its part. One that is being built at this moment is not named.

Queries do not use it, but every write still maintains it, and an invalid unique index guarantees nothing. A dump leaves it \
out, so it will not exist on the target.

Drop an index that nobody missed. If it is needed, find out why its creation failed and create it again. The index of a \
constraint, and that of a partition, cannot be dropped alone, so they are rebuilt.";

const CYCLES_TEXT: &str = "\
Foreign keys are followed from table to table. Named are groups of tables that refer to each other in a circle; a table that \
refers to itself is not counted.

There is no order in which such tables could be loaded with their foreign keys in force. A migration with this program does not \
need one, as foreign keys are created after the rows have been copied, and replication does not check them again. It matters \
for scripts that copy or delete table by table, before or after the migration.";

const NOT_VALID: &str = "
select case when con.contypid <> 0 then 'domain' else 'table' end as kind, n.nspname::text as schema,
       coalesce(c.relname, t.typname)::text as name, con.conname::text as constraint
  from pg_constraint con
  left join pg_class c on c.oid = con.conrelid
  left join pg_type t on t.oid = con.contypid
  join pg_namespace n on n.oid = coalesce(c.relnamespace, t.typnamespace)
 where not con.convalidated and con.conislocal and coalesce((to_jsonb(con) ->> 'conenforced')::bool, true)
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d
                    where d.classid = 'pg_class'::regclass and d.objid = con.conrelid and d.objsubid = 0 and d.deptype = 'e')
   and not exists (select from pg_depend d
                    where d.classid = 'pg_type'::regclass and d.objid = con.contypid and d.deptype = 'e')
 order by 1 desc, n.nspname, 3, con.conname";

#[derive(Deserialize)]
struct Constraint {
    #[serde(flatten)]
    of: Object,
    constraint: String,
}

fn not_valid(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut found: Vec<Constraint> = rows.parse()?;
    found.retain(|one| one.of.schema.as_ref().is_none_or(|schema| cx.takes(schema, &one.of.name)));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let label = |one: &Constraint| format!("constraint {} of {}", human(&one.constraint), one.of.label());
    let validate = |one: &Constraint| {
        let kind = one.of.kind.as_deref().unwrap_or("table");
        format!("alter {kind} {} validate constraint {};", one.of.sql(), Ident::new(&one.constraint))
    };
    let sentence = format!("{} not been validated.", count(found.len(), "constraint has", "constraints have"));
    let why =
        "Rows from before the constraint may break it. They are copied as they are, and it is not valid on the target either.";
    let words = "Validate them on the source, which reads each table and blocks neither reads nor writes; it fails, and changes \
                 nothing, if a row breaks the constraint";
    let sql: Vec<String> = found.iter().map(validate).collect();
    let finding = Finding::new("G14", Severity::Warning, side.name(), sentence, why);
    Ok(vec![finding.with_fix(fix_sql(words, &sql)).with_objects(found.iter().map(label).collect())])
}

const INVALID: &str = "
select n.nspname::text as schema, t.relname::text as name, c.relname::text as index, c.relkind = 'I' as partitioned,
       exists (select from pg_constraint con where con.conindid = c.oid and con.contype in ('p', 'u', 'x'))
       or c.relispartition as bound
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
 where not (i.indisvalid and i.indisready and i.indislive)
   and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
   and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype = 'e')
 order by n.nspname, t.relname, c.relname";

#[derive(Deserialize)]
struct Index {
    schema: String,
    name: String,
    index: String,
    partitioned: bool,
    /// It belongs to a constraint or to the index of a partitioned table, so that it cannot be dropped alone.
    bound: bool,
}

impl Index {
    fn label(&self) -> String {
        format!("index {} of {}", qualified(&self.schema, &self.index), human(&self.name))
    }

    fn mend(&self) -> String {
        let name = crate::pg::names::QualifiedName::new(&self.schema, &self.index);
        if self.bound { format!("reindex index {name};") } else { format!("drop index concurrently {name};") }
    }
}

fn invalid(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut found: Vec<Index> = rows.parse()?;
    found.retain(|index| cx.takes(&index.schema, &index.name));
    let (partitioned, found): (Vec<Index>, Vec<Index>) = found.into_iter().partition(|index| index.partitioned);
    let finding = |indexes: &[Index], what: &str, why: &str| {
        let sentence = format!("{} {what}.", count(indexes.len(), "index is", "indexes are"));
        let finding = Finding::new("G15", Severity::Warning, side.name(), sentence, why);
        finding.with_objects(indexes.iter().map(Index::label).collect())
    };
    let mut findings = Vec::new();
    if !found.is_empty() {
        let why = "No query uses it, every write maintains it, and a dump leaves it out: it will not exist on the target.";
        let words = "Drop what is not needed, which blocks neither reads nor writes, or find out why the creation failed and create \
                     it again; an index of a constraint or partition can only be rebuilt, which blocks writes to its table meanwhile";
        let sql: Vec<String> = found.iter().map(Index::mend).collect();
        findings.push(finding(&found, "not valid", why).with_fix(fix_sql(words, &sql)));
    }
    if !partitioned.is_empty() {
        let why = "As long as a partition has no part of the index, the index is not valid, and a unique one guarantees nothing. On \
                   the target it is like on the source.";
        let words = "Create the index on each partition that lacks it (create index concurrently …), then attach each to the index \
                     (alter index … attach partition …).";
        findings.push(finding(&partitioned, "missing on some partitions", why).with_fix(words));
    }
    Ok(findings)
}

const EDGES: &str = "
select con.conrelid::int8 as from_oid, con.confrelid::int8 as to_oid,
       fn.nspname::text as from_schema, f.relname::text as from_name, tn.nspname::text as to_schema, t.relname::text as to_name
  from pg_constraint con
  join pg_class f on f.oid = con.conrelid
  join pg_namespace fn on fn.oid = f.relnamespace
  join pg_class t on t.oid = con.confrelid
  join pg_namespace tn on tn.oid = t.relnamespace
 where con.contype = 'f' and con.conparentid = 0 and con.conrelid <> con.confrelid
 order by fn.nspname, f.relname, tn.nspname, t.relname, con.conname";

#[derive(Deserialize)]
struct Edge {
    from_oid: i64,
    to_oid: i64,
    from_schema: String,
    from_name: String,
    to_schema: String,
    to_name: String,
}

fn cycles(cx: &Context<'_>, side: Side, rows: &Rows) -> Evaluated {
    let mut edges: Vec<Edge> = rows.parse()?;
    edges.retain(|edge| cx.takes(&edge.from_schema, &edge.from_name) && cx.takes(&edge.to_schema, &edge.to_name));
    let names: BTreeMap<i64, String> =
        edges.iter().map(|edge| (edge.from_oid, qualified(&edge.from_schema, &edge.from_name))).collect();
    let pairs: Vec<(i64, i64)> = edges.iter().map(|edge| (edge.from_oid, edge.to_oid)).collect();
    // Whatever is in a circle refers to something, so it has a name here.
    let label = |circle: Vec<i64>| circle.iter().filter_map(|oid| names.get(oid)).cloned().collect::<Vec<_>>();
    let mut circles: Vec<Vec<String>> = circles(&pairs).into_iter().map(label).collect();
    circles.iter_mut().for_each(|circle| circle.sort());
    circles.sort();
    if circles.is_empty() {
        return Ok(Vec::new());
    }
    let sentence = format!("{} by foreign keys.", count(circles.len(), "circle of tables is tied", "circles of tables are tied"));
    let why = "There is no order in which they could be loaded with their foreign keys in force. The migration does not need one, as \
               it creates foreign keys after the rows.";
    let objects = circles.iter().map(|circle| format!("tables {}", circle.join(", "))).collect();
    Ok(vec![Finding::new("G17", Severity::Note, side.name(), sentence, why).with_objects(objects)])
}

/// The groups of two and more nodes in which every node can be reached from every other, in linear time (but for the look-ups), and
/// without recursion, as chains may be long.
///
/// Kosaraju's way: nodes are taken in the reverse of the order in which a search along the edges leaves them. What then can be
/// reached against the edges, and was not taken before, is one group: a node from which the first one can be reached, and which was
/// left earlier, can be reached from it too.
fn circles(edges: &[(i64, i64)]) -> Vec<Vec<i64>> {
    let (mut along, mut against) = (Graph::new(), Graph::new());
    for &(from, to) in edges {
        along.entry(from).or_default().push(to);
        along.entry(to).or_default();
        against.entry(to).or_default().push(from);
    }
    let mut left = Vec::with_capacity(along.len());
    let mut seen = BTreeSet::new();
    for &node in along.keys() {
        left.extend(search(&along, node, &mut seen));
    }
    seen.clear();
    let groups = left.iter().rev().map(|&node| search(&against, node, &mut seen));
    groups.filter(|group| group.len() > 1).collect()
}

type Graph = BTreeMap<i64, Vec<i64>>;

/// What can be reached from a node and was not seen before, in the order in which a depth-first search leaves it.
fn search(graph: &Graph, start: i64, seen: &mut BTreeSet<i64>) -> Vec<i64> {
    let mut left = Vec::new();
    if !seen.insert(start) {
        return left;
    }
    let next = |node: i64| graph.get(&node).into_iter().flatten();
    let mut path = vec![(start, next(start))];
    while let Some((node, rest)) = path.last_mut() {
        match rest.next() {
            Some(&to) if seen.insert(to) => path.push((to, next(to))),
            Some(_) => {}
            None => {
                left.push(*node);
                path.pop();
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(edges: &[(i64, i64)]) -> Vec<Vec<i64>> {
        let mut found = circles(edges);
        found.iter_mut().for_each(|group| group.sort_unstable());
        found.sort();
        found
    }

    #[test]
    fn circles_are_found_and_what_hangs_on_them_is_not() {
        assert!(sorted(&[(1, 2), (2, 3), (1, 3), (4, 4)]).is_empty());
        let two = [(1, 2), (2, 1), (2, 3), (3, 4), (4, 5), (5, 3), (5, 6), (0, 1)];
        assert_eq!(sorted(&two), [vec![1, 2], vec![3, 4, 5]]);
        let eight = [(1, 2), (2, 1), (2, 3), (3, 2), (2, 1)];
        assert_eq!(sorted(&eight), [[1, 2, 3]]);
    }

    #[test]
    fn long_chains_and_rings_do_not_exhaust_the_stack() {
        let n = 200_000;
        let mut chain: Vec<(i64, i64)> = (0..n).map(|node| (node, node + 1)).collect();
        assert!(circles(&chain).is_empty());
        chain.push((n, 0));
        assert_eq!(circles(&chain).iter().map(Vec::len).collect::<Vec<_>>(), [n as usize + 1]);
    }
}
