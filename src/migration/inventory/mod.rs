//! Every object of a database, in a form that can be compared with another database, whatever the two majors.
//!
//! One query per kind of object gives rows of text: `kind`, `name` (as people write it), `toc` (schema and tag as in a pg_dump
//! archive's table of contents), `parent` (the table that it belongs to), and one column per property. What a property's column
//! is called says how it is compared:
//!
//! * `…_same_major`: Postgres prints it differently on different majors (views, rules, SQL bodies of functions), so it is
//!   compared only where the majors are the same, and otherwise named among what was not compared.
//! * `owner`, `grants`, `tablespace`, `last_value`: compared only where they are meant to be equal, see [`Options`].
//! * `…_hash`: compared and never shown, because it may hold secrets.
//! * anything else: compared as text. A null is a property that the object does not have.
//!
//! Members of extensions are not listed: they come with the extension. Nor are the schema `neon_migrate` and publications and
//! subscriptions whose names begin so: they are ours.

mod compare;
mod policy;

use std::collections::BTreeMap;

use futures_util::{TryStreamExt, pin_mut};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

pub use compare::{Comparison, Difference, LeftOut, Options, What, compare, explain};
pub use policy::{Settled, settle};

use crate::pg::error::PgError;
use crate::pg::types::ServerVersion;

/// Texts longer than this are kept by their hash.
const TEXT_MAX: usize = 160;

const QUERIES: &[&str] = &[
    include_str!("sql/schemas.sql"),
    include_str!("sql/extensions.sql"),
    include_str!("sql/relations.sql"),
    include_str!("sql/columns.sql"),
    include_str!("sql/constraints.sql"),
    include_str!("sql/indexes.sql"),
    include_str!("sql/functions.sql"),
    include_str!("sql/types.sql"),
    include_str!("sql/operators.sql"),
    include_str!("sql/operator_classes.sql"),
    include_str!("sql/operator_families.sql"),
    include_str!("sql/casts.sql"),
    include_str!("sql/collations.sql"),
    include_str!("sql/conversions.sql"),
    include_str!("sql/text_search.sql"),
    include_str!("sql/triggers.sql"),
    include_str!("sql/event_triggers.sql"),
    include_str!("sql/rules.sql"),
    include_str!("sql/policies.sql"),
    include_str!("sql/statistics.sql"),
    include_str!("sql/foreign_servers.sql"),
    include_str!("sql/publications.sql"),
    include_str!("sql/subscriptions.sql"),
    include_str!("sql/default_privileges.sql"),
    include_str!("sql/comments.sql"),
    include_str!("sql/security_labels.sql"),
    include_str!("sql/large_objects.sql"),
    include_str!("sql/settings.sql"),
    include_str!("sql/languages.sql"),
];

/// Queries over catalogs that only later majors have.
const LATER_QUERIES: &[(u32, &str)] = &[(15, include_str!("sql/publication_schemas.sql"))];

/// Columns of every query that are not properties.
const PLAIN_COLUMNS: [&str; 4] = ["kind", "name", "toc", "parent"];

/// What an object is, and what it is called: unique within a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// `table`, `column`, `foreign data wrapper`, ….
    pub kind: &'static str,
    /// Its name with its schema and, for what belongs to a table, the table; quoted where needed.
    pub name: Box<str>,
}

/// One object's properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// The relation or type that it belongs to, named as that is named.
    pub parent: Option<Box<str>>,
    /// Its schema and tag in the table of contents of a pg_dump archive, joined by a dot; none for what has no entry of its own.
    pub toc: Option<Box<str>>,
    /// Its properties, few: a list takes a third of the memory of a map.
    properties: Vec<(&'static str, Text)>,
}

impl Object {
    /// One of its properties, by the name of the query's column.
    pub fn property(&self, name: &str) -> Option<&Text> {
        self.properties.iter().find(|(property, _)| *property == name).map(|(_, text)| text)
    }
}

/// A property's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Short enough to be kept, and shown.
    Short(Box<str>),
    /// The SHA-256 of a longer one.
    Hashed(Box<[u8; 32]>),
}

impl Text {
    /// Grants are kept whole, because they are compared piece by piece.
    fn new(property: &str, text: &str) -> Text {
        if text.len() <= TEXT_MAX || property == "grants" {
            Text::Short(text.into())
        } else {
            Text::Hashed(Box::new(Sha256::digest(text).into()))
        }
    }
}

/// All objects of a database.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The major version that printed the definitions.
    pub major: u32,
    /// The objects.
    pub objects: BTreeMap<ObjectId, Object>,
}

