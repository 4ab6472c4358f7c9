//! Reading the database, from the process that writes it or from another.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY_TIMEOUT, StoreError, schema, signed, unsigned};

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number.
    pub index: u64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What, as JSON.
    pub json: String,
}

/// One sample of the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSample {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Rows copied by then.
    pub rows: u64,
    /// Bytes copied by then.
    pub bytes: u64,
}

/// A connection that only reads, and never waits for the writer (SQLite's WAL).
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the database at `path` for reading.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Reader { connection })
    }

    /// Whether the schema is there yet: its owner may be just about to make it.
    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(schema::version(&self.connection)? == 0)
    }

    /// The events after number `after`, in order, at most `limit` of them.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        if self.is_empty()? {
            return Ok(Vec::new());
        }
        let mut statement =
            self.connection.prepare("select \"index\", at, json from events where \"index\" > ? order by \"index\" limit ?")?;
        let rows = statement.query_map((signed(after), signed(limit as u64)), |row| {
            Ok(StoredEvent { index: unsigned(row.get(0)?), at: row.get(1)?, json: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The remembered steps: id and value.
    pub fn steps(&self) -> Result<Vec<(String, String)>, StoreError> {
        if self.is_empty()? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare("select id, value from steps")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The samples of the progress, in order of time.
    pub fn samples(&self) -> Result<Vec<StoredSample>, StoreError> {
        if self.is_empty()? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare("select at, rows, bytes from samples order by at")?;
        let rows = statement
            .query_map([], |row| Ok(StoredSample { at: row.get(0)?, rows: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A property of the migration.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        if self.is_empty()? {
            return Ok(None);
        }
        Ok(self.connection.query_row("select value from meta where key = ?", [key], |row| row.get(0)).optional()?)
    }
}
