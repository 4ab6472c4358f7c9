//! The story of a migration: one room per phase, called in order.

pub mod inventory;
pub mod verify;
