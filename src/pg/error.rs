//! What can go wrong with a server, without row values or secrets in it.

use std::fmt;

/// An error that a server sent. Fields that can hold row values (detail, context) are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The five-character SQLSTATE.
    pub sqlstate: String,
    /// The primary message. For data errors (classes 22 and 23) the quoted parts, which may be row values, are left out.
    pub message: String,
    /// The server's hint.
    pub hint: Option<String>,
    /// The table that the error is about, where the server said so.
    pub table: Option<String>,
    /// The column that the error is about, where the server said so.
    pub column: Option<String>,
    /// The constraint that the error is about, where the server said so.
    pub constraint: Option<String>,
}

impl ServerError {
    /// Makes one from the fields of an `ErrorResponse`.
    pub fn new(sqlstate: &str, message: &str) -> Self {
        let holds_values = sqlstate.starts_with("22") || sqlstate.starts_with("23");
        let message = if holds_values { without_quoted(message) } else { message.to_owned() };
        ServerError { sqlstate: sqlstate.to_owned(), message, hint: None, table: None, column: None, constraint: None }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)
    }
}

impl std::error::Error for ServerError {}

/// Replaces what stands between the first and the last double quote: a value may hold quotes itself.
fn without_quoted(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}\"…\"{}", &message[..first], &message[last + 1..]),
        (Some(first), _) => format!("{}…", &message[..first]),
        _ => message.to_owned(),
    }
}

/// Anything that can go wrong while talking to a server.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The connection could not be made. The text says why and what to do.
    #[error("{0}")]
    Connect(#[from] super::dial::DialError),
    /// The server answered with an error.
    #[error("the server answered: {0}")]
    Server(#[from] ServerError),
    /// The connection was lost.
    #[error("the connection was lost: {0}")]
    Io(#[from] std::io::Error),
    /// The server sent something that the protocol does not allow here.
    #[error("the server sent something unexpected: {0}")]
    Protocol(String),
    /// It took too long.
    #[error("{what} took longer than {limit_s} s")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The work was given up on request.
    #[error("interrupted")]
    Cancelled,
}

impl PgError {
    /// The SQLSTATE, if a server sent the error.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            PgError::Server(error) => Some(&error.sqlstate),
            PgError::Connect(error) => error.sqlstate(),
            _ => None,
        }
    }

    /// Whether the same work may succeed when it is tried again later on a new connection.
    ///
    /// Classes 08 (connection), 53 (resources), 57P0x (shutdown, crash, starting up) and 40 (serialisation, deadlock) pass by themselves or
    /// with an operator's help (Postgres documentation, appendix A).
    pub fn is_transient(&self) -> bool {
        match self {
            PgError::Io(_) | PgError::Timeout { .. } => true,
            PgError::Connect(error) => error.is_transient(),
            PgError::Server(error) => is_transient_sqlstate(&error.sqlstate),
            PgError::Protocol(_) | PgError::Cancelled => false,
        }
    }
}

/// Whether a SQLSTATE stands for something that may pass.
pub fn is_transient_sqlstate(sqlstate: &str) -> bool {
    sqlstate.starts_with("08")
        || sqlstate.starts_with("53")
        || sqlstate.starts_with("40")
        || matches!(sqlstate, "57P01" | "57P02" | "57P03" | "57P05" | "55P03" | "57014" | "25P03" | "25P04")
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let mut server = ServerError::new(db.code().code(), db.message());
            server.hint = db.hint().map(str::to_owned);
            server.table = db.table().map(str::to_owned);
            server.column = db.column().map(str::to_owned);
            server.constraint = db.constraint().map(str::to_owned);
            return PgError::Server(server);
        }
        if error.is_closed() {
            return PgError::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "closed by the other side"));
        }
        let source = std::error::Error::source(&error).map(ToString::to_string);
        match std::error::Error::source(&error).and_then(|e| e.downcast_ref::<std::io::Error>()) {
            Some(io) => PgError::Io(std::io::Error::new(io.kind(), io.to_string())),
            None => PgError::Protocol(source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))),
        }
    }
}
