//! Logical replication that a person sets up with the lines of [`commands`](super::commands): how it stands, and how it is ended.
//!
//! Nothing is remembered but names. How things stand is asked of both servers each time ([`look`]), so it does not matter who ran which line when,
//! and an end that was interrupted ([`off`]) goes on from what is still there. Only what bears our names is touched, on the source only in its
//! own database; whatever else is there is counted and left alone. What a role may not see is said to be unseen.

pub mod examples;
pub mod look;
pub mod off;
pub mod sequences;
pub mod words;

use super::error::Error;
use super::run::not_begun;
use crate::engine::report::Report;
use crate::pg::error::PgError;

/// A failure while nothing was written.
fn told(error: Error) -> Report {
    let is_connecting = matches!(&error, Error::Pg { error: PgError::Connect(_), .. });
    let report = not_begun(error);
    if is_connecting { report } else { report.with_fix("See that the server is up and answers, then look again.") }
}

/// A failure on the way. What was done is seen by looking again.
fn told_on_the_way(error: &Error) -> Report {
    let fix = "See that the server is up, and that the role may do this. Then look again: what was done stays done, and the rest goes on from there.";
    error.report().with_fix(fix)
}
