//! The integration tests: one binary, a module per story.

#[path = "../support/mod.rs"]
mod support;

#[allow(clippy::unwrap_used, clippy::expect_used)]
mod house;

#[allow(clippy::unwrap_used, clippy::expect_used)]
mod verify;

#[allow(clippy::unwrap_used, clippy::expect_used)]
mod inventory;
