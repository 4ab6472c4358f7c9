//! The integration tests: one binary, a module per story.

#[path = "../support/mod.rs"]
mod support;

#[allow(clippy::unwrap_used, clippy::expect_used)]
mod bridge;
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod connect;
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod house;
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod preflight;
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod usage;
