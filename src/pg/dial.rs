//! The only place that connects.

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DialError {
    message: String,
    sqlstate: Option<String>,
    transient: bool,
}

impl DialError {
    /// The SQLSTATE, if the server refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// Whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}
