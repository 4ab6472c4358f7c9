//! From a table's columns to the statement that sums it up. No connection here, only text.

use std::fmt::Write as _;

use crate::engine::event::Verdict;
use crate::pg::names::{Ident, QualifiedName};

/// How tables are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Only the number of rows.
    Counts,
    /// Number of rows and a 64-bit hash of every row's exact values, in binary form where there is one.
    Hash,
    /// Number of rows and a 64-bit hash of every row's values as text, as a person would read them.
    Strict,
}

impl Method {
    /// The word in commands and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Counts => "counts",
            Method::Hash => "hash",
            Method::Strict => "strict",
        }
    }
}

/// The form of a column's values that tells every value from every other, and is the same on every server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exact {
    /// The value itself: its extended hash is complete and portable.
    Value,
    /// The value itself under the collation `C`: `text` and its kin.
    Characters,
    /// The value itself, in strict mode too: as hexadecimal digits a `bytea` may exceed the limit of 1 GB.
    Bytes,
    /// The bytes that this function gives.
    Binary(&'static str),
    /// Its text under the pinned settings.
    Text,
}

/// A column as the comparison sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// How its values are hashed.
    pub exact: Exact,
}

/// What is computed for each row of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashExpr {
    /// An expression of type `bigint` over the table's columns, not yet scrambled; none for a table without columns.
    row: Option<String>,
    /// How it compares: [`Method::Counts`] for a table without columns.
    pub method: Method,
}

impl HashExpr {
    /// The expression that [`KeyedSql`] finds differing rows with; none for a table without columns. Where only rows are counted
    /// it is that of [`Method::Hash`].
    pub fn row(&self) -> Option<&str> {
        self.row.as_deref()
    }
}

/// Half-open range of a table's pages: `[from, to)`; the last one is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtidRange {
    /// The first page.
    pub from: u32,
    /// The page after the last one; none for the open end, so that rows beyond the size seen in planning are covered.
    pub to: Option<u32>,
}

impl CtidRange {
    /// A range; pages beyond what a table can have are no pages.
    pub fn new(from: u64, to: Option<u64>) -> CtidRange {
        let page = |page: u64| u32::try_from(page).unwrap_or(u32::MAX);
        CtidRange { from: page(from), to: to.map(page) }
    }

    /// Cuts a table of so many pages in ranges of at most `pages_max` pages.
    pub fn split(pages: u64, pages_max: u32) -> Vec<CtidRange> {
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let step = pages_max.max(1) as usize;
        let starts: Vec<u32> = (0..pages.max(1)).step_by(step).collect();
        let range = |(i, from): (usize, &u32)| CtidRange { from: *from, to: starts.get(i + 1).copied() };
        starts.iter().enumerate().map(range).collect()
    }

    fn condition(self) -> String {
        let mut sql = format!("ctid >= '({},0)'", self.from);
        if let Some(to) = self.to {
            let _ = write!(sql, " and ctid < '({to},0)'");
        }
        sql
    }
}

/// Chooses the expression that hashes a row.
///
/// `encodings_differ`: the two databases store characters in different encodings, so that they must be compared as the UTF-8 that
/// a client sees.
pub fn hash_plan(columns: &[Column], method: Method, encodings_differ: bool) -> HashExpr {
    if columns.is_empty() {
        return HashExpr { row: None, method: Method::Counts };
    }
    let form = if method == Method::Counts { Method::Hash } else { method };
    HashExpr { row: Some(record_hash(columns, form, encodings_differ)), method }
}

/// `hash_record_extended` over the exact forms of columns. A null adds nothing; the seed is not 0, because with that a float 0
/// would add nothing too.
pub(super) fn record_hash(columns: &[Column], method: Method, encodings_differ: bool) -> String {
    let forms: Vec<String> = columns.iter().map(|column| exact_form(column, method, encodings_differ)).collect();
    format!("hash_record_extended(row({}), 1)", forms.join(", "))
}

