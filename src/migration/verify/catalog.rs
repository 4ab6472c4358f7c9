//! What a database holds, as far as a comparison of rows needs it: three queries, however many tables there are.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::plan::{Column, Exact};
use crate::pg::error::PgError;
use crate::pg::names::{Ident, QualifiedName};
use crate::pg::types::Oid;

/// A relation that holds rows, or stands for those of its partitions.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its number in this database.
    pub oid: Oid,
    /// Its name.
    pub name: QualifiedName,
    /// `r` table, `p` partitioned table, `f` foreign table, `m` materialized view.
    pub relkind: char,
    /// The partitioned table that it is a partition of.
    pub parent: Option<Oid>,
    /// Whether it is the root of a partitioned table whose rows may belong to other partitions on another server.
    pub is_rehashed: bool,
    /// Pages of its main fork; 0 for what is not a plain table.
    pub pages: u64,
    /// Bytes on disk with TOAST and maps, without indexes.
    pub bytes: u64,
    /// For a configuration table of an extension: which rows are the user's, an SQL condition.
    pub condition: Option<String>,
    /// The columns of its primary key, else of a unique index over columns that are not null; empty if there is none.
    pub key: Vec<Ident>,
}

/// The tables and columns of one database.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// All relations with rows, the largest first.
    pub tables: Vec<Table>,
    /// The encoding of the database, such as `UTF8`.
    pub encoding: String,
    columns: HashMap<Oid, Vec<Column>>,
    positions: HashMap<Oid, usize>,
}

impl Catalog {
    /// Reads it. The session needs [`super::SESSION_SETTINGS`].
    pub async fn load(client: &Client) -> Result<Catalog, PgError> {
        let encoding = client.query_one("select getdatabaseencoding()::text", &[]).await?.try_get(0)?;
        let types = Types::load(client).await?;
        let mut columns: HashMap<Oid, Vec<Column>> = HashMap::new();
        for row in client.query(include_str!("sql/columns.sql"), &[]).await? {
            let column = Column { name: Ident::new(row.try_get::<_, String>(1)?), exact: types.exact(row.try_get(2)?) };
            columns.entry(row.try_get(0)?).or_default().push(column);
        }
        let rows = client.query(include_str!("sql/tables.sql"), &[]).await?;
        let tables: Vec<Table> = rows.iter().map(table).collect::<Result<_, _>>()?;
        let positions = tables.iter().enumerate().map(|(position, table)| (table.oid, position)).collect();
        Ok(Catalog { tables, encoding, columns, positions })
    }

    /// A table by its oid.
    pub fn table(&self, oid: Oid) -> Option<&Table> {
        self.positions.get(&oid).and_then(|position| self.tables.get(*position))
    }

