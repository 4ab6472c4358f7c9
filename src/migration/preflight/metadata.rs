//! The answers of a database that we cannot connect to: a script for psql, and the file that it writes.
//!
//! The script is plain SQL. Each of its statements asks one question and prints one line of JSON: the question's key and its answer.
//! A statement that fails prints nothing, and its check is then *not evaluated*. The key is a hash of the query, so an answer to a
//! question that was since changed is not taken for an answer to the new one.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::answer::{BEGIN, Rows, as_json};
use crate::pg::error::PgError;

/// What a file of answers begins with.
const MARK: &str = "neon-migrate metadata";

/// The answers that a file holds.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    answers: HashMap<String, Vec<serde_json::Value>>,
}

/// A file that holds no answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It was not written by the script.
    #[error("the file was not written by the script that `neon-migrate check --only-metadata` prints")]
    NotOurs,
    /// It ends in the middle.
    #[error("the file ends in the middle: line {line} is not whole")]
    Broken {
        /// The number of the line, from 1.
        line: usize,
    },
}

#[derive(Deserialize)]
struct Line {
    key: String,
    answer: Vec<serde_json::Value>,
}

impl Metadata {
    /// Reads what the script printed. Lines that psql adds (notices, blank lines) are passed over.
    ///
    /// # Errors
    /// The file is not the script's, or its last line is not whole.
    pub fn parse(text: &str) -> Result<Metadata, MetadataError> {
        let mut metadata = Metadata::default();
        let mut ours = false;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            ours |= line.starts_with(MARK);
            if !line.starts_with("{\"key\"") {
                continue;
            }
            let line: Line = serde_json::from_str(line).map_err(|_| MetadataError::Broken { line: number + 1 })?;
            metadata.answers.insert(line.key, line.answer);
        }
        if ours { Ok(metadata) } else { Err(MetadataError::NotOurs) }
    }

    /// The answer to a query.
    pub(super) fn answer(&self, query: &str) -> Result<Rows, PgError> {
        let found = self.answers.get(&key(query)).map(|rows| Rows(rows.clone()));
        found.ok_or_else(|| {
            PgError::Protocol(
                "the file holds no answer to it: the query failed there, or the script was of another version".to_owned(),
            )
        })
    }
}

/// What a question goes by in the file: it changes when the query does.
fn key(query: &str) -> String {
    let digest = Sha256::digest(query.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// The script that asks the questions: plain SQL, one transaction and one line of output each.
pub(super) fn script(questions: &[(String, &str)]) -> String {
    let mut script = format!(
        "-- neon-migrate {}: asks the catalogs of one database what a migration has to know. It reads catalogs and statistics,\n\
         -- no rows of your tables, and writes nothing. It must be run with psql in the database that is to be moved:\n\
         --\n\
         --   psql -XAtq -d 'the source' -f this-file.sql > metadata.jsonl\n\
         --\n\
         -- Then, anywhere and without a connection: neon-migrate check --from-file metadata.jsonl\n\
         -- A question that your role may not ask fails with an error; the others go on, and the report says what it does not know.\n\n\
         set client_encoding to 'UTF8';\n\
         select '{MARK}, version {}';\n",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_VERSION"),
    );
    let mut seen = std::collections::HashSet::new();
    for (what, query) in questions {
        let key = key(query);
        if !seen.insert(key.clone()) {
            continue;
        }
        let _ = write!(
            script,
            "\n-- {what}\n{BEGIN};\nselect '{{\"key\": \"{key}\", \"answer\": ' || answer || '}}' from (\n{}\n) a;\nrollback;\n",
            as_json(query.trim())
        );
    }
    script
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_are_found_by_their_query() {
        let text = format!(
            "{MARK}, version 0.1.0\nNOTICE: hello\n{{\"key\": \"{}\", \"answer\": [{{\"n\": 1}}]}}\n",
            key("select 1 as n")
        );
        let metadata = Metadata::parse(&text).unwrap();
        assert_eq!(metadata.answer("select 1 as n").unwrap().0.len(), 1);
        assert!(metadata.answer("select 2 as n").unwrap_err().to_string().contains("no answer"));
    }

    #[test]
    fn other_files_and_broken_ones_are_refused() {
        assert_eq!(Metadata::parse("select 1").unwrap_err(), MetadataError::NotOurs);
        assert_eq!(Metadata::parse(&format!("{MARK}\n{{\"key\": \"a\", \"ans")).unwrap_err(), MetadataError::Broken { line: 2 });
    }

    #[test]
    fn a_question_is_asked_once() {
        let script = script(&[("one".to_owned(), "select 1 as n"), ("the same".to_owned(), "select 1 as n")]);
        assert_eq!(script.matches("\"key\"").count(), 1);
    }
}
