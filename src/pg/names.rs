//! The one place where identifiers and literals are quoted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An SQL identifier as the catalog holds it. `Display` quotes it, always.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ident(String);

impl Ident {
    /// Takes a name as the catalog holds it, without quotes.
    pub fn new(name: impl Into<String>) -> Self {
        Ident(name.into())
    }

    /// The name without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&postgres_protocol::escape::escape_identifier(&self.0))
    }
}

/// A relation's name with its schema. `Display` quotes both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Ident,
    /// The name within the schema.
    pub name: Ident,
}

impl QualifiedName {
    /// Takes both names as the catalog holds them.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        QualifiedName { schema: Ident::new(schema), name: Ident::new(name) }
    }

    /// The name for people: quoted only where a plain word would not do.
    pub fn human(&self) -> String {
        format!("{}.{}", human(self.schema.as_str()), human(self.name.as_str()))
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A literal, quoted for SQL whatever `standard_conforming_strings` says.
pub fn literal(value: &str) -> String {
    postgres_protocol::escape::escape_literal(value).trim_start().to_owned()
}

/// A name for people: quoted only where a plain word would not do, with control characters made visible.
pub fn human(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain {
        return name.to_owned();
    }
    postgres_protocol::escape::escape_identifier(&human_line(name))
}

/// A text for people, on one line, with control characters made visible.
pub fn human_line(text: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(Ident::new("plain").to_string(), "\"plain\"");
        assert_eq!(QualifiedName::new("Odd \"schema\"", "a.b").to_string(), "\"Odd \"\"schema\"\"\".\"a.b\"");
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
    }

    #[test]
    fn people_see_control_characters() {
        assert_eq!(human("orders"), "orders");
        assert_eq!(human("Two\nlines"), "\"Two\\nlines\"");
    }
}
