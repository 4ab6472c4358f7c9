//! Family E: encoding and collation.

mod collations;

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;

use super::Purpose;
use super::answer::Rows;
use super::check::{CATALOGS, Check, Context, Evaluated, Look, Object, Side, qualified};
use super::facts::{Locale, ServerFacts};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human;

pub(super) fn checks(purpose: Purpose) -> Vec<Check> {
    let mut checks = vec![
        Check {
            code: "E1",
            title: "Encodings",
            about: "whether the encodings are equal or can be converted",
            grant: "",
            explain: "A database has one encoding for all text in it. UTF8 has every character; the older ones have some, and SQL_ASCII is \
                      no encoding but the absence of one: bytes go in and out as they are.\n\n\
                      The check compares both encodings. From an older encoding to UTF8 text is converted, and nothing is lost. In the \
                      other direction rows with characters that the target does not know are refused. From SQL_ASCII rows whose bytes \
                      are no valid text on the target are refused; which ones those are can only be found by reading every row, which \
                      the check does not do.\n\n\
                      Use a target in UTF8. For a source in SQL_ASCII find out which encoding its clients really used, and mend the rows \
                      that differ before the migration.",
            look: Look::Both(encodings),
        },
        Check {
            code: "E2",
            title: "Sort order",
            about: "whether both databases sort alike",
            grant: "",
            explain: "The locale of a database decides how text is sorted and compared, and which characters are letters. Two names of one \
                      locale count as equal, and the library that does the sorting (libc, ICU, or Postgres itself) counts as part of it. \
                      Even with equal names two servers can sort differently, if their libraries are of different versions.\n\n\
                      No data is lost, and indexes are built anew. Queries with `order by`, comparisons with `<` and `between`, and the \
                      bounds of text partitions may give other results; E6 looks at the last.\n\n\
                      Create the target database with the source's locale where its server has it, or write `collate` into the queries \
                      that depend on the order.",
            look: Look::Both(locales),
        },
        Check {
            code: "E5",
            title: "Collations of columns",
            about: "whether the target has the collations that columns of the source use",
            grant: CATALOGS,
            explain: "A column can be sorted by a collation of its own. Those that a person made travel with the definitions (see E4); those \
                      that came with the server depend on its operating system and its build, and other servers may lack them. A table \
                      with a collation that the server does not know cannot be created.\n\n\
                      The check compares the collations that columns in scope use with those of the target's server, by name and for the \
                      target's encoding. Give the columns a collation that both have; on a large table that rewrites its indexes and \
                      locks it meanwhile.",
            look: Look::Pair { source: COLUMN_COLLATIONS, target: COLLATIONS, evaluate: column_collations },
        },
    ];
    if purpose == Purpose::Check {
        checks.extend(collations::checks());
    }
    checks
}

/// Collations that a person made travel with the definitions; those that came with the server must be on the target's server too.
const COLUMN_COLLATIONS: &str = "
select n.nspname::text as schema, c.relname::text as name, a.attname::text as column, l.collname::text as collation
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_collation l on l.oid = a.attcollation join pg_namespace ln on ln.oid = l.collnamespace
 where c.relkind in ('r', 'p', 'm', 'v', 'f') and a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema' and ln.nspname = 'pg_catalog' and l.collname not in ('default', 'C', 'POSIX')
 order by 1, 2, a.attnum";

const COLLATIONS: &str = "
select l.collname::text as name from pg_collation l
 where l.collnamespace = 'pg_catalog'::regnamespace
   and l.collencoding in (-1, (select d.encoding from pg_database d where d.datname = current_database()))";

#[derive(Deserialize)]
struct Column {
    schema: String,
    name: String,
    column: String,
    collation: String,
}

fn column_collations(cx: &Context<'_>, columns: &Rows, collations: &Rows) -> Evaluated {
    let offered: HashSet<String> = collations.parse::<Object>()?.into_iter().map(|collation| collation.name).collect();
    let (mut objects, mut missing) = (Vec::new(), BTreeSet::new());
    for Column { schema, name: table, column, collation } in columns.parse()? {
        if cx.takes(&schema, &table) && !offered.contains(&collation) {
            objects.push(format!("column {}.{} ({})", qualified(&schema, &table), human(&column), human(&collation)));
            missing.insert(human(&collation));
        }
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let missing: Vec<String> = missing.into_iter().collect();
    let sentence = format!(
        "The target's server does not have {} that columns of the source use: {}.",
        collations_word(&missing),
        missing.join(", ")
    );
    let why = "A table cannot be created with a collation that the server does not know. Which ones it knows depends on its \
               operating system.";
    let fix = "Give the columns a collation that both have, on the source (alter table … alter column … type … collate …), use a \
               target whose server has it, or leave \
               the tables out with --exclude.";
    Ok(vec![Finding::new("E5", Severity::Blocker, Side::Target.name(), sentence, why).with_fix(fix).with_objects(objects)])
}

fn collations_word(missing: &[String]) -> &'static str {
    if missing.len() == 1 { "a collation" } else { "collations" }
}

