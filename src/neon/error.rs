//! What can go wrong with Neon's API. What a person is told about it is written where the call is made.

use std::error::Error as _;
use std::time::Duration;

/// What the creation of a project is called.
pub(super) const CREATING: &str = "creating the project";

/// Why a call, or what follows from it, failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API answered, with an error.
    #[error("{} was refused with status {}", .0.doing, .0.status)]
    Refused(Box<Refusal>),
    /// The API was not reached: nothing was sent.
    #[error("{doing} failed: the API could not be reached")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// Which way it failed.
        way: Way,
        /// The system's words.
        detail: String,
    },
    /// The call was sent, and its answer did not arrive.
    #[error("{doing} failed: the answer did not arrive")]
    Lost {
        /// What was being done.
        doing: &'static str,
        /// Which way it failed.
        way: Way,
        /// The system's words.
        detail: String,
        /// The id that the call went under.
        request_id: String,
    },
    /// The answer makes no sense.
    #[error("{doing} failed: the answer was not understood")]
    NotUnderstood {
        /// What was being done.
        doing: &'static str,
        /// The answer's status.
        status: u16,
        /// What is wrong with it.
        detail: String,
        /// The id that the call went under.
        request_id: String,
    },
    /// After a lost answer more than one new project was found, so that ours is not known.
    #[error("several new projects are named {name}")]
    Ambiguous {
        /// The name.
        name: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// An operation of a project ended badly.
    #[error("the operation {action} of the project {project} ended as {status}")]
    OperationFailed {
        /// The project.
        project: String,
        /// What the operation was to do.
        action: String,
        /// How it ended.
        status: String,
        /// Why, in Neon's words.
        detail: Option<String>,
    },
    /// A project's operations did not end in time.
    #[error("the operations of the project {project} did not end within {} s", limit.as_secs())]
    OperationsLate {
        /// The project.
        project: String,
        /// What was still to do.
        actions: Vec<String>,
        /// How long was waited.
        limit: Duration,
    },
    /// The address of the API cannot be used.
    #[error("the address {url} cannot be used: {why}")]
    Address {
        /// The address.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// The key holds what no key can hold.
    #[error("the key cannot be sent")]
    Key,
    /// The client could not be set up.
    #[error("the client could not be set up")]
    Setup {
        /// Why not.
        detail: String,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was being done.
    pub doing: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Neon's code; often empty.
    pub code: String,
    /// Neon's words.
    pub message: String,
    /// The id that Neon's support can find the call by.
    pub request_id: String,
    /// How long Neon asks to wait.
    pub retry_after: Option<Duration>,
}

/// How a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The name was not found.
    Name,
    /// The encryption could not be agreed on.
    Tls,
    /// It took too long.
    Timeout,
    /// Anything else.
    Network,
}

impl ApiError {
    /// The answer, if the API refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            ApiError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether nothing was done, and the same call may well succeed in a moment (facts of Neon's documentation: another operation is at work,
    /// too many calls, no capacity).
    pub(super) fn is_refused_for_now(&self) -> bool {
        self.refusal().is_some_and(|refusal| matches!(refusal.status, 423 | 429 | 503))
    }

    /// Whether a call that changes something may have been carried out although it failed.
    pub(super) fn is_uncertain(&self) -> bool {
        match self {
            ApiError::Refused(refusal) => refusal.status >= 500,
            ApiError::NotUnderstood { status, .. } => *status < 300 || *status >= 500,
            ApiError::Lost { .. } => true,
            _ => false,
        }
    }

    /// Whether a project may have been created, and nobody knows.
    pub fn may_have_created(&self) -> bool {
        matches!(self, ApiError::Lost { doing, .. } if *doing == CREATING)
    }

    /// How long Neon asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }

    /// An error of the transport. Nothing was sent if the connection was not made.
    pub(super) fn transport(doing: &'static str, error: &reqwest::Error, request_id: String) -> ApiError {
        let (way, detail) = (way(error), innermost(error));
        if error.is_connect() {
            return ApiError::Unreachable { doing, way, detail };
        }
        ApiError::Lost { doing, way, detail, request_id }
    }
}

fn way(error: &reqwest::Error) -> Way {
    let mut cause = error.source();
    while let Some(this) = cause {
        if this.downcast_ref::<std::io::Error>().is_some_and(holds_tls) {
            return Way::Tls;
        }
        if this.to_string().contains("dns error") {
            return Way::Name;
        }
        cause = this.source();
    }
    if error.is_timeout() { Way::Timeout } else { Way::Network }
}

/// An input error does not name the error that it holds as its source, and may hold another of its kind.
fn holds_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<tokio_rustls::rustls::Error>() || inner.downcast_ref::<std::io::Error>().is_some_and(holds_tls)
    })
}

/// The last of the chain of causes says what happened; those before it say that something did.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    // The address of a call is no secret, but a sentence about it is no better for it.
    if last.is::<reqwest::Error>() { "the request failed".to_owned() } else { last.to_string() }
}
