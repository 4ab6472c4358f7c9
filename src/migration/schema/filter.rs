//! Which entries of the archive are left out, and why: named, never silently.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::script::Entry;
use crate::pg::types::Oid;

/// The catalogs that the oids of entries belong to (`pg_class` and so on have fixed oids, Postgres source, `src/include/catalog`).
pub mod class {
    use crate::pg::types::Oid;

    /// `pg_class`: tables, indexes, sequences, views.
    pub const RELATION: Oid = 1259;
    /// `pg_constraint`.
    pub const CONSTRAINT: Oid = 2606;
    /// `pg_extension`.
    pub const EXTENSION: Oid = 3079;
}

/// What to leave out.
#[derive(Debug, Default)]
pub struct Unwanted {
    /// Relations that the person excluded.
    pub excluded_relations: HashSet<Oid>,
    /// Schemas (by oid) that the person excluded.
    pub excluded_schemas: HashSet<Oid>,
    /// Extensions that the target does not offer, by name.
    pub missing_extensions: HashSet<String>,
    /// Whether event triggers cannot be created there.
    pub event_triggers: bool,
}

/// An object that is not carried over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// The entry.
    pub dump_id: u32,
    /// `TABLE`, `VIEW`, ….
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// Decides which of `entries` (pre-data and post-data together) are left out: what is unwanted itself, and everything that depends on it.
pub fn left_out(entries: &[&Entry], unwanted: &Unwanted) -> Vec<LeftOut> {
    let mut reasons: BTreeMap<u32, String> = BTreeMap::new();
    for entry in entries {
        if let Some(reason) = own_reason(entry, unwanted) {
            reasons.insert(entry.dump_id, reason);
        }
    }
    cascade(entries, &mut reasons);
    let by_id: HashMap<u32, &Entry> = entries.iter().map(|e| (e.dump_id, *e)).collect();
    let named = |(dump_id, reason): (u32, String)| {
        let entry = by_id.get(&dump_id)?;
        Some(LeftOut { dump_id, kind: entry.kind.clone(), name: entry.name.clone(), reason })
    };
    reasons.into_iter().filter_map(named).collect()
}

/// Adds everything that depends on what is left out already.
pub fn cascade(entries: &[&Entry], reasons: &mut BTreeMap<u32, String>) {
    let mut dependents: HashMap<u32, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        for needed in &entry.depends_on {
            dependents.entry(*needed).or_default().push(entry);
        }
    }
    let by_id: HashMap<u32, &Entry> = entries.iter().map(|e| (e.dump_id, *e)).collect();
    let mut queue: Vec<u32> = reasons.keys().copied().collect();
    while let Some(gone) = queue.pop() {
        let because = by_id
            .get(&gone)
            .map_or_else(String::new, |e| format!("It needs the {} {}, which is left out.", e.kind.to_lowercase(), e.name));
        for dependent in dependents.get(&gone).into_iter().flatten() {
            if !reasons.contains_key(&dependent.dump_id) && needs(dependent, gone, &by_id) {
                reasons.insert(dependent.dump_id, because.clone());
                queue.push(dependent.dump_id);
            }
        }
    }
}

/// Whether an entry really cannot do without another. pg_dump records a partition's dependency on its parent only in `TABLE ATTACH`, and the data of a
/// partition must not get lost because its parent stays behind; likewise a table may be created without the sequence that it owns.
fn needs(dependent: &Entry, gone: u32, by_id: &HashMap<u32, &Entry>) -> bool {
    let gone_kind = by_id.get(&gone).map_or("", |e| e.kind.as_str());
    !(gone_kind == "ACL" || gone_kind == "COMMENT" || dependent.kind == "PUBLICATION")
}

fn own_reason(entry: &Entry, unwanted: &Unwanted) -> Option<String> {
    match entry.kind.as_str() {
        "EXTENSION" if unwanted.missing_extensions.contains(&entry.name) => {
            Some("The target does not offer this extension.".to_owned())
        }
        "EVENT TRIGGER" if unwanted.event_triggers => Some("The target's role may not create event triggers.".to_owned()),
        _ if entry.class == class::RELATION && unwanted.excluded_relations.contains(&entry.oid) => {
            Some("It was excluded on the command line.".to_owned())
        }
        "SCHEMA" if unwanted.excluded_schemas.contains(&entry.oid) => Some("It was excluded on the command line.".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dump_id: u32, kind: &str, name: &str, depends_on: &[u32]) -> Entry {
        Entry {
            dump_id,
            class: class::RELATION,
            oid: dump_id,
            kind: kind.to_owned(),
            name: name.to_owned(),
            depends_on: depends_on.to_vec(),
            sql: String::new(),
        }
    }

    #[test]
    fn what_depends_on_a_missing_extension_goes_with_it_by_name() {
        let entries = [
            entry(1, "EXTENSION", "hstore", &[]),
            entry(2, "TABLE", "public.t", &[1]),
            entry(3, "VIEW", "public.v", &[2]),
            entry(4, "TABLE", "public.other", &[]),
        ];
        let refs: Vec<&Entry> = entries.iter().collect();
        let unwanted = Unwanted { missing_extensions: HashSet::from(["hstore".to_owned()]), ..Unwanted::default() };
        let out = left_out(&refs, &unwanted);
        assert_eq!(out.iter().map(|o| o.dump_id).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(out[1].reason, "It needs the extension hstore, which is left out.");
    }

    #[test]
    fn circles_end() {
        let entries = [entry(1, "VIEW", "a", &[2]), entry(2, "VIEW", "b", &[1])];
        let refs: Vec<&Entry> = entries.iter().collect();
        let unwanted = Unwanted { excluded_relations: HashSet::from([1]), ..Unwanted::default() };
        assert_eq!(left_out(&refs, &unwanted).len(), 2);
    }
}
