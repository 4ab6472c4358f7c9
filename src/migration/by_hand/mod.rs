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
