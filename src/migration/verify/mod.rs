//! Comparing the rows of two databases: why equal sums mean equal tables.
//!
//! A table's *sum* is its number of rows and the sum, as an exact number, of one 64-bit hash per row. Both are computed by the
//! servers; no row travels. Sums add, so each side cuts a table in ranges as it likes, and no order is needed. The sum of the
//! hashes is exact (`sum(bigint)` is a `numeric`), not an exclusive or: two equal rows do not cancel.
//!
//! Two different tables have equal sums only where hashes of different rows collide. That is a matter of chance, 1 in 2^64, only
//! if the row's hash depends on *every* bit of the row and is not linear. Postgres's own `hash_record_extended` over the plain
//! columns is neither (measured on 14.23 and 18.4, and kept by the tests):
//!
//! * It adds up the columns' hashes as `31 * h + column`, so that the sum over all rows does not depend on which values stand in
//!   one row: of 1,000 exchanges of a boolean between two rows 519 left the sum as it was. So each row's hash is scrambled once
//!   more, `hashint8extended(h, h)`, before it is added.
//! * Arrays are added up the same way: `{1,2}`, `{3,4}` and `{1,3}`, `{2,4}` in two columns have the same hash, and so have
//!   `{1,2}` and `{{1,2}}`.
//! * `numeric` leaves out the sign (1 and -1), the scale (1.0 and 1.00), and does not tell NaN from infinity; `jsonb` has the
//!   same numbers and leaves out where an object or array ends (`[[1],2]` and `[[1,2]]`); `interval` takes a month for 30 days;
//!   64-bit integers and times are folded to 32 bits (-1 and 4294967295); `char(n)` drops blanks; a null adds 0, and so does the
//!   float 0 under the seed 0.
//! * Enums, `reg*` and `aclitem` hash object identifiers, which differ between databases; text of a nondeterministic collation
//!   hashes what its ICU says; `"char"` has the sign of the machine's; many types (`json`, `xml`, `point`, `money`, `bit`,
//!   `tsvector`) have no such hash at all.
//!
//! Therefore the hash is taken over each column's *exact form* ([`plan`]): the value itself for the few types where the hash is
//! complete; the bytes of its binary output (`int8send`, `array_send`, …), which are the same on every major and tell every value
//! from every other, for the other built-in types and for arrays and ranges of them; and the text for everything else (enums,
//! composites, extension types). Measured on one million rows of nine columns with a `jsonb` (Postgres 18, one backend): 0.94 s;
//! the incomplete hash 0.89 s; the text of the columns 1.63 s; the text of the row 2.2 s; `copy` in binary to nowhere 0.86 s.
//!
//! Floats alone are compared as SQL does, in all but strict mode: -0 equals 0, and every NaN equals every NaN, because text
//! output does not keep the sign of a NaN.
//!
//! Text, and text inside binary output, depends on settings of the session: [`SESSION_SETTINGS`] must be in force in every
//! session that runs these statements.

mod catalog;
mod drill;
pub mod plan;
mod run;

pub use catalog::{Catalog, Table};
pub use drill::{Differences, LISTED_MAX, Side, differences};
pub use plan::{
    Column, CtidRange, Exact, HashExpr, KeyedSql, Method, Sums, compare, conditional_sql, hash_plan, parse_sums, table_sql,
};
pub use run::{Options, Summary, VerifyError, run};

/// Settings that every session relies on which runs statements of this room. They make text independent of the server's and the
/// role's defaults.
pub const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("search_path", ""),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    ("quote_all_identifiers", "off"),
    ("row_security", "off"),
    ("jit", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "1min"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// One statement list that puts [`SESSION_SETTINGS`] in force.
pub fn session_sql() -> String {
    let set = |(name, value): &(&str, &str)| format!("set {name} = {};", crate::pg::names::literal(value));
    SESSION_SETTINGS.iter().map(set).collect::<Vec<_>>().join(" ")
}
