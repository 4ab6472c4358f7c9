//! The integration tests: one binary, a module per story.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod bridge;
mod choices;
mod connect;
mod fidelity;
mod house;
mod inventory;
mod matrix;
mod odd;
mod preflight;
mod usage;
mod verify;