fn exact_form(column: &Column, method: Method, encodings_differ: bool) -> String {
    let name = &column.name;
    let characters = |value: String| {
        if encodings_differ { format!("textsend({value})") } else { format!("{value} collate \"C\"") }
    };
    match (column.exact, method) {
        (Exact::Characters, _) => characters(name.to_string()),
        (Exact::Bytes, _) => name.to_string(),
        // From 16 on the text of a byte above 127 is an escape, before it was the byte.
        (Exact::Binary(function @ "charsend"), _) => format!("{function}({name})"),
        // The output function's text, unlike `::text`, does not depend on casts that a user has made.
        (Exact::Text, _) => characters(format!("row({name})::text")),
        (_, Method::Strict) => characters(format!("{name}::text")),
        (Exact::Value, _) => name.to_string(),
        (Exact::Binary(function), _) => format!("{function}({name})"),
    }
}

/// Scrambles a 64-bit hash, so that sums of it say which values stand in one row.
pub(super) fn scrambled(hash: &str) -> String {
    format!("hashint8extended({hash}, {hash})")
}

/// The rows of a table: `from …` with all conditions.
pub(super) fn from_clause(table: &QualifiedName, only: bool, conditions: &[String]) -> String {
    let mut sql = format!("from {}{table}", if only { "only " } else { "" });
    if !conditions.is_empty() {
        let _ = write!(sql, " where {}", conditions.join(" and "));
    }
    sql
}

/// The statement that sums up a table, or a range of its pages: one row with the number of rows and the sum of the hashes (null
/// for no rows).
///
/// `only` leaves out inheritance children; it must be false for a partitioned table, which has no pages and therefore no ranges.
pub fn table_sql(table: &QualifiedName, only: bool, expr: &HashExpr, range: Option<CtidRange>) -> String {
    let conditions: Vec<String> = range.filter(|range| *range != WHOLE).map(CtidRange::condition).into_iter().collect();
    sums_sql(&from_clause(table, only, &conditions), expr)
}

/// As [`table_sql`], for a table itself without its children, and only those of its rows that meet a condition.
pub fn conditional_sql(table: &QualifiedName, condition: Option<&str>, expr: &HashExpr, range: CtidRange) -> String {
    let mut conditions: Vec<String> = condition.map(|condition| format!("({condition})")).into_iter().collect();
    conditions.extend(Some(range).filter(|range| *range != WHOLE).map(CtidRange::condition));
    sums_sql(&from_clause(table, true, &conditions), expr)
}

const WHOLE: CtidRange = CtidRange { from: 0, to: None };

/// As [`table_sql`], for rows that are chosen by a `from` clause. `offset 0` keeps the planner from computing the hash twice.
pub(super) fn sums_sql(from: &str, expr: &HashExpr) -> String {
    match &expr.row {
        Some(row) if expr.method != Method::Counts => {
            format!("select count(*), sum({}) from (select {row} as h {from} offset 0) as r", scrambled("h"))
        }
        _ => format!("select count(*), null::numeric {from}"),
    }
}

/// A table's or a range's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the rows' hashes; 0 where only rows are counted. 2^40 rows of 2^63 stay far below the limit of this type.
    pub hash: i128,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Sums) {
        self.rows += other.rows;
        self.hash += other.hash;
    }
}

/// Reads the two fields of a row of [`table_sql`] as text; none if they are not numbers.
pub fn parse_sums(rows: Option<&str>, hash: Option<&str>) -> Option<Sums> {
    Some(Sums { rows: rows?.parse().ok()?, hash: hash.map_or(Some(0), |hash| hash.parse().ok())? })
}

/// What two sums of the same expression say.
pub fn compare(source: Sums, target: Sums) -> Verdict {
    if source == target { Verdict::Match } else { Verdict::Mismatch }
}

/// The statements that find out which rows differ.
#[derive(Debug, Clone)]
pub struct KeyedSql<'a> {
    /// The table on this side.
    pub table: &'a QualifiedName,
    /// Whether inheritance children are left out.
    pub only: bool,
    /// The rows that count, for configuration tables of extensions.
    pub condition: Option<&'a str>,
    /// The columns that name a row; empty where there is no key, and then the whole row is its key.
    pub key: &'a [Column],
    /// The row's hash.
    pub row: &'a str,
    /// See [`hash_plan`].
    pub encodings_differ: bool,
}

