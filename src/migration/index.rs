//! What is built on a table once its rows are there, and how.
//!
//! pg_restore adds a primary key with `alter table … add constraint`, which locks the table against every other build on it. Here its index is built like any
//! other (`create unique index`, several at once on one table), and the constraint is attached with `using index` when all indexes of the table are
//! there. Attaching needs the table for itself for a moment; doing it earlier would make it wait behind the longest build, and every other build behind it.

use std::collections::HashMap;

use super::schema::filter::class;
use super::schema::script::Entry;
use crate::pg::catalog::{Index, Table};
use crate::pg::types::{Oid, ServerVersion};

/// An index to be built, and the constraint to be attached afterwards.
#[derive(Debug, Clone)]
pub struct Build {
    /// The archive's entry. Its statements build the index and attach the constraint in one go.
    pub entry: Entry,
    /// Its name, for people.
    pub name: String,
    /// The table that it is on.
    pub table: Oid,
    /// The statements that build it.
    pub create: String,
    /// The statements that make a constraint of it.
    pub attach: Option<String>,
    /// Its access method.
    pub access_method: String,
    /// How long it takes compared with others: bytes of the index on the source, weighted by access method.
    pub cost: u64,
}

impl Build {
    /// The ledger's milestone for an index that was built and whose constraint is not yet attached.
    pub fn mark(&self) -> String {
        format!("built {}", self.entry.dump_id)
    }
}

/// Takes the entries that are builds on the given tables out of the post-data entries.
pub fn builds(entries: &[&Entry], indexes: &[Index], tables: &[Table]) -> Vec<Build> {
    // The indexes of a partitioned table and of its partitions are left to their entries' own statements.
    let tables: HashMap<Oid, &Table> = tables.iter().filter(|t| !t.is_root).map(|t| (t.oid, t)).collect();
    let by_index: HashMap<Oid, &Index> = indexes.iter().map(|i| (i.oid, i)).collect();
    let by_constraint: HashMap<Oid, &Index> = indexes.iter().filter_map(|i| Some((i.constraint.as_ref()?.oid, i))).collect();
    let build = |entry: &&Entry| {
        let index = match (entry.kind.as_str(), entry.class) {
            ("INDEX", class::RELATION) => by_index.get(&entry.oid)?,
            ("CONSTRAINT", class::CONSTRAINT) => by_constraint.get(&entry.oid)?,
            _ => return None,
        };
        let table = tables.get(&index.table)?;
        let (create, attach) = statements(entry, index, table);
        Some(Build {
            entry: (*entry).clone(),
            name: index.name.human(),
            table: index.table,
            create,
            attach,
            access_method: index.access_method.clone(),
            cost: index.bytes.saturating_mul(weight(&index.access_method)) / 4,
        })
    };
    entries.iter().filter_map(build).collect()
}

/// How long a byte of an index takes to build, in quarters of a B-tree's. Measured for GIN; the others are of the same order.
fn weight(access_method: &str) -> u64 {
    match access_method {
        "gin" => 40,
        "gist" | "spgist" => 20,
        "hash" => 6,
        "brin" => 1,
        _ => 4,
    }
}

fn statements(entry: &Entry, index: &Index, table: &Table) -> (String, Option<String>) {
    let Some(constraint) = &index.constraint else { return (entry.sql.clone(), None) };
    // Exclusion constraints, `without overlaps` among them, cannot be made from an index.
    let kind = match constraint.kind.as_str() {
        "p" => "primary key",
        "u" => "unique",
        _ => return (entry.sql.clone(), None),
    };
    if constraint.is_temporal {
        return (entry.sql.clone(), None);
    }
    let mut attach =
        format!("alter table only {} add constraint {} {kind} using index {}", table.name, constraint.name, index.name.name);
    if constraint.is_deferrable {
        attach.push_str(" deferrable");
    }
    if constraint.is_deferred {
        attach.push_str(" initially deferred");
    }
    if index.is_clustered {
        attach.push_str(&format!("; alter table {} cluster on {}", table.name, index.name.name));
    }
    if index.is_replica_identity {
        attach.push_str(&format!("; alter table only {} replica identity using index {}", table.name, index.name.name));
    }
    (index.definition.clone(), Some(attach))
}

/// The settings for one build. More memory makes a GIN build slower, not faster (16 MB 9.2 s, 1 GB 14.1 s on the same data), but for the parallel
/// build of 18, which is fastest with 64 MB; B-trees gain nothing beyond the default.
pub fn settings(access_method: &str, target: ServerVersion) -> &'static str {
    match (access_method, target.major()) {
        ("gin", 18..) => "set local maintenance_work_mem = '64MB'",
        ("gin", _) => "set local maintenance_work_mem = '32MB'",
        _ => "",
    }
}
