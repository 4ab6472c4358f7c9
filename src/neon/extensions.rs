//! What extensions Neon offers, by major, as published; `data/extensions.toml` has the facts and their dates.
//!
//! It is what can be said before there is a target. A target that can be asked knows better.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

const TEXT: &str = include_str!("../../data/extensions.toml");

/// A text that does not parse gives an empty table; a test forbids that it ships.
static TABLE: LazyLock<Table> = LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    as_of: String,
    extensions: BTreeMap<String, Extension>,
    unsupported: BTreeMap<String, Unsupported>,
}

/// An extension on Neon's list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// How far it can be used.
    pub status: Status,
    /// Whether its library has to be loaded when the compute starts.
    pub preload: Preload,
    /// What else to know, in full sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Extensions that it needs.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Other names that people use for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    versions: BTreeMap<String, String>,
}

/// How far an extension can be used in a new project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Without reservation.
    Supported,
    /// After an unstable feature was allowed.
    Experimental,
    /// Only where it is installed already.
    NoNewInstalls,
    /// Refused.
    Blocked,
    /// Listed, but it may well be refused.
    Unclear,
    /// After Neon's support has enabled it.
    SupportEnabled,
    /// Neon itself installs it.
    NeonManaged,
    /// Part of every database.
    Builtin,
    /// No extension, but a plugin for logical decoding.
    OutputPlugin,
}

impl Status {
    /// Whether `create extension` can be expected to work in a new project, perhaps after a step that [`Extension::remark`] names.
    pub fn installable(self) -> bool {
        match self {
            Status::Supported | Status::Experimental | Status::SupportEnabled | Status::Builtin => true,
            Status::NoNewInstalls | Status::Blocked | Status::Unclear | Status::NeonManaged | Status::OutputPlugin => false,
        }
    }

    fn sentence(self) -> Option<&'static str> {
        match self {
            Status::Supported | Status::Builtin => None,
            Status::Experimental => Some("Neon calls it experimental."),
            Status::NoNewInstalls => Some("Neon has closed it to new installations."),
            Status::Blocked => Some("Neon refuses to install it."),
            Status::Unclear => Some("Neon lists it, but may refuse to install it: probe the target."),
            Status::SupportEnabled => Some("Neon's support has to enable it first."),
            Status::NeonManaged => Some("Neon installs it by itself; do not create it by hand."),
            Status::OutputPlugin => Some("It is a plugin for logical decoding, not an extension that is created."),
        }
    }
}

/// Whether a library has to be loaded when the compute starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preload {
    /// No library, or none that has to be loaded.
    None,
    /// Every compute loads it.
    Default,
    /// The project's settings have to name it.
    Optional,
}

impl Extension {
    /// The version that a new installation on this major gets; nothing if the major has none.
    pub fn version(&self, major: u32) -> Option<&str> {
        self.versions.get(&major.to_string()).map(String::as_str)
    }

    /// The majors that have it, in ascending order.
    pub fn majors(&self) -> Vec<u32> {
        self.versions.keys().filter_map(|major| major.parse().ok()).collect()
    }

    /// What people should know before they rely on it, in full sentences; nothing if there is nothing to say.
    pub fn remark(&self) -> Option<String> {
        let preload = (self.preload == Preload::Optional)
            .then_some("Its library must be named in preload_libraries of the project's settings, and the compute restarted.");
        let needs = (!self.requires.is_empty()).then(|| format!("It needs {}.", self.requires.join(", ")));
        let first = self.status.sentence().into_iter().chain(preload).map(str::to_owned);
        let sentences: Vec<String> = first.chain(needs).chain(self.notes.iter().cloned()).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

/// What Neon says to an extension on a major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer<'a> {
    /// It has this version of it. Whether it can be installed is for [`Status::installable`] to say.
    Offered {
        /// The version that a new installation gets, as Neon's page spells it.
        version: &'a str,
        /// The extension.
        entry: &'a Extension,
    },
    /// Other majors have it.
    NotForMajor(&'a Extension),
    /// It is not on the list.
    NotOffered,
}

/// What Neon says to an extension, by its name in `pg_extension` or by an alias. A name is stronger than an alias: `ulid` ends with 16, though
/// `pgx_ulid` goes on, because `create extension ulid` fails on 17.
pub fn offer(extension: &str, major: u32) -> Offer<'static> {
    let table: &'static Table = &TABLE;
    let by_alias = || table.extensions.values().find(|entry| entry.aliases.iter().any(|alias| alias == extension));
    match table.extensions.get(extension).or_else(by_alias) {
        None => Offer::NotOffered,
        Some(entry) => match entry.version(major) {
            Some(version) => Offer::Offered { version, entry },
            None => Offer::NotForMajor(entry),
        },
    }
}

/// The day of the newest publication that the list is taken from, as `2026-10-02`.
pub fn as_of() -> &'static str {
    &TABLE.as_of
}

/// An extension that is usual elsewhere and is not on Neon's list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsupported {
    /// Where it is usual: providers, `contrib` (Postgres's own), `self-hosted`, or `any`.
    pub seen_on: Vec<String>,
    /// What becomes of what depends on it.
    pub action: Action,
    /// What to do instead, in full sentences.
    pub hint: String,
}

/// What becomes of an extension that the target does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It goes, and nothing of the user's is lost.
    Drop,
    /// Something else takes its place.
    Replace,
    /// Objects of the user's depend on it and have to be rewritten.
    Rewrite,
}

/// What to do about an extension that Neon does not offer; nothing if it is not known.
pub fn unsupported(extension: &str) -> Option<&'static Unsupported> {
    TABLE.unsupported.get(extension)
}

