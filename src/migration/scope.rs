//! Which tables a migration is about: the patterns of `--include` and `--exclude`.
//!
//! A pattern is `schema` or `schema.table`. `*` stands for any characters and `?` for one. A part in double quotes is taken as it
//! stands, so that names with dots, stars and quotes can be written: `"odd.schema"."50*"`. Names are compared as the catalog holds
//! them: nothing is folded to lower case, because a pattern that matches nothing is an error and therefore noticed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which tables are in and which are out. Without an `include` pattern everything is in; an `exclude` pattern always wins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// At least one of these must match, unless there is none.
    pub include: Vec<Pattern>,
    /// None of these may match.
    pub exclude: Vec<Pattern>,
}

impl Scope {
    /// Whether a table, view or sequence is in.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|p| p.matches(schema, table));
        included && !self.exclude.iter().any(|p| p.matches(schema, table))
    }

    /// Whether anything of a schema can be in.
    pub fn may_match_schema(&self, schema: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|p| p.schema.matches(schema));
        included && !self.exclude.iter().any(|p| p.table.is_none() && p.schema.matches(schema))
    }

    /// Whether everything is in.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// The patterns that match none of `names`, which are pairs of schema and name.
    pub fn unmatched<'a, S: AsRef<str>>(&'a self, names: &[(S, S)]) -> Vec<&'a Pattern> {
        let hits = |p: &Pattern| names.iter().any(|(schema, name)| p.matches(schema.as_ref(), name.as_ref()));
        self.include.iter().chain(&self.exclude).filter(|p| !hits(p)).collect()
    }
}

/// One pattern: `schema` or `schema.table`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    schema: Glob,
    table: Option<Glob>,
}

impl Pattern {
    /// Whether a name is meant. A pattern without a table means everything in the schema.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.as_ref().is_none_or(|glob| glob.matches(table))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing before or after the dot.
    #[error("a part of the pattern is empty; write it as schema or schema.table")]
    Empty,
    /// More than one dot outside quotes.
    #[error("there is more than one dot; put a name that contains a dot in double quotes, as in '\"odd.schema\".table'")]
    TooManyParts,
    /// A quote was opened and never closed.
    #[error("a double quote is never closed")]
    OpenQuote,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut parts = vec![Vec::new()];
        let mut quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let atom = match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    Atom::Char('"')
                }
                '"' => {
                    quoted = !quoted;
                    continue;
                }
                '.' if !quoted => {
                    parts.push(Vec::new());
                    continue;
                }
                '*' if !quoted => Atom::Any,
                '?' if !quoted => Atom::One,
                c => Atom::Char(c),
            };
            if let Some(part) = parts.last_mut() {
                part.push(atom);
            }
        }
        if quoted {
            return Err(PatternError::OpenQuote);
        }
        if parts.iter().any(Vec::is_empty) {
            return Err(PatternError::Empty);
        }
        let mut parts = parts.into_iter().map(Glob);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(schema), table, None) => Ok(Pattern { text: text.to_owned(), schema, table }),
            _ => Err(PatternError::TooManyParts),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atom {
    Char(char),
    One,
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<Atom>);

impl Glob {
    /// Matches with one point of return, the last star: linear in memory and at most quadratic in time.
    fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut pos) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while pos < name.len() {
            match self.0.get(at) {
                Some(Atom::Any) => {
                    star = Some((at, pos));
                    at += 1;
                }
                Some(Atom::One) => (at, pos) = (at + 1, pos + 1),
                Some(Atom::Char(c)) if *c == name[pos] => (at, pos) = (at + 1, pos + 1),
                _ => match star {
                    Some((star_at, taken)) => {
                        star = Some((star_at, taken + 1));
                        (at, pos) = (star_at + 1, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        self.0[at..].iter().all(|atom| *atom == Atom::Any)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn scope(include: &[&str], exclude: &[&str]) -> Scope {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
        Scope { include: parse(include), exclude: parse(exclude) }
    }

    /// The definition, written down word for word: slow, and obviously right.
    fn by_definition(atoms: &[Atom], name: &[char]) -> bool {
        match (atoms.split_first(), name.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Atom::Any, rest)), None) => by_definition(rest, name),
            (Some((Atom::Any, rest)), Some((_, tail))) => by_definition(rest, name) || by_definition(atoms, tail),
            (Some(_), None) => false,
            (Some((Atom::One, rest)), Some((_, tail))) => by_definition(rest, tail),
            (Some((Atom::Char(c), rest)), Some((first, tail))) => c == first && by_definition(rest, tail),
        }
    }

    proptest! {
        #[test]
        fn globs_match_as_defined(pattern in "[ab*?]{1,8}", name in "[ab]{0,8}") {
            let parsed: Pattern = pattern.parse().unwrap();
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(parsed.schema.matches(&name), by_definition(&parsed.schema.0, &chars));
        }

        #[test]
        fn a_quoted_name_matches_itself_and_nothing_else(schema in "\\PC{1,12}", table in "\\PC{1,12}", other in "\\PC{1,12}") {
            let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            let pattern: Pattern = format!("{}.{}", quote(&schema), quote(&table)).parse().unwrap();
            prop_assert!(pattern.matches(&schema, &table));
            prop_assert_eq!(pattern.matches(&schema, &other), other == table);
            prop_assert_eq!(pattern.matches(&other, &table), other == schema);
        }

        #[test]
        fn an_excluded_table_is_never_in(
            include in "[ab*?]{1,4}",
            exclude in "[ab*?]{1,4}",
            schema in "[ab]{1,4}",
            table in "[ab]{1,4}",
        ) {
            let scope = scope(&[&include], &[&exclude]);
            if scope.exclude[0].matches(&schema, &table) {
                prop_assert!(!scope.matches(&schema, &table));
            }
            if scope.matches(&schema, &table) {
                prop_assert!(scope.may_match_schema(&schema));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,20}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(String::from(pattern), text);
            }
        }
    }

    #[test]
    fn what_people_write() {
        let scope = scope(&["app", "audit.log_*"], &["app.tmp?"]);
        assert!(scope.matches("app", "orders"));
        assert!(scope.matches("audit", "log_2024"));
        assert!(!scope.matches("audit", "users"));
        assert!(!scope.matches("app", "tmp1"));
        assert!(scope.matches("app", "tmp12"));
        assert!(!scope.matches("public", "orders"));
        assert!(!scope.may_match_schema("public"));
        assert!(Scope::default().matches("any", "thing"));
    }

    #[test]
    fn patterns_that_match_nothing_are_named() {
        let scope = scope(&["app", "nothing"], &["app.ordesr"]);
        let unmatched: Vec<String> = scope.unmatched(&[("app", "orders")]).iter().map(ToString::to_string).collect();
        assert_eq!(unmatched, ["nothing", "app.ordesr"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
        assert_eq!("a.".parse::<Pattern>(), Err(PatternError::Empty));
        assert_eq!("a.b.c".parse::<Pattern>(), Err(PatternError::TooManyParts));
        assert_eq!("\"a".parse::<Pattern>(), Err(PatternError::OpenQuote));
    }
}