    /// The columns of a table, in order.
    pub fn columns(&self, table: Oid) -> &[Column] {
        self.columns.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The columns of a table's key; empty if it has none.
    pub fn key(&self, table: &Table) -> Vec<Column> {
        let columns = self.columns(table.oid);
        table.key.iter().filter_map(|name| columns.iter().find(|column| column.name == *name)).cloned().collect()
    }
}

fn table(row: &tokio_postgres::Row) -> Result<Table, tokio_postgres::Error> {
    let condition: Option<String> = row.try_get("condition")?;
    let key: Option<Vec<String>> = row.try_get("key")?;
    Ok(Table {
        oid: row.try_get("oid")?,
        name: QualifiedName::new(row.try_get::<_, String>("nspname")?, row.try_get::<_, String>("relname")?),
        relkind: row.try_get::<_, String>("relkind")?.chars().next().unwrap_or(' '),
        parent: row.try_get("parent")?,
        is_rehashed: row.try_get("is_rehashed")?,
        pages: unsigned(row.try_get("pages")?),
        bytes: unsigned(row.try_get("bytes")?),
        condition: condition.as_deref().and_then(without_where),
        key: key.unwrap_or_default().into_iter().map(Ident::new).collect(),
    })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An extension's condition begins with the word `where`; an empty one means all rows.
fn without_where(condition: &str) -> Option<String> {
    let condition = condition.trim();
    let rest = match condition.get(..5) {
        Some(word) if word.eq_ignore_ascii_case("where") => condition[5..].trim(),
        _ => condition,
    };
    (!rest.is_empty()).then(|| rest.to_owned())
}

struct Type {
    name: String,
    builtin: bool,
    kind: char,
    element: Oid,
    base: Oid,
    subtype: Oid,
}

struct Types(HashMap<Oid, Type>);

impl Types {
    async fn load(client: &Client) -> Result<Types, PgError> {
        let mut types = HashMap::new();
        for row in client.query(include_str!("sql/types.sql"), &[]).await? {
            let kind: String = row.try_get("typtype")?;
            let entry = Type {
                name: row.try_get("typname")?,
                builtin: row.try_get("builtin")?,
                kind: kind.chars().next().unwrap_or(' '),
                element: row.try_get("typelem")?,
                base: row.try_get("typbasetype")?,
                subtype: row.try_get("rngsubtype")?,
            };
            types.insert(row.try_get("oid")?, entry);
        }
        Ok(Types(types))
    }

    /// The exact form of a type's values. Everything that is not known to have a better one is text.
    fn exact(&self, oid: Oid) -> Exact {
        let Some(this) = self.0.get(&oid) else { return Exact::Text };
        match this.kind {
            'd' => self.exact(this.base),
            'r' if self.binary_inside(this.subtype) => Exact::Binary("range_send"),
            'm' if self.binary_inside(this.subtype) => Exact::Binary("multirange_send"),
            'b' if this.builtin && this.element != 0 && self.binary_inside(this.element) => Exact::Binary("array_send"),
            'b' if this.builtin && this.element == 0 => exact_builtin(&this.name),
            _ => Exact::Text,
        }
    }

    /// Whether a built-in type's binary output is exact and portable. Not that of floats: it holds the sign of a NaN, which text
    /// does not keep. Not that of a domain: an array holds its oid.
    fn binary_inside(&self, oid: Oid) -> bool {
        self.0.get(&oid).is_some_and(|this| {
            let float = matches!(this.name.as_str(), "float4" | "float8");
            this.builtin && matches!(this.kind, 'b' | 'r' | 'm') && !float && self.exact(oid) != Exact::Text
        })
    }
}

/// The built-in scalar types. Those with a complete and portable hash are few; the others have binary output that is the same on
/// every major (the formats of `send` functions are kept, because clients rely on them).
fn exact_builtin(name: &str) -> Exact {
    Exact::Binary(match name {
        "bool" | "int2" | "int4" | "oid" | "date" | "uuid" | "inet" | "cidr" | "macaddr" | "macaddr8" | "xid" | "tid"
        | "float4" | "float8" => return Exact::Value,
        "text" | "varchar" | "name" => return Exact::Characters,
        "bytea" => return Exact::Bytes,
        "int8" => "int8send",
        "numeric" => "numeric_send",
        "money" => "cash_send",
        "bpchar" => "bpcharsend",
        "char" => "charsend",
        "time" => "time_send",
        "timetz" => "timetz_send",
        "timestamp" => "timestamp_send",
        "timestamptz" => "timestamptz_send",
        "interval" => "interval_send",
        "bit" => "bit_send",
        "varbit" => "varbit_send",
        "json" => "json_send",
        "jsonb" => "jsonb_send",
        "jsonpath" => "jsonpath_send",
        "tsvector" => "tsvectorsend",
        "tsquery" => "tsquerysend",
        "pg_lsn" => "pg_lsn_send",
        "xid8" => "xid8send",
        "pg_snapshot" => "pg_snapshot_send",
        "txid_snapshot" => "txid_snapshot_send",
        _ => return Exact::Text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_extensions_lose_their_where() {
        assert_eq!(without_where("WHERE NOT standard_entry").as_deref(), Some("NOT standard_entry"));
        assert_eq!(without_where(" where (x)").as_deref(), Some("(x)"));
        assert_eq!(without_where(""), None);
    }
}
