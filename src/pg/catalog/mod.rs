//! What the catalogs say about tables, indexes, foreign keys and sequences: a query per `.sql` file.

use tokio_postgres::Client;

use super::error::PgError;
use super::names::{Ident, QualifiedName};
use super::types::Oid;

/// A table that holds rows of its own.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// Whether it is unlogged.
    pub unlogged: bool,
    /// Whether it is a partition.
    pub is_partition: bool,
    /// Whether it is the root of a partitioned table whose rows may belong to other partitions on another server; its partitions are not listed.
    pub is_root: bool,
    /// Size of the main fork, in bytes.
    pub heap_bytes: u64,
    /// Size with TOAST and maps, in bytes.
    pub table_bytes: u64,
    /// Rows, as the statistics have it.
    pub rows_estimate: u64,
    /// Its table access method.
    pub access_method: String,
    /// For configuration tables of extensions: the `where` clause that selects the user's rows, or nothing for all rows.
    pub config_condition: Option<String>,
    /// Columns that are stored, generated ones excepted, in order.
    pub columns: Vec<Ident>,
    /// Whether every column's type has the same binary form on all servers.
    pub is_binary: bool,
}

/// An index, with the constraint that it serves.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its oid.
    pub oid: Oid,
    /// The table that it is on.
    pub table: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// `btree`, `gin`, ….
    pub access_method: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Whether queries may use it.
    pub is_valid: bool,
    /// Whether it is the index of a partitioned table, which has no rows of its own.
    pub is_partitioned: bool,
    /// Whether `cluster` uses it.
    pub is_clustered: bool,
    /// Whether it is the table's replica identity.
    pub is_replica_identity: bool,
    /// The statement that creates it.
    pub definition: String,
    /// The constraint that it serves.
    pub constraint: Option<IndexConstraint>,
}

/// A primary key, unique or exclusion constraint.
#[derive(Debug, Clone)]
pub struct IndexConstraint {
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: Ident,
    /// `p`, `u` or `x`.
    pub kind: String,
    /// Whether its check can be put off.
    pub is_deferrable: bool,
    /// Whether its check is put off to the end of the transaction.
    pub is_deferred: bool,
    /// Whether it is `without overlaps` (18 and later).
    pub is_temporal: bool,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Its oid.
    pub oid: Oid,
    /// Its name.
    pub name: Ident,
    /// The table that refers.
    pub table: QualifiedName,
    /// Whether it is known to hold for all rows.
    pub is_valid: bool,
    /// Whether one of its tables is partitioned.
    pub is_partitioned: bool,
    /// Its definition, as `foreign key (…) references …`.
    pub definition: String,
    /// Size of the referring table, in bytes.
    pub table_bytes: u64,
}

/// Reads all tables that hold rows.
///
/// # Errors
/// Any failure of the server.
pub async fn tables(client: &Client) -> Result<Vec<Table>, PgError> {
    let rows = client.query(include_str!("tables.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let columns: Vec<String> = row.try_get("columns")?;
            Ok(Table {
                oid: row.try_get("oid")?,
                name: QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?),
                unlogged: row.try_get("unlogged")?,
                is_partition: row.try_get("is_partition")?,
                is_root: row.try_get("is_root")?,
                heap_bytes: unsigned(row.try_get("heap_bytes")?),
                table_bytes: unsigned(row.try_get("table_bytes")?),
                rows_estimate: unsigned(row.try_get("rows_estimate")?),
                access_method: row.try_get("access_method")?,
                config_condition: row.try_get("config_condition")?,
                columns: columns.into_iter().map(Ident::new).collect(),
                is_binary: row.try_get("is_binary")?,
            })
        })
        .collect()
}

/// Reads all indexes.
///
/// # Errors
/// Any failure of the server.
pub async fn indexes(client: &Client) -> Result<Vec<Index>, PgError> {
    let rows = client.query(include_str!("builds.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let constraint = match row.try_get::<_, Option<Oid>>("constraint_oid")? {
                None => None,
                Some(oid) => Some(IndexConstraint {
                    oid,
                    name: Ident::new(row.try_get::<_, String>("constraint_name")?),
                    kind: row.try_get("constraint_kind")?,
                    is_deferrable: row.try_get("is_deferrable")?,
                    is_deferred: row.try_get("is_deferred")?,
                    is_temporal: row.try_get("is_temporal")?,
                }),
            };
            Ok(Index {
                oid: row.try_get("oid")?,
                table: row.try_get("table_oid")?,
                name: QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?),
                access_method: row.try_get("access_method")?,
                bytes: unsigned(row.try_get("bytes")?),
                is_valid: row.try_get("is_valid")?,
                is_partitioned: row.try_get("is_partitioned")?,
                is_clustered: row.try_get("is_clustered")?,
                is_replica_identity: row.try_get("is_replica_identity")?,
                definition: row.try_get("definition")?,
                constraint,
            })
        })
        .collect()
}

/// Reads all foreign keys that were declared.
///
/// # Errors
/// Any failure of the server.
pub async fn foreign_keys(client: &Client) -> Result<Vec<ForeignKey>, PgError> {
    let rows = client.query(include_str!("foreign_keys.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(ForeignKey {
                oid: row.try_get("oid")?,
                name: Ident::new(row.try_get::<_, String>("name")?),
                table: QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("table_name")?),
                is_valid: row.try_get("is_valid")?,
                is_partitioned: row.try_get("is_partitioned")?,
                definition: row.try_get("definition")?,
                table_bytes: unsigned(row.try_get("table_bytes")?),
            })
        })
        .collect()
}

/// Reads the names of all sequences, with their oids.
///
/// # Errors
/// Any failure of the server.
pub async fn sequences(client: &Client) -> Result<Vec<(Oid, QualifiedName)>, PgError> {
    let rows = client.query(include_str!("sequences.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let name = QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
            Ok((row.try_get("oid")?, name))
        })
        .collect()
}

/// Sizes and estimates are never negative; a negative one would be the catalog's "unknown".
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
