//! The story of a migration: one room per phase, called in order.

pub mod error;
pub mod ledger;
pub mod preflight;
pub mod scope;
pub mod verify;
