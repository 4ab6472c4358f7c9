//! The plan of the copy: which tables travel together, which are cut into ranges, in which format, and what is the longest way to the end.
//!
//! Small tables share a group: one transaction and one pass of the pump for many of them. A large table is a group of its own, cut into ranges of
//! `ctid`, half-open, the last one without an end, so that together they are the whole table whatever its size is when it is read (rows
//! that a snapshot shows never move to another `ctid`). A group's indexes can be built when all its rows are committed.

use crate::pg::catalog::Table;
use crate::pg::names::Ident;

/// A range of heap pages, half-open; without an end for the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtidRange {
    /// The first page.
    pub from: u64,
    /// The first page that does not belong to it any more.
    pub until: Option<u64>,
}

impl CtidRange {
    /// The condition on `ctid` that selects the range.
    pub fn condition(self) -> String {
        match self.until {
            Some(until) => format!("ctid >= '({},0)' and ctid < '({until},0)'", self.from),
            None => format!("ctid >= '({},0)'", self.from),
        }
    }

    /// Cuts `pages` heap pages into `parts` ranges that cover every possible page.
    pub fn cut(pages: u64, parts: u32) -> Vec<CtidRange> {
        let parts = u64::from(parts.max(1)).min(pages.max(1));
        let bound = |part: u64| pages * part / parts;
        (0..parts).map(|part| CtidRange { from: bound(part), until: (part + 1 < parts).then(|| bound(part + 1)) }).collect()
    }
}

/// How big a heap page is, in bytes. All builds that matter use the default, and a wrong value would only make the ranges uneven.
const PAGE_BYTES: u64 = 8192;

/// Tables up to this size share groups, in bytes.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;
/// A group of small tables has at most this many bytes …
const GROUP_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// … and this many tables.
const GROUP_TABLES_MAX: usize = 100;

/// Tables that are copied in one go, or one table in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Positions in the list of tables.
    pub tables: Vec<usize>,
    /// The ranges of a large table; one that covers everything for a group.
    pub ranges: Vec<CtidRange>,
}

impl Group {
    /// Whether it is one table that is cut into several ranges.
    pub fn is_split(&self) -> bool {
        self.ranges.len() > 1
    }
}

/// How large tables are cut.
#[derive(Debug, Clone, Copy)]
pub struct Cutting {
    /// How many connections work at once.
    pub jobs: u32,
    /// The size from which a table is cut into ranges of about that size, if the person said one.
    pub above: Option<u64>,
}

/// What is built on a table, in the unit of the plan: about as long as copying so many bytes takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildCost {
    /// The longest single build.
    pub longest: u64,
    /// All of them.
    pub total: u64,
}

/// Puts tables into groups.
///
/// A range of its own transaction costs something: its rows cannot be written frozen, so vacuum has to visit them. So a table is cut only where that makes
/// the whole end sooner: when its own way to the end (its rows and its longest build) is longer than what each connection has to do on average,
/// or when it is so large that a lost connection should not lose all of it.
pub fn groups(tables: &[Table], wanted: &[usize], cutting: Cutting, builds: &dyn Fn(&Table) -> BuildCost) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut small: Vec<usize> = Vec::new();
    let mut small_bytes = 0;
    let whole = || vec![CtidRange { from: 0, until: None }];
    let work: u64 = wanted.iter().map(|position| tables[*position].table_bytes + builds(&tables[*position]).total).sum();
    let share = work / u64::from(cutting.jobs.max(1));
    for &position in wanted {
        let table = &tables[position];
        if table.table_bytes > SMALL_BYTES_MAX {
            let is_long = table.table_bytes + builds(table).longest >= share;
            groups.push(Group { tables: vec![position], ranges: ranges(table, cutting, is_long) });
            continue;
        }
        if small.len() == GROUP_TABLES_MAX || small_bytes + table.table_bytes > GROUP_BYTES_MAX {
            groups.push(Group { tables: std::mem::take(&mut small), ranges: whole() });
            small_bytes = 0;
        }
        small.push(position);
        small_bytes += table.table_bytes;
    }
    if !small.is_empty() {
        groups.push(Group { tables: small, ranges: whole() });
    }
    groups
}

/// A range has at least this size, in bytes …
const RANGE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// … and at most about this size.
const RANGE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

fn ranges(table: &Table, cutting: Cutting, is_long: bool) -> Vec<CtidRange> {
    let can_split = table.access_method == "heap" && table.config_condition.is_none() && !table.is_root;
    let parts = match cutting.above {
        _ if !can_split => 1,
        Some(above) => table.table_bytes.div_ceil(above.max(PAGE_BYTES)),
        None if is_long => {
            (table.table_bytes / RANGE_BYTES_MIN).min(u64::from(cutting.jobs)).max(table.table_bytes / RANGE_BYTES_MAX)
        }
        None => table.table_bytes / RANGE_BYTES_MAX,
    };
    CtidRange::cut(table.heap_bytes / PAGE_BYTES, u32::try_from(parts).unwrap_or(u32::MAX).clamp(1, PARTS_MAX))
}