/// Compares two versions by the numeric parts that both have: `1.6` equals `1.6.4`, because some are published shorter than `pg_extension` says
/// them. A part's letters are ignored, and so is all after a part without a number.
pub fn compare_versions(source: &str, offered: &str) -> Ordering {
    let both = numbers(source).zip(numbers(offered));
    both.map(|(source, offered)| source.cmp(&offered)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn numbers(version: &str) -> impl Iterator<Item = u64> {
    version.split('.').map_while(|part| {
        let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_table_parses() {
        let table: Table = toml::from_str(TEXT).unwrap();
        assert_eq!((table.extensions.len(), table.unsupported.len()), (88, 138));
        for entry in table.extensions.values() {
            assert!(!entry.versions.is_empty());
            assert!(entry.majors().iter().all(|major| (14..=18).contains(major)), "{entry:?}");
            assert_eq!(entry.majors().len(), entry.versions.len(), "{entry:?}");
            assert!(entry.requires.iter().all(|name| table.extensions.contains_key(name)), "{entry:?}");
        }
        for name in table.unsupported.keys() {
            assert_eq!(offer(name, 17), Offer::NotOffered, "{name} is on both lists");
        }
        assert_eq!(as_of(), "2026-10-02");
    }

    #[test]
    fn people_read_full_sentences() {
        let remarks = TABLE.extensions.values().filter_map(Extension::remark);
        for text in remarks.chain(TABLE.unsupported.values().map(|entry| entry.hint.clone())) {
            assert!(text.ends_with('.') && text.starts_with(|c: char| c.is_uppercase()), "{text}");
        }
    }

    #[test]
    fn offers_by_name_and_major() {
        let version = |name: &str, major| match offer(name, major) {
            Offer::Offered { version, .. } => version,
            Offer::NotForMajor(_) => "other majors",
            Offer::NotOffered => "none",
        };
        let cases = [
            ("citext", "1.6", "1.8"),
            ("vector", "0.8.0", "0.8.1"),
            ("pgvector", "0.8.0", "0.8.1"),
            ("postgis", "3.3.10", "3.6.4"),
            ("uuid-ossp", "1.1", "1.1"),
            ("uuid_ossp", "1.1", "1.1"),
            ("btree_gist", "1.6", "1.8"),
            ("pg_stat_statements", "1.9", "1.12"),
            ("hll", "2.21", "2.21"),
            ("ulid", "0.1.5", "other majors"),
            ("pgx_ulid", "other majors", "0.2.2"),
            ("lakebase_vector", "other majors", "1.1.1"),
            ("pg_mooncake", "0.1.3", "other majors"),
            ("plpgsql", "1.0", "1.0"),
            ("pgaudit", "none", "none"),
            ("aws_s3", "none", "none"),
            ("Citext", "none", "none"),
            ("", "none", "none"),
            ("vector\"; drop", "none", "none"),
        ];
        for (name, on_14, on_18) in cases {
            assert_eq!((version(name, 14), version(name, 18)), (on_14, on_18), "{name}");
        }
        assert_eq!((version("ulid", 16), version("ulid", 17), version("pgx_ulid", 17)), ("0.1.5", "other majors", "0.2.0"));
        assert_eq!((version("citext", 13), version("citext", 19)), ("other majors", "other majors"));
    }

    #[test]
    fn what_is_closed_cannot_be_installed() {
        let installable = |name: &str| match offer(name, 16) {
            Offer::Offered { entry, .. } => entry.status.installable(),
            other => panic!("{name}: {other:?}"),
        };
        for name in ["citext", "anon", "plpgsql", "pg_repack", "timescaledb"] {
            assert!(installable(name), "{name}");
        }
        for name in ["plv8", "pg_search", "pg_ivm", "plls", "neon", "wal2json"] {
            assert!(!installable(name), "{name}");
        }
    }

    #[test]
    fn remarks_name_the_steps() {
        let remark = |name: &str| match offer(name, 16) {
            Offer::Offered { entry, .. } => entry.remark(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(remark("citext"), None);
        assert_eq!(remark("plpgsql"), None);
        assert_eq!(
            remark("anon").unwrap(),
            "Neon calls it experimental. Its library must be named in preload_libraries of the project's settings, and the compute \
             restarted. Run set neon.allow_unstable_extensions = 'true'; before create extension. Only static masking is supported."
        );
        assert_eq!(remark("earthdistance").unwrap(), "It needs cube. Create cube first.");
        assert!(
            remark("plv8").unwrap().starts_with("Neon refuses to install it. Create extension has been rejected since 2026-05-01.")
        );
        assert_eq!(unsupported("amcheck").map(|entry| entry.action), Some(Action::Drop));
        assert_eq!(unsupported("citext"), None);
    }

    #[test]
    fn versions_compare_by_what_both_say() {
        let cases = [
            ("1.6", "1.6.4", Ordering::Equal),
            ("1.6.4", "1.6", Ordering::Equal),
            ("1.10", "1.9", Ordering::Greater),
            ("3.5.7", "3.6.4", Ordering::Less),
            ("2", "2.21", Ordering::Equal),
            ("0.8.0", "0.8.1", Ordering::Less),
            ("3.4.0dev", "3.4.0", Ordering::Equal),
            ("3.6.0rc1", "3.5.7", Ordering::Greater),
            ("unpackaged", "1.0", Ordering::Equal),
            ("", "", Ordering::Equal),
            ("99999999999999999999999", "1", Ordering::Greater),
        ];
        for (source, offered, order) in cases {
            assert_eq!(compare_versions(source, offered), order, "{source} and {offered}");
        }
    }
}
