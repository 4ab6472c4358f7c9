//! Neon: its regions and extensions as published facts, and its management API. It knows nothing of migrations.

pub mod account;
pub mod branches;
pub mod client;
pub mod error;
pub mod extensions;
pub mod operations;
pub mod pace;
pub mod projects;
pub mod regions;
pub mod types;
