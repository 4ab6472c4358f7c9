//! What the source's tables looked like when their schema was read.
//!
//! The target is made from what pg_dump read in one snapshot. When rows are read in a later one (after a crash, or when the session that held the
//! first was ended), the tables must still have the same names and columns: rows of other columns would be refused by the target at best, and be
//! taken for something else at worst. So the shapes are written down beside the archive, and compared before anything is read in a new snapshot.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::error::{Error, Side};
use crate::engine::report::{Exit, Report};
use crate::pg::types::Oid;

/// The name of the file in the migration's directory.
pub const FILE: &str = "tables.json";

/// Names and columns of all tables, by oid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shapes(BTreeMap<Oid, Shape>);

/// Name and columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    name: String,
    columns: Vec<String>,
}

const SHAPES: &str = "
select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
       array(select pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                    case a.attgenerated when '' then '' else ' generated' end)
               from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

impl Shapes {
    /// Reads them in whatever snapshot the session is.
    ///
    /// # Errors
    /// Any failure of the source.
    pub async fn read(source: &Client) -> Result<Shapes, Error> {
        let failed = |error: tokio_postgres::Error| Side::Source.failed("reading the columns of all tables", error);
        let rows = source.query(SHAPES, &[]).await.map_err(failed)?;
        let shape = |row: &tokio_postgres::Row| {
            Ok((row.try_get("oid")?, Shape { name: row.try_get("name")?, columns: row.try_get("columns")? }))
        };
        rows.iter().map(shape).collect::<Result<_, _>>().map(Shapes).map_err(failed)
    }

    /// Writes them down.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn store(&self, dir: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(std::io::Error::other);
        let written = json.and_then(|json| std::fs::write(dir.join(FILE), json));
        written.map_err(|error| Error::File { doing: "noting the columns of all tables".to_owned(), error })
    }

    /// What an earlier run wrote down.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn load(dir: &Path) -> Result<Shapes, Error> {
        let read = std::fs::read(dir.join(FILE)).and_then(|json| serde_json::from_slice(&json).map_err(std::io::Error::other));
        read.map_err(|error| Error::File { doing: "reading the columns of all tables".to_owned(), error })
    }

    /// Refuses to go on if one of these tables is not what it was; `now` is what the source shows.
    ///
    /// # Errors
    /// A sentence that names the first table that changed, and how.
    pub fn check(&self, now: &Shapes, tables: impl Iterator<Item = Oid>) -> Result<(), Report> {
        for oid in tables {
            let Some(then) = self.0.get(&oid) else { continue };
            let sentence = match now.0.get(&oid) {
                None => format!("The table {} was dropped on the source after its schema was read.", then.name),
                Some(now) if now.name != then.name => {
                    format!("The table {} was renamed to {} on the source after its schema was read.", then.name, now.name)
                }
                Some(now) if now.columns != then.columns => {
                    format!(
                        "The table {} was altered on the source after its schema was read: {}.",
                        then.name,
                        difference(then, now)
                    )
                }
                Some(_) => continue,
            };
            return Err(changed_since(sentence));
        }
        Ok(())
    }
}

/// What a person is told whose source does not look as it did.
pub fn changed_since(sentence: impl Into<String>) -> Report {
    Report::new("schema-changed", Exit::Source, sentence)
        .with_fix("Start over with --replace-target, and leave the source's schema as it is until the copy is done.")
}

/// The columns that are gone and those that are new.
fn difference(then: &Shape, now: &Shape) -> String {
    let missing = |of: &Shape, from: &Shape| -> Vec<String> {
        of.columns.iter().filter(|column| !from.columns.contains(column)).cloned().collect()
    };
    let (gone, new) = (missing(then, now), missing(now, then));
    match (gone.is_empty(), new.is_empty()) {
        (true, true) => "its columns have another order".to_owned(),
        (true, false) => format!("new is {}", new.join(", ")),
        (false, true) => format!("gone is {}", gone.join(", ")),
        (false, false) => format!("it had {}, and has {} now", gone.join(", "), new.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shapes(name: &str, columns: &[&str]) -> Shapes {
        let shape = Shape { name: name.to_owned(), columns: columns.iter().map(ToString::to_string).collect() };
        Shapes(BTreeMap::from([(7, shape)]))
    }

    #[test]
    fn a_table_that_changed_is_named_with_the_change() {
        let then = shapes("s.t", &["id integer", "a text"]);
        let told = |now: &Shapes| then.check(now, [7, 8].into_iter()).map_err(|report| report.message);
        assert_eq!(told(&then), Ok(()));
        let message = told(&shapes("s.t", &["id bigint", "a text"])).unwrap_err();
        assert!(message.ends_with("it had id integer, and has id bigint now."), "{message}");
        assert!(told(&shapes("s.t", &["id integer"])).unwrap_err().ends_with("gone is a text."));
        assert!(told(&shapes("s.u", &["id integer", "a text"])).unwrap_err().contains("renamed to s.u"));
        assert!(told(&Shapes::default()).unwrap_err().contains("was dropped"));
        assert_eq!(then.check(&Shapes::default(), [8].into_iter()).map_err(|report| report.message), Ok(()));
    }
}