/// Our sessions speak UTF8 with both servers, so both encodings must be convertible from and to it. All are but two: `SQL_ASCII`,
/// which stands for bytes of unknown meaning, and `MULE_INTERNAL` (Postgres documentation, character set support).
fn encodings(cx: &Context<'_>, end: &ServerFacts) -> Vec<Finding> {
    let (source, target) = (cx.source().encoding.as_str(), end.encoding.as_str());
    if source == target {
        return Vec::new();
    }
    let (severity, sentence, why) = match (source, target) {
        ("MULE_INTERNAL", _) | (_, "MULE_INTERNAL") => (
            Severity::Blocker,
            format!("The source is in {source} and the target in {target}, and there is no conversion between them."),
            "Text could not be carried over.",
        ),
        ("SQL_ASCII", _) => (
            Severity::Warning,
            format!("The source is in SQL_ASCII, which checks nothing, and the target is in {target}, which does."),
            "Text goes over byte by byte. Rows whose bytes are not valid in the target's encoding are refused by it, and their \
             table's copy stops.",
        ),
        (_, "SQL_ASCII") => (
            Severity::Warning,
            format!("The source is in {source}, and the target is in SQL_ASCII, which knows no characters."),
            "Text arrives as bytes of UTF8; from then on length(), upper() and patterns on the target count bytes, not characters.",
        ),
        (_, "UTF8") => (
            Severity::Note,
            format!("Text is converted on the way, from {source} to UTF8."),
            "Every character of the source exists in UTF8. Text may take more bytes, but as many characters.",
        ),
        _ => (
            Severity::Warning,
            format!("Text is converted on the way, from {source} to {target}."),
            "Rows with characters that the target's encoding does not have are refused by it, and their table's copy stops.",
        ),
    };
    let finding = Finding::new("E1", severity, "target", sentence, why);
    if severity == Severity::Note {
        return vec![finding];
    }
    // From 15 on a database takes its template's locale provider unless told, and only libc's C goes with SQL_ASCII.
    let provider = if end.version.major() >= 15 { " locale_provider libc" } else { "" };
    let fix = match source {
        "SQL_ASCII" => format!(
            "Find out which encoding the bytes are in, and mend those that are not, before the migration; or use a target in \
             SQL_ASCII:\n\
             create database \"migrated\" template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'{provider};"
        ),
        _ => "Use a target in UTF8:\ncreate database \"migrated\" template template0 encoding 'UTF8';".to_owned(),
    };
    vec![finding.with_fix(fix)]
}

fn locales(cx: &Context<'_>, target: &ServerFacts) -> Vec<Finding> {
    let (source, target) = (&cx.source().locale, &target.locale);
    if order(source) == order(target) {
        return Vec::new();
    }
    let sentence = format!("The source sorts text by {}, the target by {}.", describe(source), describe(target));
    let why = "Queries with order by may give another order, and text compares differently in ranges; nothing is lost. Text \
               partition bounds are an exception: rows may \
               belong elsewhere.";
    let fix = "Nothing, if your queries do not depend on the order. Otherwise create the target database with the source's \
               locale (create database … template template0 \
               locale …), where the target's server has it, or write collate into the queries that depend on it.";
    vec![Finding::new("E2", Severity::Warning, "target", sentence, why).with_fix(fix)]
}

/// What decides the order and the classes of characters. `C.UTF-8` and `C.utf8` are two spellings of one locale, and libc's `C` and
/// `POSIX` are one.
fn order(locale: &Locale) -> (String, String, String) {
    let spelling = |name: &str| {
        let name = name.to_ascii_lowercase().replace("utf-8", "utf8");
        if name == "posix" { "c".to_owned() } else { name }
    };
    match (locale.provider.as_str(), &locale.name) {
        ("c", _) | (_, None) => ("libc".to_owned(), spelling(&locale.collate), spelling(&locale.ctype)),
        (provider, Some(name)) => (provider.to_owned(), spelling(name), String::new()),
    }
}

fn describe(locale: &Locale) -> String {
    match (locale.provider.as_str(), &locale.name) {
        ("i", Some(name)) => format!("{name} of ICU"),
        ("b", Some(name)) => format!("{name}, built in"),
        _ if locale.collate == locale.ctype => format!("{} of libc", locale.collate),
        _ => format!("{} of libc (with character classes of {})", locale.collate, locale.ctype),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::super::facts::Known;
    use super::*;

    #[test]
    fn each_pair_of_encodings_is_weighed() {
        let weigh = |source: &str, target: &str| {
            let mut known = Known::plain();
            known.source.encoding = source.to_owned();
            let end = ServerFacts { encoding: target.to_owned(), ..known.target_mut().clone() };
            let findings = encodings(&Context { known: &known, options: &Options::copy() }, &end);
            findings.first().map(|finding| finding.severity)
        };
        assert_eq!(weigh("UTF8", "UTF8"), None);
        assert_eq!(weigh("LATIN1", "UTF8"), Some(Severity::Note));
        assert_eq!(weigh("UTF8", "LATIN1"), Some(Severity::Warning));
        assert_eq!(weigh("SQL_ASCII", "UTF8"), Some(Severity::Warning));
        assert_eq!(weigh("UTF8", "SQL_ASCII"), Some(Severity::Warning));
        assert_eq!(weigh("MULE_INTERNAL", "UTF8"), Some(Severity::Blocker));
    }

    fn libc(collate: &str) -> Locale {
        Locale { provider: "c".into(), collate: collate.into(), ctype: collate.into(), name: None }
    }

    #[test]
    fn spellings_of_one_locale_are_equal() {
        assert_eq!(order(&libc("C.UTF-8")), order(&libc("C.utf8")));
        assert_eq!(order(&libc("en_US.UTF-8")), order(&libc("en_US.utf8")));
        assert_eq!(order(&libc("C")), order(&libc("POSIX")));
        assert_ne!(order(&libc("C")), order(&libc("C.UTF-8")));
        let icu = Locale { provider: "i".into(), name: Some("en-US".into()), ..libc("en_US.UTF-8") };
        assert_ne!(order(&icu), order(&libc("en_US.UTF-8")));
        assert_eq!(order(&icu), order(&Locale { collate: "C".into(), ..icu.clone() }));
    }
}
