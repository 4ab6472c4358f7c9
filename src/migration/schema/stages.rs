//! Which definitions can be created side by side.
//!
//! Creating thousands of tables keeps one server process busy and leaves the others idle. Tables with what belongs to them alone (sequences, defaults,
//! comments) need nothing from each other unless the archive says so. So the entries are cut into three stages: what comes before the first table
//! (schemas, types, functions), tables in sets that do not depend on each other, and all the rest (views, functions over row types, …). Within a set and
//! within a stage the archive's order is kept; between sets no entry depends on another, directly or through a third one.

use std::collections::{HashMap, HashSet};

use super::script::Entry;

/// Kinds that belong to one table.
const OF_TABLES: [&str; 6] = ["TABLE", "TABLE ATTACH", "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT", "COMMENT"];

/// Entries by when they can be created.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stages<'a> {
    /// First, one after the other.
    pub first: Vec<&'a Entry>,
    /// Then these sets, side by side.
    pub sets: Vec<Vec<&'a Entry>>,
    /// Then the rest, one after the other.
    pub last: Vec<&'a Entry>,
}

/// Cuts entries into stages.
pub fn stages<'a>(entries: &[&'a Entry]) -> Stages<'a> {
    let position: HashMap<u32, usize> = entries.iter().enumerate().map(|(at, entry)| (entry.dump_id, at)).collect();
    let needs = |at: usize| entries[at].depends_on.iter().filter_map(|id| position.get(id).copied());
    let first_table = entries.iter().position(|entry| entry.kind == "TABLE").unwrap_or(entries.len());

    // Entries of tables whose needs are met by the first stage or by other such entries. Removing one may make others ineligible.
    let mut eligible: HashSet<usize> =
        (first_table..entries.len()).filter(|at| OF_TABLES.contains(&entries[*at].kind.as_str())).collect();
    loop {
        let unmet: Vec<usize> =
            eligible.iter().copied().filter(|at| needs(*at).any(|need| need >= first_table && !eligible.contains(&need))).collect();
        if unmet.is_empty() {
            break;
        }
        for at in unmet {
            eligible.remove(&at);
        }
    }

    let mut sets = Sets::new(entries.len());
    for at in &eligible {
        for need in needs(*at).filter(|need| eligible.contains(need)) {
            sets.join(*at, need);
        }
    }
    let mut stages = Stages { first: entries[..first_table].to_vec(), ..Stages::default() };
    let mut set_of: HashMap<usize, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate().skip(first_table) {
        if !eligible.contains(&at) {
            stages.last.push(entry);
            continue;
        }
        let next = set_of.len();
        let set = *set_of.entry(sets.root(at)).or_insert(next);
        if set == stages.sets.len() {
            stages.sets.push(Vec::new());
        }
        stages.sets[set].push(entry);
    }
    stages
}

/// Disjoint sets of positions.
struct Sets(Vec<usize>);

impl Sets {
    fn new(len: usize) -> Self {
        Sets((0..len).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.root(left), self.root(right));
        self.0[left] = right;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(dump_id: u32, kind: &str, depends_on: &[u32]) -> Entry {
        Entry {
            dump_id,
            class: 0,
            oid: 0,
            kind: kind.to_owned(),
            name: String::new(),
            depends_on: depends_on.to_vec(),
            sql: String::new(),
        }
    }

    #[test]
    fn tables_without_ties_are_sets_of_their_own() {
        let entries = [
            entry(1, "TYPE", &[]),
            entry(2, "TABLE", &[1]),
            entry(3, "TABLE", &[]),
            entry(4, "SEQUENCE", &[3]),
            entry(5, "VIEW", &[2, 3]),
            entry(6, "TABLE", &[5]),
            entry(7, "DEFAULT", &[6]),
            entry(8, "TABLE", &[]),
            entry(9, "TABLE ATTACH", &[8, 2]),
        ];
        let refs: Vec<&Entry> = entries.iter().collect();
        let stages = stages(&refs);
        let ids = |entries: &[&Entry]| entries.iter().map(|e| e.dump_id).collect::<Vec<_>>();
        assert_eq!(ids(&stages.first), [1]);
        assert_eq!(stages.sets.iter().map(|set| ids(set)).collect::<Vec<_>>(), [vec![2, 8, 9], vec![3, 4]]);
        assert_eq!(ids(&stages.last), [5, 6, 7]);
    }

    proptest! {
        /// Every entry is created once, after everything that it needs, whatever the order between sets.
        #[test]
        fn needs_come_first(shape in proptest::collection::vec((0_usize..5, proptest::collection::vec(0_u32..60, 0..4)), 0..60)) {
            let kinds = ["TABLE", "SEQUENCE", "VIEW", "FUNCTION", "DEFAULT"];
            let entries: Vec<Entry> = shape.iter().enumerate().map(|(at, (kind, needs))| {
                let at = at as u32;
                let needs: Vec<u32> = needs.iter().copied().filter(|need| *need < at).collect();
                entry(at, kinds[*kind], &needs)
            }).collect();
            let refs: Vec<&Entry> = entries.iter().collect();
            let stages = stages(&refs);
            let total = stages.first.len() + stages.sets.iter().map(Vec::len).sum::<usize>() + stages.last.len();
            prop_assert_eq!(total, entries.len());
            // The sets in reverse: no set may rely on an earlier one.
            let order: Vec<u32> = stages.first.iter()
                .chain(stages.sets.iter().rev().flatten())
                .chain(&stages.last)
                .map(|e| e.dump_id).collect();
            let place: HashMap<u32, usize> = order.iter().enumerate().map(|(place, id)| (*id, place)).collect();
            for entry in &entries {
                for need in &entry.depends_on {
                    prop_assert!(place[need] < place[&entry.dump_id], "{} before {}", need, entry.dump_id);
                }
            }
        }
    }
}