/// More ranges than this would only cost; a table of 32 TiB has some of 8 GiB then.
const PARTS_MAX: u32 = 4096;

/// The statement that reads a table's rows, or a range of them.
pub fn copy_out(table: &Table, range: CtidRange) -> String {
    let whole = range.from == 0 && range.until.is_none();
    let format = format_option(table);
    match &table.config_condition {
        Some(condition) => {
            format!("copy (select {} from {} {condition}) to stdout with ({format})", select_list(table), table.name)
        }
        None if table.is_root => format!("copy (select {} from {}) to stdout with ({format})", select_list(table), table.name),
        None if whole => format!("copy {}{} to stdout with ({format})", table.name, column_list(table)),
        None => {
            format!(
                "copy (select {} from only {} where {}) to stdout with ({format})",
                select_list(table),
                table.name,
                range.condition()
            )
        }
    }
}

/// The statement that takes a table's rows. `freeze` is allowed only in a transaction that created or emptied the table.
pub fn copy_in(table: &Table, freeze: bool) -> String {
    let freeze = if freeze { ", freeze" } else { "" };
    format!("copy {}{} from stdin with ({}{freeze})", table.name, column_list(table), format_option(table))
}

/// Whether the table travels in the binary format. A table without columns has no binary form that both sides agree on.
pub fn is_binary(table: &Table) -> bool {
    table.is_binary && !table.columns.is_empty()
}

fn format_option(table: &Table) -> &'static str {
    if is_binary(table) { "format binary" } else { "format text" }
}

fn column_list(table: &Table) -> String {
    if table.columns.is_empty() { String::new() } else { format!(" ({})", select_list(table)) }
}

fn select_list(table: &Table) -> String {
    table.columns.iter().map(Ident::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::names::QualifiedName;
    use proptest::prelude::*;

    fn table(bytes: u64) -> Table {
        Table {
            oid: 1,
            name: QualifiedName::new("s", "t"),
            unlogged: false,
            is_partition: false,
            is_root: false,
            heap_bytes: bytes,
            table_bytes: bytes,
            rows_estimate: 0,
            access_method: "heap".to_owned(),
            config_condition: None,
            columns: vec![Ident::new("a"), Ident::new("b\"c")],
            is_binary: true,
        }
    }

    proptest! {
        /// Every page belongs to exactly one range, also pages beyond the size that was seen.
        #[test]
        fn ranges_cover_each_page_once(pages in 0_u64..10_000, parts in 0_u32..40, page in 0_u64..20_000) {
            let ranges = CtidRange::cut(pages, parts);
            let holders = ranges.iter().filter(|r| r.from <= page && r.until.is_none_or(|until| page < until)).count();
            prop_assert_eq!(holders, 1);
            prop_assert!(ranges.len() <= parts.max(1) as usize);
        }

        #[test]
        fn every_table_is_in_one_group(sizes in proptest::collection::vec(0_u64..50_000_000, 0..300), jobs in 1_u32..16) {
            let tables: Vec<Table> = sizes.iter().map(|s| table(*s)).collect();
            let wanted: Vec<usize> = (0..tables.len()).collect();
            let cutting = Cutting { jobs, above: Some(8_000_000) };
            let groups = groups(&tables, &wanted, cutting, &|_| BuildCost::default());
            let mut seen: Vec<usize> = groups.iter().flat_map(|g| g.tables.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, wanted);
            prop_assert!(groups.iter().all(|g| g.tables.len() == 1 || !g.is_split()));
        }
    }

    #[test]
    fn only_the_longest_way_is_cut() {
        let tables = [table(640 << 20), table(422 << 20), table(20 << 20)];
        let builds = |table: &Table| match table.table_bytes >> 20 {
            422 => BuildCost { longest: 1800 << 20, total: 1960 << 20 },
            640 => BuildCost { longest: 107 << 20, total: 107 << 20 },
            _ => BuildCost::default(),
        };
        let groups = groups(&tables, &[0, 1, 2], Cutting { jobs: 4, above: None }, &builds);
        assert_eq!(groups.iter().map(|group| group.ranges.len()).collect::<Vec<_>>(), [1, 4, 1]);
        // A table that is alone is the longest way.
        let alone = super::groups(&tables, &[0], Cutting { jobs: 4, above: None }, &builds);
        assert_eq!(alone[0].ranges.len(), 4);
    }

    #[test]
    fn names_are_quoted_and_ranges_read_only_the_table_itself() {
        let range = CtidRange { from: 5, until: Some(9) };
        assert_eq!(
            copy_out(&table(0), range),
            r#"copy (select "a", "b""c" from only "s"."t" where ctid >= '(5,0)' and ctid < '(9,0)') to stdout with (format binary)"#
        );
        let bare = Table { columns: Vec::new(), ..table(0) };
        assert_eq!(copy_in(&bare, true), r#"copy "s"."t" from stdin with (format text, freeze)"#);
    }
}
