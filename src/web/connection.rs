//! A field for a connection string, with a field of its own for the password.
//!
//! What is typed comes as two values: the string, and the password, into which `connection.js` moves a password that stands in a pasted string.
//! Without scripts the string comes as it was pasted. What is shown of a string never has a password, so a string that comes back as it was shown
//! stands for what is known already, with its password and all its other parameters.

use askama::Template;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::page;
use crate::engine::report::Report;
use crate::pg::conninfo::{Conninfo, ConninfoError, Environment, Host, PasswordFrom, Roots, SslMode};
use crate::pg::names::human_line;

/// What the two fields send.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default = "nothing")]
    connection: SecretString,
    #[serde(default = "nothing")]
    password: SecretString,
}

fn nothing() -> SecretString {
    SecretString::from(String::new())
}

impl Typed {
    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.connection.expose_secret().trim().is_empty()
    }

    /// The database that was meant: what is known already if it comes back as it was shown, with another password if one was typed.
    ///
    /// # Errors
    /// It cannot be read; the text holds nothing secret.
    pub fn conninfo(&self, known: Option<&Conninfo>) -> Result<Conninfo, ConninfoError> {
        let text = self.connection.expose_secret().trim();
        let info = match known.filter(|known| shown(known) == text) {
            Some(known) => known.clone(),
            None => Conninfo::parse(text, &Environment::of_process())?,
        };
        if self.password.expose_secret().is_empty() { Ok(info) } else { Ok(info.with_password(self.password.clone())) }
    }

    /// What was understood, or what is wrong.
    pub fn understood(&self, known: Option<&Conninfo>) -> Result<Understood, Wrong> {
        let info = self.conninfo(known).map_err(|error| Wrong::of_text(&error))?;
        Ok(Understood::new(&info, !self.password.expose_secret().is_empty()))
    }
}

/// Why what was typed cannot be used, to be shown at the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong, in a sentence.
    pub message: String,
    /// Why, a sentence each.
    pub causes: Vec<String>,
    /// What to do, as words and what is to be pasted.
    pub fix: Option<String>,
}

impl Wrong {
    /// Nothing was typed.
    pub fn empty() -> Wrong {
        Wrong {
            message: "There is no connection string yet.".to_owned(),
            causes: Vec::new(),
            fix: Some("Paste the one that your application or your provider's console uses.".to_owned()),
        }
    }

    /// A string that cannot be read.
    pub fn of_text(error: &ConninfoError) -> Wrong {
        Wrong {
            message: human_line(&error.to_string()),
            causes: Vec::new(),
            fix: Some(
                "These forms are understood:\npostgresql://user@host:5432/database?sslmode=require\nhost=… port=5432 user=… dbname=… sslmode=require\nservice=name"
                    .to_owned(),
            ),
        }
    }

    /// A database that cannot be reached, or does not let us in.
    pub fn of_report(report: Report) -> Wrong {
        Wrong { message: report.message, causes: report.causes, fix: report.fix }
    }

    fn fix(&self) -> (String, String) {
        self.fix.as_deref().map(page::fix_parts).unwrap_or_default()
    }
}

/// What a connection string means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// Names and values.
    facts: Vec<(&'static str, String)>,
    /// What was passed over, and what else there is to know.
    notices: Vec<String>,
}

impl Understood {
    /// Of a string; `typed` is whether a password was typed into its own field.
    pub fn new(info: &Conninfo, typed: bool) -> Understood {
        let servers: Vec<String> = info.endpoints().iter().map(ToString::to_string).collect();
        let facts = vec![
            ("Server", human_line(&servers.join(", "))),
            ("Database", human_line(info.database())),
            ("User", human_line(info.user())),
            ("Password", password_words(info, typed).to_owned()),
            ("TLS", tls_words(info).to_owned()),
        ];
        let pooled = info.is_pooled_hint().map(|hint| format!("{}.", hint.explanation.trim_end_matches('.')));
        Understood { facts, notices: info.notices().iter().cloned().chain(pooled).map(|text| human_line(&text)).collect() }
    }
}

fn password_words(info: &Conninfo, typed: bool) -> &'static str {
    match info.password_from() {
        _ if typed => "the one in the field for it",
        Some(PasswordFrom::Text) => "given with the connection string, kept in memory",
        Some(PasswordFrom::Environment) => "from PGPASSWORD, where neon-migrate was started",
        Some(PasswordFrom::File) => "from the password file of the machine where neon-migrate runs",
        None => "none; that works only if the server asks for none",
    }
}

fn tls_words(info: &Conninfo) -> &'static str {
    let is_socket = info.endpoints().iter().all(|endpoint| matches!(endpoint.host, Host::Socket(_)));
    match (info.tls().mode, &info.tls().roots) {
        _ if is_socket => "not needed: a socket of this machine",
        (SslMode::Disable, _) => "off: everything goes in the clear",
        (SslMode::Allow, _) => "only if the server insists (sslmode=allow)",
        (SslMode::Prefer, _) => "if the server offers it; its certificate is not checked (sslmode=prefer)",
        (SslMode::Require, Roots::Unchecked) => "required; the server's certificate is not checked (sslmode=require)",
        (SslMode::Require | SslMode::VerifyCa, _) => "required, with a certificate of a trusted authority",
        (SslMode::VerifyFull, _) => "required, with a certificate of a trusted authority for this host (sslmode=verify-full)",
    }
}

