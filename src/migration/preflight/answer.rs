//! How a question reaches a database, and what comes back.
//!
//! Every question is one query, and its answer is always the same: an array of JSON objects, one per row. So the same check can be
//! evaluated from a session, or from a file that somebody wrote with psql where we cannot connect ([`super::metadata`]).

use futures_util::future::join3;
use serde::de::DeserializeOwned;
use tokio_postgres::{Client, Row};

use super::metadata::Metadata;
use crate::pg::error::PgError;

/// The rows of one answer.
#[derive(Debug, Clone, Default)]
pub struct Rows(pub(super) Vec<serde_json::Value>);

impl Rows {
    /// The rows as a type whose fields are the query's columns.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<Vec<T>, serde_json::Error> {
        self.0.iter().map(|row| T::deserialize(row)).collect()
    }

    /// The first row, if there is one.
    pub(super) fn first<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.0.first().map(|row| T::deserialize(row)).transpose()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where answers come from.
#[derive(Clone, Copy)]
pub(super) enum Answers<'a> {
    /// A session.
    Session(&'a Client),
    /// A file of answers.
    File(&'a Metadata),
}

impl Answers<'_> {
    /// Asks. A refusal is [`PgError::Server`], from a file it is [`PgError::Protocol`]; anything else means that the connection is gone.
    pub(super) async fn rows(&self, query: &str) -> Result<Rows, PgError> {
        match self {
            Answers::Session(client) => rows(client, query).await,
            Answers::File(metadata) => metadata.answer(query),
        }
    }

    /// Asks what a server may refuse to answer; a refusal is no answer, anything else that fails is a failure.
    pub(super) async fn ask(&self, query: &str) -> Result<Option<Rows>, PgError> {
        match self.rows(query).await {
            Ok(rows) => Ok(Some(rows)),
            Err(PgError::Server(_)) => Ok(None),
            Err(PgError::Protocol(_)) if matches!(self, Answers::File(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A query whose one value is its answer. (`jsonb` prints on one line, which the file of answers relies on.)
pub(super) fn as_json(query: &str) -> String {
    format!("select coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(q)), '[]')::text as answer from ({query}) q")
}

/// Asks one question in a read-only transaction of its own.
pub(super) async fn rows(client: &Client, query: &str) -> Result<Rows, PgError> {
    let rows = query_alone(client, &as_json(query)).await?;
    let text: String = rows.first().ok_or_else(|| PgError::Protocol("no answer".to_owned()))?.try_get(0)?;
    parse(&text)
}

/// The rows that a text holds.
pub(super) fn parse(text: &str) -> Result<Rows, PgError> {
    serde_json::from_str(text).map(Rows).map_err(undecodable)
}

/// An answer that is not of the form that its query has.
pub(super) fn undecodable(error: serde_json::Error) -> PgError {
    PgError::Protocol(format!("an answer of the catalogs has another form than expected ({error})"))
}

/// A transaction that writes nothing, waits for nobody, and sees no user's function in the place of a built-in one.
pub(super) const BEGIN: &str = "begin transaction read only; set local search_path to pg_catalog, pg_temp; \
                                set local statement_timeout to '20s'; set local lock_timeout to '2s'";

/// Runs one query in a read-only transaction of its own, without a prepared statement, so that it works through every pooler.
///
/// The three messages are sent at once: `join3` polls in order, and each future sends on its first poll.
pub(super) async fn query_alone(client: &Client, query: &str) -> Result<Vec<Row>, PgError> {
    let (begun, rows, ended) =
        join3(client.batch_execute(BEGIN), client.query_typed(query, &[]), client.batch_execute("rollback")).await;
    begun?;
    let rows = rows?;
    ended?;
    Ok(rows)
}
