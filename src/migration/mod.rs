//! The story of a migration: one room per phase, called in order.

pub mod by_hand;
pub mod commands;
pub mod copy;
pub mod ends;
pub mod error;
pub mod index;
pub mod inventory;
pub mod large_objects;
pub mod ledger;
pub mod once;
pub mod post;
pub mod preflight;
pub mod provider;
pub mod provision;
pub mod replace;
pub mod run;
pub mod schema;
pub mod scope;
pub mod sequences;
pub mod shapes;
pub mod verify;
