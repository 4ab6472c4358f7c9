//! Postgres: connection strings, the dialer, the wire, the pump, the bridge and the catalogs. It knows nothing of migrations.

pub mod auth;
pub mod bridge;
pub mod catalog;
pub mod conninfo;
pub mod dial;
pub mod error;
pub mod names;
pub mod pump;
pub mod sql;
pub mod tools;
pub mod types;
pub mod wire;
