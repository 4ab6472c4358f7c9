//! Words for shells and for connection strings, whatever is in them.
//!
//! Every value goes through one of these three, and comes out as the one form that is always right: nothing is special between a POSIX shell's single
//! quotes but their end; nothing between PowerShell's but their end, which is doubled (and which five characters mean); and a value of a
//! connection string in keyword form stands between single quotes in which a backslash makes the next character plain.

/// The shell that lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// Bash 3.2 and later; zsh takes the same lines.
    Bash,
    /// PowerShell 5.1 and later.
    PowerShell,
}

impl Shell {
    /// A word of a command.
    pub fn word(self, text: &str) -> String {
        // PowerShell cuts what looks like a parameter at a dot or a colon.
        let may_cut = self == Shell::PowerShell && text.starts_with('-');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '=') || matches!(c, '.' | ':') && !may_cut;
        if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { self.quoted(text) }
    }

    /// A text between quotes.
    pub fn quoted(self, text: &str) -> String {
        match self {
            Shell::Bash => format!("'{}'", text.replace('\'', r"'\''")),
            Shell::PowerShell => {
                // PowerShell takes typographic single quotes for the plain one (its language specification, "single-quote-character").
                let double = |c: char| {
                    let twice = matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}');
                    std::iter::repeat_n(c, if twice { 2 } else { 1 })
                };
                format!("'{}'", text.chars().flat_map(double).collect::<String>())
            }
        }
    }

    /// The ending of a script's name.
    pub fn extension(self) -> &'static str {
        match self {
            Shell::Bash => "sh",
            Shell::PowerShell => "ps1",
        }
    }
}

/// A value of a connection string in keyword form (Postgres documentation, "Keyword/Value Connection Strings").
pub fn keyword_value(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// A name as the patterns of pg_dump take it: between double quotes nothing but the quote is special.
pub fn pattern(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOSTILE: &str = "-it's \"q\" $HOME `id` \\ 100% !x \n ünï 😀 ";

    #[test]
    fn bash_reads_back_what_was_written() {
        for text in [HOSTILE, "", "plain", "'", "''", "\\'", "a\n", "$(touch x)", "-n", "~", "*", "{a,b}"] {
            let script = format!("printf %s {}", Shell::Bash.word(text));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
        }
    }

    #[test]
    fn powershell_doubles_every_single_quote_and_nothing_else() {
        let quoted = |text| Shell::PowerShell.quoted(text);
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted("it’s ‘so‛ ‚low"), "'it’’s ‘‘so‛‛ ‚‚low'");
        assert_eq!(quoted("$env:X `n \"q\" \\"), "'$env:X `n \"q\" \\'");
        assert_eq!(Shell::PowerShell.word("plain.word"), "plain.word");
        assert_eq!(Shell::PowerShell.word("@splat"), "'@splat'");
        assert_eq!(Shell::PowerShell.word("a,b"), "'a,b'");
        assert_eq!(Shell::PowerShell.word("--file=a.b"), "'--file=a.b'");
    }

    #[test]
    fn a_connection_string_reads_back_what_was_written() {
        use crate::pg::conninfo::{Conninfo, Environment};
        for text in [HOSTILE, "a=b", "postgresql://x", "''", "\\"] {
            let string = format!("host=h user={} dbname={}", keyword_value(text), keyword_value(text));
            let info = Conninfo::parse(&string, &Environment::default()).unwrap();
            assert_eq!((info.user(), info.database()), (text, text));
        }
    }

    #[test]
    fn patterns_are_literal() {
        assert_eq!(pattern("a\"b.c*?"), "\"a\"\"b.c*?\"");
    }
}