/// A string for people, which holds no password. What it leaves out is kept in memory.
pub fn shown(info: &Conninfo) -> String {
    let mode = match info.tls().mode {
        SslMode::Disable => "disable",
        SslMode::Allow => "allow",
        SslMode::Prefer => "",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        SslMode::VerifyFull => "verify-full",
    };
    let escaped = |text: &str, plain: &str| -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte);
        text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
    };
    let mut hosts = Vec::new();
    for endpoint in info.endpoints() {
        hosts.push(match &endpoint.host {
            Host::Name(name) if name.contains(':') => format!("[{name}]:{}", endpoint.port),
            Host::Name(name) => format!("{}:{}", escaped(name, "-._"), endpoint.port),
            Host::Socket(directory) => format!("{}:{}", escaped(&directory.to_string_lossy(), "-._"), endpoint.port),
        });
    }
    let (user, database) = (escaped(info.user(), "-._"), escaped(info.database(), "-._"));
    let mode = if mode.is_empty() { String::new() } else { format!("?sslmode={mode}") };
    format!("postgresql://{user}@{}/{database}{mode}", hosts.join(","))
}

/// Both fields, for the macro `connection::field` of `parts/connection.html`.
#[derive(Debug)]
pub struct Field {
    /// The id of the input, and the beginning of the other ids.
    pub id: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What there is to know beside it.
    pub hint: &'static str,
    /// What is known already, without its password.
    pub shown: String,
    /// Whether a password is known already.
    pub has_password: bool,
    /// What is wrong.
    pub wrong: Option<Wrong>,
    /// What is shown was understood like this.
    pub understood: Option<String>,
    /// How often something was accepted: what was typed before is then gone from the page.
    pub accepted: u64,
}

impl Field {
    /// A field with what is known already.
    ///
    /// # Errors
    /// A fault of this program.
    pub fn new(id: &'static str, label: &'static str, known: Option<&Conninfo>) -> Result<Field, Report> {
        let understood = known.map(|info| understood_html(&Ok(Understood::new(info, false)))).transpose()?;
        Ok(Field {
            id,
            label,
            hint: "",
            shown: known.map(shown).unwrap_or_default(),
            has_password: known.is_some_and(|info| info.password_from().is_some()),
            wrong: None,
            understood,
            accepted: 0,
        })
    }

    /// What to do about what is wrong: words, and what is to be pasted.
    pub fn fix(&self) -> (String, String) {
        self.wrong.as_ref().map(Wrong::fix).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "parts/understood.html")]
struct UnderstoodView<'a> {
    said: &'a Result<Understood, Wrong>,
}

/// What was understood, or what is wrong, as a piece of a page.
///
/// # Errors
/// A fault of this program.
pub fn understood_html(said: &Result<Understood, Wrong>) -> Result<String, Report> {
    page::draw(&UnderstoodView { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(connection: &str, password: &str) -> Typed {
        Typed { connection: SecretString::from(connection.to_owned()), password: SecretString::from(password.to_owned()) }
    }

    fn secret(info: &Conninfo) -> Option<String> {
        info.password(&info.endpoints()[0]).map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn what_comes_back_as_it_was_shown_is_what_was_known() {
        let given = "postgresql://me:p%40ss@db.example.com:5433/a%20b?sslmode=require&application_name=kept";
        let known = typed(given, "").conninfo(None).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(shown(&known), "postgresql://me@db.example.com:5433/a%20b?sslmode=require");
        let again = typed(&shown(&known), "").conninfo(Some(&known)).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!((secret(&again).as_deref(), again.application_name()), (Some("p@ss"), Some("kept")));
        let other = typed(&shown(&known), "new").conninfo(Some(&known)).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!((secret(&other).as_deref(), other.application_name()), (Some("new"), Some("kept")));
        let else_where = typed("postgresql://me@db.example.com/a", "").conninfo(Some(&known));
        assert_eq!(else_where.ok().and_then(|info| secret(&info)), None);
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in [
            "postgresql://u@[::1]:5432/d",
            "host=/tmp user='a b' dbname='c/d@e'",
            "host=a,b port=1,2 user=u dbname=d sslmode=disable",
        ] {
            let info = typed(text, "").conninfo(None).unwrap_or_else(|error| unreachable!("{error}"));
            let again = typed(&shown(&info), "").conninfo(None).unwrap_or_else(|error| unreachable!("{error}"));
            assert_eq!((info.label(), info.tls().mode), (again.label(), again.tls().mode), "{}", shown(&info));
        }
    }

    #[test]
    fn what_is_understood_has_no_password() {
        for text in [
            "postgresql://u:plantedPw1@h/d",
            "host=h user=u password='plantedPw1'",
            "postgresql://u:plantedPw1@h:x/d",
            "plantedPw1@h:5/d",
        ] {
            let said = typed(text, "plantedPw1").understood(None);
            let html = understood_html(&said).unwrap_or_default();
            assert!(!html.contains("plantedPw1") && !html.is_empty(), "{html}");
        }
    }
}
