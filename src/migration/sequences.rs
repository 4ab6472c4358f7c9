//! Sequences: every one, with `last_value` and `is_called`, also those that no column owns.
//!
//! They are read after the rows: what a sequence says then is at least as far as any row of the snapshot.

use super::ends::{Source, Target, in_time};
use super::error::{Error, Side};
use crate::engine::crash;
use crate::pg::catalog;
use crate::pg::error::PgError;
use crate::pg::names::{QualifiedName, literal};
use crate::pg::types::Oid;
use crate::pg::wire::Conn;

/// How many sequences share a statement.
const BATCH: usize = 200;

/// Brings the sequences that exist on both sides to the source's values. Gives their number.
///
/// # Errors
/// Any failure of either side.
pub async fn copy(source: &Source, target: &Target, wanted: &(dyn Fn(Oid, &QualifiedName) -> bool + Sync)) -> Result<usize, Error> {
    let from = |error| Side::Source.failed("reading sequences", error);
    let to = |error| Side::Target.failed("setting sequences", error);
    let client = source.sql().await?;
    let list = async { catalog::sequences(&client).await.map_err(from) };
    let sequences = in_time(Side::Source, "reading sequences", list).await?;
    let sequences: Vec<QualifiedName> =
        sequences.into_iter().filter(|(oid, name)| wanted(*oid, name)).map(|(_, name)| name).collect();
    drop(client);
    let (mut reader, mut writer) = (source.wire().await?, target.wire().await?);
    // Nothing in the ledger would tell that a server forgot these.
    writer.query("set synchronous_commit = on").await.map_err(to)?;
    for batch in sequences.chunks(BATCH) {
        let values = values(&mut reader, batch).await.map_err(from)?;
        let set: String = batch.iter().zip(&values).map(|(name, value)| value.setting(name) + ";").collect();
        writer.query(&set).await.map_err(to)?;
        crash::point("copy.sequences");
    }
    reader.close().await;
    writer.close().await;
    Ok(sequences.len())
}

/// What a sequence holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// `last_value`.
    pub last: i64,
    /// Whether that number was given out already; else it comes next.
    pub called: bool,
}

impl Value {
    /// The call that gives a sequence this value.
    fn setting(&self, name: &QualifiedName) -> String {
        format!("select {}", self.setval(name))
    }

    /// The same as an expression.
    pub fn setval(&self, name: &QualifiedName) -> String {
        format!("pg_catalog.setval({}::pg_catalog.regclass, {}, {})", literal(&name.to_string()), self.last, self.called)
    }
}

/// Reads what sequences hold, a batch in one trip.
///
/// # Errors
/// Any failure of the server.
pub async fn values(reader: &mut Conn, names: &[QualifiedName]) -> Result<Vec<Value>, PgError> {
    let mut values = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        let sql: Vec<String> = batch.iter().map(|name| format!("select last_value, is_called from {name}")).collect();
        let mut answers = reader.query(&sql.join("; ")).await?.into_iter();
        for name in batch {
            let row = answers.next().and_then(|answer| answer.rows.into_iter().next()).unwrap_or_default();
            let value = match row.as_slice() {
                [Some(last), Some(called)] => last.parse().ok().map(|last| Value { last, called: called == "t" }),
                _ => None,
            };
            values.push(value.ok_or_else(|| PgError::Protocol(format!("the sequence {} has no value", name.human())))?);
        }
    }
    Ok(values)
}