impl Inventory {
    /// Reads it, in whatever transaction the session is. The session needs [`crate::migration::verify::SESSION_SETTINGS`], above
    /// all the empty `search_path`, so that every name is printed with its schema. Objects that the session's role may not see
    /// are no less listed: catalogs are readable for all.
    pub async fn load(client: &Client) -> Result<Inventory, PgError> {
        let version: i32 = client.query_one("select current_setting('server_version_num')::int4", &[]).await?.try_get(0)?;
        let major = ServerVersion(u32::try_from(version).unwrap_or(0)).major();
        let mut inventory = Inventory { major, objects: BTreeMap::new() };
        let later = LATER_QUERIES.iter().filter(|(from, _)| major >= *from).map(|(_, sql)| *sql);
        for sql in QUERIES.iter().copied().chain(later) {
            let rows = client.simple_query_raw(&expand(sql)).await?;
            pin_mut!(rows);
            while let Some(message) = rows.try_next().await? {
                if let SimpleQueryMessage::Row(row) = message {
                    inventory.add(&row);
                }
            }
        }
        Ok(inventory)
    }

    fn add(&mut self, row: &SimpleQueryRow) {
        let id = ObjectId { kind: interned(row.get("kind").unwrap_or_default()), name: row.get("name").unwrap_or_default().into() };
        let properties = row.columns().iter().enumerate().filter(|(_, column)| !PLAIN_COLUMNS.contains(&column.name()));
        let properties =
            properties.filter_map(|(i, column)| Some((interned(column.name()), Text::new(column.name(), row.get(i)?))));
        let mut properties: Vec<_> = properties.collect();
        properties.shrink_to_fit();
        self.objects
            .insert(id, Object { parent: row.get("parent").map(Into::into), toc: row.get("toc").map(Into::into), properties });
    }
}

/// Kinds and names of properties come from our own few queries, so they are kept once.
fn interned(name: &str) -> &'static str {
    use std::collections::HashSet;
    use std::sync::{Mutex, OnceLock, PoisonError};
    static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut names = NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

/// Writes out the conditions and expressions that many queries share: `@user_schema(name)@`, `@not_extension('catalog', oid)@`,
/// `@grants(acl, 'type', owner)@` and, for privileges without a default, `@grants_only(acl, owner)@`.
fn expand(sql: &str) -> String {
    let mut parts = sql.split('@');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match macro_call(part) {
            Some(text) => expanded += &text,
            None => expanded += part,
        }
    }
    expanded
}

fn macro_call(part: &str) -> Option<String> {
    let (name, rest) = part.split_once('(')?;
    let arguments = rest.strip_suffix(')')?;
    match name {
        "user_schema" => Some(format!("({arguments} !~ '^pg_' and {arguments} not in ('information_schema', 'neon_migrate'))")),
        "not_extension" => {
            let (catalog, oid) = arguments.split_once(", ")?;
            let member = format!("member.classid = {catalog}::regclass and member.objid = {oid} and member.deptype = 'e'");
            Some(format!("not exists (select from pg_depend member where {member})"))
        }
        "grants" => {
            let (rest, owner) = arguments.rsplit_once(", ")?;
            let (acl, class) = rest.split_once(", ")?;
            Some(grants(&format!("coalesce({acl}, acldefault({class}, {owner}))"), owner))
        }
        "grants_only" => arguments.split_once(", ").map(|(acl, owner)| grants(acl, owner)),
        _ => None,
    }
}

/// Privileges as sorted text without grantors. The owner is called so, because owners may differ on purpose.
fn grants(acl: &str, owner: &str) -> String {
    format!(
        "(select string_agg(g.text, '; ' order by g.text collate \"C\") from (select case entry.grantee when {owner} then 'owner' when 0 then 'public' \
         else quote_ident(pg_get_userbyid(entry.grantee)) end || '=' || string_agg(entry.privilege_type || case when entry.is_grantable then '*' else '' end, ',' \
         order by entry.privilege_type collate \"C\") as text from aclexplode({acl}) entry group by entry.grantee) g)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_macro_is_written_out() {
        for sql in QUERIES.iter().copied().chain(LATER_QUERIES.iter().map(|(_, sql)| *sql)) {
            let expanded = expand(sql);
            let left = ["user_schema(", "not_extension(", "grants(", "grants_only("];
            assert!(left.iter().all(|name| !expanded.contains(name)), "{expanded}");
        }
    }
}
