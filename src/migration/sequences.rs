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
        let sql: Vec<String> = batch.iter().map(|name| format!("select last_value, is_called from {name}")).collect();
        let answers = reader.query(&sql.join("; ")).await.map_err(from)?;
        let mut set = String::new();
        for (name, answer) in batch.iter().zip(answers) {
            let row = answer.rows.into_iter().next().unwrap_or_default();
            let [Some(value), Some(called)] = row.as_slice() else {
                return Err(from(PgError::Protocol(format!("the sequence {} has no value", name.human()))));
            };
            let called = if called == "t" { "true" } else { "false" };
            set.push_str(&format!(
                "select pg_catalog.setval({}::pg_catalog.regclass, {value}, {called});",
                literal(&name.to_string())
            ));
        }
        writer.query(&set).await.map_err(to)?;
        crash::point("copy.sequences");
    }
    reader.close().await;
    writer.close().await;
    Ok(sequences.len())
}
