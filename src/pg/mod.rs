//! Postgres: connection strings, the dialer, the wire, the pump, the bridge and the catalogs. It knows nothing of migrations.

pub mod dial;
pub mod error;
pub mod names;
pub mod tools;
pub mod types;
