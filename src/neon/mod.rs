//! Neon: its regions and extensions as published facts, and its management API. It knows nothing of migrations.

pub mod extensions;
pub mod regions;
