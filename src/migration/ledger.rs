//! The ledger: what is done, recorded on the target in the same transaction as the work itself.
//!
//! Why it is on the target. A crash between "rows committed" and "noted that rows were committed" would otherwise lead to rows that are copied twice or
//! not at all. Here both commit together, or neither does; after a crash of this program, of the target or of the machine between them, the ledger
//! says exactly what the target holds. The journal in the state directory tells the story; the ledger decides.
//!
//! A refusal is believed only when it is confirmed by the same commit that makes everything before it durable ([`make_durable`]): after a crash that nobody
//! has noticed yet, a target refuses what needs the things that it has forgotten.
//!
//! One thing does not commit with the ledger: the rows of unlogged tables, which a server empties when it recovers from a crash. So the ledger has an
//! unlogged table itself, with one row; when that is gone, so are those.
//!
//! It lives in a schema of its own, `neon_migrate`, that is created first, belongs to one migration (whose id it holds), and is dropped last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::pg::error::PgError;
use crate::pg::names::literal;
use crate::pg::types::Oid;
use crate::pg::wire::Conn;

/// The schema on the target that belongs to us while a migration runs.
pub const SCHEMA: &str = "neon_migrate";

/// The rows of one table, or of one range of it, that are committed on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Of how many parts it is one.
    pub parts: u32,
    /// Which snapshot it was read in.
    pub generation: u32,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes it had on the way.
    pub bytes: u64,
}

/// Everything that the ledger holds.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The archive's entries that were created on the target.
    pub entries: BTreeSet<u32>,
    /// The entries that the target refused, with the reason.
    pub refused: BTreeMap<u32, String>,
    /// The committed parts, by table and part number.
    pub parts: HashMap<Oid, BTreeMap<u32, Part>>,
    /// Named milestones, such as the end of the copy.
    pub marks: BTreeMap<String, String>,
    /// Whether the target has recovered from a crash since the ledger was made, or since that was last settled: unlogged tables are empty.
    pub has_crashed: bool,
}

/// What the target holds of ours.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The ledger of another migration, or of one whose state directory is elsewhere.
    Foreign {
        /// The id that it holds, if it could be read.
        migration: Option<String>,
    },
    /// This migration's ledger.
    Ours(Ledger),
}

/// Reads what the target holds.
///
/// # Errors
/// Any failure of the target; a ledger that cannot be read is never taken for an empty one.
pub async fn read(conn: &mut Conn, migration: &str) -> Result<Found, PgError> {
    let sql = format!("select 1 from pg_catalog.pg_namespace where nspname = {}", literal(SCHEMA));
    if conn.query(&sql).await?.first().is_none_or(|a| a.rows.is_empty()) {
        return Ok(Found::Nothing);
    }
    let sql = "select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'neon_migrate' and c.relname = 'migration' and c.relkind = 'r'";
    if conn.query(sql).await?.first().is_none_or(|a| a.rows.is_empty()) {
        return Ok(Found::Foreign { migration: None });
    }
    let answers = conn
        .query(
            "select id from neon_migrate.migration;
            select dump_id, refused from neon_migrate.entry where refused is null or confirmed;
            select source_oid, part, parts, generation, row_count, byte_count from neon_migrate.part;
            select name, value from neon_migrate.mark;
            select 1 from neon_migrate.awake",
        )
        .await?;
    let [id, entries, parts, marks, awake] = answers.as_slice() else {
        return Err(PgError::Protocol("the ledger's queries were not all answered".to_owned()));
    };
    let id = id.rows.first().and_then(|row| row.first().cloned().flatten());
    if id.as_deref() != Some(migration) {
        return Ok(Found::Foreign { migration: id });
    }
    let mut ledger = Ledger { has_crashed: awake.rows.is_empty(), ..Ledger::default() };
    for row in &entries.rows {
        let dump_id = number(row, 0)?;
        if let Some(reason) = &row[1] {
            ledger.refused.insert(dump_id, reason.clone());
        } else {
            ledger.entries.insert(dump_id);
        }
    }
    for row in &parts.rows {
        let part = Part { parts: number(row, 2)?, generation: number(row, 3)?, rows: number(row, 4)?, bytes: number(row, 5)? };
        ledger.parts.entry(number(row, 0)?).or_default().insert(number(row, 1)?, part);
    }
    for row in &marks.rows {
        if let [Some(name), Some(value)] = row.as_slice() {
            ledger.marks.insert(name.clone(), value.clone());
        }
    }
    Ok(Found::Ours(ledger))
}

fn number<T: std::str::FromStr>(row: &[Option<String>], column: usize) -> Result<T, PgError> {
    let value = row.get(column).and_then(Option::as_deref).and_then(|text| text.parse().ok());
    value.ok_or_else(|| PgError::Protocol("the ledger on the target holds a value that is not a number".to_owned()))
}