impl KeyedSql<'_> {
    fn key_hash(&self) -> String {
        if self.key.is_empty() { self.row.to_owned() } else { record_hash(self.key, Method::Hash, self.encodings_differ) }
    }

    fn conditions(&self) -> Vec<String> {
        self.condition.map(|condition| format!("({condition})")).into_iter().collect()
    }

    /// Bucket, number of rows and sum of hashes, for each bucket that has rows. `mask` is the number of buckets less one.
    pub fn buckets(&self, mask: u32) -> String {
        let from = from_clause(self.table, self.only, &self.conditions());
        let (key, h, k) = (self.key_hash(), scrambled("h"), scrambled("k"));
        format!(
            "select {k} & {mask}, count(*), sum({h}) from (select {key} as k, {row} as h {from} offset 0) as r group by 1",
            row = self.row
        )
    }

    /// The rows of some buckets: the key's hash, the row's hash, its `ctid`, then the key's columns as text.
    pub fn rows(&self, mask: u32, buckets: &[i64], limit: usize) -> String {
        let list = buckets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut conditions = self.conditions();
        conditions.push(format!("{} & {mask} in ({list})", scrambled(&self.key_hash())));
        let from = from_clause(self.table, self.only, &conditions);
        let key: String = self.key.iter().fold(String::new(), |mut sql, column| {
            let _ = write!(sql, ", left({}::text, 200)", column.name);
            sql
        });
        format!("select {}, {}, ctid::text{key} {from} limit {limit}", self.key_hash(), scrambled(self.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column { name: Ident::new("id"), exact: Exact::Value },
            Column { name: Ident::new("no\"te"), exact: Exact::Characters },
            Column { name: Ident::new("price"), exact: Exact::Binary("numeric_send") },
            Column { name: Ident::new("mood"), exact: Exact::Text },
        ]
    }

    #[test]
    fn the_statement_hashes_exact_forms_and_scrambles() {
        let table = QualifiedName::new("s", "t");
        let expr = hash_plan(&columns(), Method::Hash, false);
        let range = CtidRange { from: 10, to: Some(20) };
        insta::assert_snapshot!(table_sql(&table, true, &expr, Some(range)), @r#"select count(*), sum(hashint8extended(h, h)) from (select hash_record_extended(row("id", "no""te" collate "C", numeric_send("price"), row("mood")::text collate "C"), 1) as h from only "s"."t" where ctid >= '(10,0)' and ctid < '(20,0)' offset 0) as r"#);
        let expr = hash_plan(&columns(), Method::Strict, true);
        insta::assert_snapshot!(table_sql(&table, false, &expr, None), @r#"select count(*), sum(hashint8extended(h, h)) from (select hash_record_extended(row(textsend("id"::text), textsend("no""te"), textsend("price"::text), textsend(row("mood")::text)), 1) as h from "s"."t" offset 0) as r"#);
    }

    #[test]
    fn a_table_without_columns_is_counted() {
        let expr = hash_plan(&[], Method::Strict, false);
        assert_eq!(expr.method, Method::Counts);
        assert_eq!(
            table_sql(&QualifiedName::new("s", "t"), true, &expr, None),
            "select count(*), null::numeric from only \"s\".\"t\""
        );
    }

    #[test]
    fn ranges_are_half_open_and_the_last_is_open() {
        let ranges = CtidRange::split(25, 10);
        let expected =
            [CtidRange { from: 0, to: Some(10) }, CtidRange { from: 10, to: Some(20) }, CtidRange { from: 20, to: None }];
        assert_eq!(ranges, expected);
        assert_eq!(CtidRange::split(0, 10), [WHOLE]);
        assert_eq!(CtidRange::split(10, 10), [WHOLE]);
    }

    #[test]
    fn sums_are_exact() {
        let sums = parse_sums(Some("3"), Some("-1694894493987207286371"));
        assert_eq!(sums, Some(Sums { rows: 3, hash: -1_694_894_493_987_207_286_371 }));
        assert_eq!(parse_sums(Some("0"), None), Some(Sums::default()));
        assert_eq!(parse_sums(Some("3"), Some("1.5")), None);
    }
}
