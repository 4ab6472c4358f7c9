//! What the integration tests share: real Postgres clusters, a faulty network, our own binary as a child that can be killed.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod browser;
pub mod checks;
pub mod child;
pub mod cluster;
pub mod fixtures;
pub mod ground;
pub mod migrate;
pub mod neon;
pub mod page;
pub mod poll;
pub mod pooler;
pub mod postgres;
pub mod proxy;
pub mod recording;
pub mod roles;
pub mod terminal;
pub mod values;