/// Creates the ledger, in one transaction.
///
/// # Errors
/// Any failure of the target.
pub async fn create(conn: &mut Conn, migration: &str) -> Result<(), PgError> {
    let sql = format!(
        "begin;
        create schema neon_migrate;
        comment on schema neon_migrate is 'The ledger of a migration that is under way. neon-migrate drops it at the end.';
        create table neon_migrate.migration (id text primary key, started_at timestamptz not null default pg_catalog.now());
        create table neon_migrate.entry (dump_id integer primary key, refused text, confirmed boolean not null default false);
        create table neon_migrate.part (source_oid oid, part integer, parts integer not null, generation integer not null,
            row_count bigint not null, byte_count bigint not null, primary key (source_oid, part));
        create table neon_migrate.mark (name text primary key, value text not null);
        create unlogged table neon_migrate.awake (since timestamptz not null);
        {AWAKE};
        insert into neon_migrate.migration (id) values ({});
        set local synchronous_commit = on;
        commit",
        literal(migration)
    );
    conn.query(&sql).await.map(drop)
}

/// The statement that notes that what a crash did to unlogged tables is settled.
pub const AWAKE: &str = "insert into neon_migrate.awake (since) values (pg_catalog.now())";

/// The statement that notes entries as created. Empty if there are none.
pub fn note_entries(dump_ids: &[u32]) -> String {
    if dump_ids.is_empty() {
        return String::new();
    }
    let values: Vec<String> = dump_ids.iter().map(|id| format!("({id})")).collect();
    format!("insert into neon_migrate.entry (dump_id) values {}", values.join(", "))
}

/// The statement that notes an entry as refused by the target.
pub fn note_refused(dump_id: u32, reason: &str) -> String {
    format!("insert into neon_migrate.entry (dump_id, refused) values ({dump_id}, {})", literal(reason))
}

/// The statement that notes parts as committed.
pub fn note_parts(parts: &[(Oid, u32, Part)]) -> String {
    let value =
        |(oid, part, p): &(Oid, u32, Part)| format!("({oid}, {part}, {}, {}, {}, {})", p.parts, p.generation, p.rows, p.bytes);
    let values: Vec<String> = parts.iter().map(value).collect();
    format!(
        "insert into neon_migrate.part (source_oid, part, parts, generation, row_count, byte_count) values {}",
        values.join(", ")
    )
}

/// The statement that forgets what was noted of tables: they are to be copied again.
pub fn forget_parts(tables: &[Oid]) -> String {
    let oids: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!("delete from neon_migrate.part where source_oid in ({})", oids.join(", "))
}

/// The statement that says of tables that what they hold is also what a newer snapshot shows.
pub fn carry_parts(tables: &[Oid], generation: u32) -> String {
    let oids: Vec<String> = tables.iter().map(ToString::to_string).collect();
    format!("update neon_migrate.part set generation = {generation} where source_oid in ({})", oids.join(", "))
}

/// The statement that sets a milestone.
pub fn note_mark(name: &str, value: &str) -> String {
    format!(
        "insert into neon_migrate.mark (name, value) values ({}, {}) on conflict (name) do update set value = excluded.value",
        literal(name),
        literal(value)
    )
}

/// The statement that sets milestones that have no value.
pub fn note_marks(names: &[String]) -> String {
    let values: Vec<String> = names.iter().map(|name| format!("({}, '')", literal(name))).collect();
    format!("insert into neon_migrate.mark (name, value) values {} on conflict (name) do nothing", values.join(", "))
}

/// The statement that forgets milestones.
pub fn forget_marks(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
    format!("delete from neon_migrate.mark where name in ({})", names.join(", "))
}

/// Forgets refusals that were never confirmed: they are to be tried again. Nothing may be under way that notes any.
///
/// # Errors
/// Any failure of the target.
pub async fn forget_unconfirmed(conn: &mut Conn) -> Result<(), PgError> {
    conn.query("delete from neon_migrate.entry where refused is not null and not confirmed").await.map(drop)
}

/// Makes everything that was committed before durable: this commit is waited for, and WAL is flushed in order.
///
/// # Errors
/// Any failure of the target. If the session was open all the while, its loss may mean that the server has forgotten commits.
pub async fn make_durable(conn: &mut Conn) -> Result<(), PgError> {
    let confirm = "update neon_migrate.entry set confirmed = true where refused is not null and not confirmed";
    let sql = format!("begin; set local synchronous_commit = on; {confirm}; {}; commit", note_mark("durable", ""));
    conn.query(&sql).await.map(drop)
}

/// Drops the ledger and makes everything before it durable: the commit is a synchronous one, and WAL is flushed in order.
///
/// # Errors
/// Any failure of the target.
pub async fn remove(conn: &mut Conn) -> Result<(), PgError> {
    let sql = "begin; set local synchronous_commit = on; set local client_min_messages = warning;
        drop table neon_migrate.migration, neon_migrate.entry, neon_migrate.part, neon_migrate.mark, neon_migrate.awake; drop schema neon_migrate; commit";
    conn.query(sql).await.map(drop)
}
