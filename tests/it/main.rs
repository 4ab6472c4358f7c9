//! The integration tests: one binary, a module per story.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod bridge;
mod connect;
mod crash;
mod faults;
mod house;
mod inventory;
mod preflight;
mod usage;
mod verify;
